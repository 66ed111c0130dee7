/** A case: numbers that say all, so that one line of JSON runs it again. */
import type { KernelFamily } from '../../src/arch/arch.ts';
import type { CacheType } from '../../src/ir/nodes.ts';
import type { Rope } from '../../src/ir/rope.ts';
import { ropeFrequencies } from '../../src/ir/ropeFrequencies.ts';
import type { Ablation } from '../../src/passes/pass.ts';
import type { Lane } from './inputs.ts';
import { oracleMask, type OracleMask } from '../oracle/mask.ts';
import { thetaRotation, type OracleRotation } from '../oracle/rope.ts';
import { ruleOf, type PlanSpec, type RuleSpec } from './plans.ts';
import { limitsOf, shapeOf } from './shapes.ts';

export interface Case {
  /** A name in `shapes`. */
  readonly shape: string;
  /** `[layer][query head]` of `[alpha, numerator, denominator]`. */
  readonly rules: readonly (readonly RuleSpec[])[];
  /** `[layer]`: the model's own window, in whole pages of tokens, or null; none by default. */
  readonly modelWindows?: readonly (number | null)[];
  readonly bound: number;
  /** Tokens of each sequence in the prefill; none may have any. */
  readonly prefill: readonly number[];
  /** The prefill comes in chunks of at most so many tokens of each sequence; all at once by default. */
  readonly chunk?: number;
  /** Decode steps after it. */
  readonly decodes: number;
  readonly lane: Lane;
  readonly seed: number;
  readonly queryScale?: number;
  readonly scale?: number;
  readonly rope?: boolean;
  /** With `rope`: how the model turns all layers; by `ropeTheta` and in halves by default. */
  readonly rotation?: Rope;
  /** None by default. With one not the one-hot lane, whose scores it would flatten. */
  readonly softCap?: number;
  /** The model has learned sinks: their logits, taken in turns by layers and heads; null is -Infinity. In all but the normal lane of moderate size. */
  readonly sinkLogits?: readonly (number | null)[];
  /** Of the kernels; `portable` by default. */
  readonly family?: KernelFamily;
  /** Whose tiles are taken; by default those of an architecture with much shared memory. */
  readonly architecture?: string;
  /** Of keys and values; the element type by default. With `e4m3` and RoPE no `compareWhole`. */
  readonly cacheType?: CacheType;
  /** Items of prefill with more pages of keys than this are cut in two, where the kernel can; those of the schedule by default. */
  readonly splitPages?: number;
  /** What decode goes without. */
  readonly ablations?: readonly Ablation[];
  /** Pages are taken from the pool in a random order. */
  readonly shufflePages?: boolean;
  /** Also prefill all tokens at once, and compare outputs and caches. */
  readonly compareWhole?: boolean;
  /** Without poisoned tokens (poison.ts). */
  readonly clean?: boolean;
  /** The emulator's. */
  readonly multiprocessors?: number;
  /** Check these rows of the prefill only, spread evenly over each sequence; all by default. For sizes at which float64 is too slow. */
  readonly sampleRows?: number;
  /** Check these heads only. */
  readonly sampleHeads?: readonly number[];
  /** Random values from a small table: for sizes at which drawing them takes too long. */
  readonly cheapInputs?: boolean;
}

export const ropeTheta = 10000;

/** How a case with RoPE turns. The frequencies of a model's RoPE are tested against those of transformers elsewhere. */
export function rotationOf({ shape, rotation, bound }: Case): OracleRotation {
  if (rotation === undefined) return thetaRotation(shapeOf(shape).headDim, ropeTheta);
  const { inverseFrequencies, attentionFactor } = ropeFrequencies(rotation, bound);
  return { rotaryDim: rotation.rotaryDim, interleaved: rotation.pairing === 'interleaved', frequencies: inverseFrequencies, factor: attentionFactor };
}

/** The plan of a case. */
export function specOf({ shape, rules, modelWindows, rope, rotation, family, architecture, cacheType, ablations, splitPages, softCap, sinkLogits }: Case): PlanSpec {
  return {
    shape,
    rules,
    rope: rope ?? false,
    ...(rotation === undefined ? {} : { modelRope: { ropes: [rotation], layers: rules.map(() => 0) } }),
    family: family ?? 'portable',
    cacheType: cacheType ?? 'element',
    ablations: ablations ?? [],
    softCap: softCap ?? 0,
    learnedSinks: sinkLogits !== undefined,
    ...(modelWindows === undefined ? {} : { modelWindows }),
    ...(splitPages === undefined ? {} : { splitPages }),
    ...(architecture === undefined ? {} : { architecture }),
  };
}

/** The logits of a layer's learned sinks, where the case has them. */
export function sinksOf({ shape, sinkLogits }: Case, layer: number): number[] | undefined {
  const { queryHeads } = shapeOf(shape);
  return sinkLogits && Array.from({ length: queryHeads }, (_, head) => sinkLogits[(layer * queryHeads + head) % sinkLogits.length] ?? -Infinity);
}

/** The mask of each head of a layer. */
export function masksOf({ shape, rules, bound, modelWindows }: Case, layer: number): OracleMask[] {
  const limits = limitsOf(shapeOf(shape));
  return rules[layer]!.map((rule) => oracleMask(ruleOf(rule), limits, bound, modelWindows?.[layer] ?? null));
}

/** The mask of a KV head's ring: the largest window of its query heads. */
export function ringMask(masks: readonly OracleMask[], groupSize: number, kvHead: number): OracleMask {
  const members = masks.slice(kvHead * groupSize, (kvHead + 1) * groupSize);
  return members.reduce((a, b) => (b.window > a.window ? b : a));
}

/** What to type to run a case again. */
export const reproduce = (testCase: Case): string => `MOA_CASE='${JSON.stringify(testCase)}' npx vitest run test/properties/oneCase.test.ts`;

export class CaseFailure extends Error {
  constructor(testCase: Case, what: string, cause?: unknown) {
    super(`${what}\n    repro: ${reproduce(testCase)}`, cause === undefined ? undefined : { cause });
    this.name = 'CaseFailure';
  }
}
