/**
 * Synthetic problems of the size of real models, for timing the solver: influence that decays with distance (exponentials and power laws), a fifth of the
 * heads global, bumps that make losses not convex, log-normal weights of heads and layers; MoA's grid of 48 candidates for lengths 2k, 4k, 8k and 16k.
 */
import { candidateGrid } from '../../dist/search/candidates.js';
import { DEFAULT_LIMITS } from '../../dist/plan/planSchema.js';
import { spanOf } from '../../dist/ir/affine.js';
import type { Problem } from '../../dist/search/solve/problem.js';

export interface InstanceSize {
  readonly layers: number;
  readonly heads: number;
  /** Steps of alpha of the grid, in tokens. */
  readonly alphaStep?: number;
  readonly betas?: number;
}

export interface SyntheticLosses {
  readonly losses: readonly Float64Array[];
  readonly lengths: readonly number[];
  readonly spans: readonly (readonly number[])[];
  readonly candidates: number;
}

const profiled = [2048, 4096, 8192];
const bounded = [2048, 4096, 8192, 16384];

/** Deterministic random numbers in [0, 1) (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const kinds = ['mixed', 'equal', 'iid'] as const;
export type InstanceKind = (typeof kinds)[number];

/** The losses of each length, `L x C x H`, and the spans of candidates. */
export function syntheticLosses({ layers, heads, alphaStep, betas }: InstanceSize, seed: number, kind: InstanceKind = 'mixed'): SyntheticLosses {
  const random = randomNumbers(seed);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const rules = candidateGrid({ profiled, lengths: bounded, ...(alphaStep === undefined ? {} : { alphaStep }), ...(betas === undefined ? {} : { betas }), limits: DEFAULT_LIMITS });
  const spans = bounded.map((length) => rules.map((rule) => Math.min(spanOf(rule, DEFAULT_LIMITS, length), length)));
  const losses = profiled.map(() => new Float64Array(layers * rules.length * heads));
  for (let layer = 0; layer < layers; layer += 1) {
    const layerWeight = Math.exp(0.6 * normal());
    for (let head = 0; head < heads; head += 1) {
      const weight = layerWeight * Math.exp(0.8 * normal());
      const global = random() < 0.2;
      const decay = 64 * 2 ** (4 * random());
      const power = global ? 0.2 + 0.5 * random() : 0.8 + random();
      const share = random();
      const bumpAt = 0.1 + 0.8 * random();
      const bump = random() < 0.4 ? 0.3 * random() : 0;
      profiled.forEach((length, n) => {
        const tail = (distance: number): number => {
          if (distance >= length) return 0;
          const x = distance / length;
          const fast = Math.exp(-distance / decay);
          const slow = (1 + distance / 64) ** -power * (1 - x);
          return (share * fast + (1 - share) * slow + (x < bumpAt ? bump : 0)) * Math.sqrt(length / 2048);
        };
        rules.forEach((_, candidate) => {
          const loss = kind === 'iid' ? random() : weight * tail(spans[n]![candidate]!);
          losses[n]![(layer * rules.length + candidate) * heads + head] = spans[n]![candidate]! >= length && kind !== 'iid' ? 0 : loss;
        });
      });
    }
  }
  if (kind === 'equal') for (const loss of losses) equalise(loss, layers, rules.length, heads);
  return { losses, lengths: bounded, spans, candidates: rules.length };
}

function equalise(loss: Float64Array, layers: number, candidates: number, heads: number): void {
  for (let layer = 0; layer < layers; layer += 1) {
    for (let candidate = 0; candidate < candidates; candidate += 1) {
      for (let head = 0; head < heads; head += 1) loss[(layer * candidates + candidate) * heads + head] = loss[candidate * heads]!;
    }
  }
}

/** One objective, the sum of losses, with a bound on density at every length. */
export function syntheticProblem(size: InstanceSize, seed: number, { density = 0.5, maxRules = 2, kind = 'mixed' as InstanceKind } = {}): Problem {
  const { losses, lengths, spans, candidates } = syntheticLosses(size, seed, kind);
  const value = losses[0]!.map((loss, i) => losses.reduce((sum, other) => sum + other[i]!, loss) - loss);
  const { layers, heads } = size;
  const resources = lengths.map((length, n) => ({
    name: `density at ${length}`,
    cost: Float64Array.from(spans[n]!, (span) => span / 64),
    limit: Math.floor((density * layers * heads * length) / 64),
  }));
  return { layers, heads, candidates, value, resources, maxRules };
}
