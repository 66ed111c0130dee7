/**
 * Synthetic problems of the size of real models, for timing the solver: influence that decays with distance (exponentials and power laws), a fifth of the
 * heads global, bumps that make losses not convex, log-normal weights of heads and layers; MoA's grid of 48 candidates for lengths 2k, 4k, 8k and 16k.
 */
import { spanOf } from '../../dist/ir/affine.js';
import { candidateGrid } from '../../dist/search/candidates.js';
import { problemOf, type Instance } from '../../dist/search/instance.js';
import type { SearchRequest } from '../../dist/search/request.js';
import type { Problem } from '../../dist/search/solve/problem.js';
import { randomNumbers } from '../lib/random.ts';

export interface InstanceSize {
  readonly layers: number;
  readonly heads: number;
  /** Steps of alpha of the grid, in tokens. */
  readonly alphaStep?: number;
  readonly betas?: number;
}

const profiled = [2048, 4096, 8192];
const bounded = [2048, 4096, 8192, 16384];

/** `equal`: all heads alike; `iid`: losses without any order, which no model has, and which are the hardest to prove. */
export type InstanceKind = 'mixed' | 'equal' | 'iid';

export function syntheticInstance({ layers, heads, alphaStep, betas }: InstanceSize, seed: number, kind: InstanceKind = 'mixed'): Instance {
  const random = randomNumbers(seed);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const limits = { sink: 64, page: 64, minSpan: 128 };
  const candidates = candidateGrid({ profiled, lengths: bounded, ...(alphaStep === undefined ? {} : { alphaStep }), ...(betas === undefined ? {} : { betas }), limits });
  const spans = profiled.map((length) => candidates.map((rule) => Math.min(spanOf(rule, limits, length, null), length)));
  const losses = profiled.map(() => new Float64Array(layers * candidates.length * heads));
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
          const part = distance / length;
          const slow = (1 + distance / 64) ** -power * (1 - part);
          return weight * (share * Math.exp(-distance / decay) + (1 - share) * slow + (part < bumpAt ? bump : 0)) * Math.sqrt(length / 2048);
        };
        candidates.forEach((_, candidate) => {
          const span = spans[n]![candidate]!;
          losses[n]![(layer * candidates.length + candidate) * heads + head] = kind === 'iid' ? random() : span >= length ? 0 : tail(span);
        });
      });
    }
  }
  if (kind === 'equal') for (const loss of losses) loss.forEach((_, i) => (loss[i] = loss[(Math.floor(i / heads) % candidates.length) * heads]!));
  const model = { layers, queryHeads: heads, kvHeads: heads, headDim: 128 };
  return {
    model,
    granularity: 'kv-head',
    limits,
    candidates,
    heads,
    losses: new Map(profiled.map((length, n) => [length, losses[n]!])),
    // No layer has a window of its own, so every candidate stands for itself.
    windows: Array.from({ length: layers }, () => null),
    shortest: Array.from({ length: layers }, () => Uint16Array.from(candidates, (_, candidate) => candidate)),
  };
}

/** The sum of losses, with a bound on density at every length and at 16k. */
export function syntheticRequest(density: number, rulesPerLayer = 2): SearchRequest {
  return {
    granularity: 'kv-head',
    rulesPerLayer,
    limits: { sink: 64, page: 64, minSpan: 128 },
    objectives: profiled.map((length) => ({ length, weight: 1 })),
    constraints: bounded.map((length) => ({ kind: 'density', length, bound: density })),
    gap: 1e-4,
    exact: true,
  };
}

export function syntheticProblem(size: InstanceSize, seed: number, { density = 0.5, rulesPerLayer = 2, kind = 'mixed' as InstanceKind } = {}): Problem {
  const { objectives, constraints } = syntheticRequest(density);
  return problemOf(syntheticInstance(size, seed, kind), objectives, constraints, rulesPerLayer);
}
