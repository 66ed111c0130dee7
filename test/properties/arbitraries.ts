/** Random cases, with lengths that are awkward on purpose. */
import fc from 'fast-check';
import type { KernelFamily } from '../../src/arch/arch.ts';
import { newestKept } from '../oracle/mask.ts';
import { masksOf, type Case } from './case.ts';
import type { Lane } from './inputs.ts';
import type { RuleSpec } from './plans.ts';
import { shapeOf, smallShapes } from './shapes.ts';

export interface CaseOptions {
  readonly shapes?: readonly string[];
  readonly lanes?: readonly Lane[];
  /** The most decode steps. */
  readonly decodes?: number;
  readonly compareWhole?: boolean;
  readonly rope?: boolean;
  /** Prompts come in chunks of any size. */
  readonly chunks?: boolean;
  /** What every case has. */
  readonly with?: Partial<Case>;
  readonly layers?: number;
  /** The largest length bound. */
  readonly bound?: number;
  /** The most work of a prefill, in tiles of 128 x 64 x 64. */
  readonly tiles?: number;
}

/** Constants, fractions, negative constants and dense. */
export const ruleArbitrary: fc.Arbitrary<RuleSpec> = fc.oneof(
  fc.constant<RuleSpec>([0, 1, 1]),
  fc.integer({ min: 0, max: 400 }).map((alpha): RuleSpec => [alpha, 0, 1]),
  fc.tuple(fc.integer({ min: -300, max: 200 }), fc.integer({ min: 1, max: 16 }), fc.integer({ min: 0, max: 15 })).map(([alpha, denominator, less]): RuleSpec => [alpha, Math.max(1, denominator - less), denominator]),
  fc.integer({ min: -500, max: -1 }).map((alpha): RuleSpec => [alpha, 1, 1]),
);

/** Rules of a layer's heads: few different ones, so that heads share rules and rings have several. */
const layerRules = (heads: number): fc.Arbitrary<RuleSpec[]> =>
  fc
    .tuple(fc.array(ruleArbitrary, { minLength: 1, maxLength: 3 }), fc.array(fc.nat(5), { minLength: heads, maxLength: heads }))
    .map(([pool, picks]) => picks.map((pick) => pool[pick % pool.length]!));

export function caseArbitrary(options: CaseOptions = {}): fc.Arbitrary<Case> {
  const { decodes = 0, bound = 700, layers = 1, tiles = 40 } = options;
  return fc
    .constantFrom(...(options.shapes ?? Object.keys(smallShapes)))
    .chain((shape) =>
      fc.record({
        shape: fc.constant(shape),
        rules: fc.array(layerRules(shapeOf(shape).queryHeads), { minLength: 1, maxLength: layers }),
        bound: fc.oneof(fc.integer({ min: decodes + 1, max: Math.min(bound, 140 + decodes) }), fc.integer({ min: decodes + 1, max: bound })),
        picks: fc.array(fc.nat(0xffff), { minLength: 1, maxLength: 4 }),
        decodes: fc.integer({ min: decodes === 0 ? 0 : 1, max: decodes }),
        lane: fc.constantFrom<Lane>(...(options.lanes ?? ['normal', 'uniform', 'oneHot'])),
        seed: fc.nat(0xffffff),
        queryScale: fc.constantFrom(0.5, 1, 4),
        shufflePages: fc.boolean(),
        multiprocessors: fc.constantFrom(1, 3, 8, 32),
        family: fc.constantFrom<KernelFamily>('portable', 'hopper'),
        splitPages: fc.constantFrom(0, 2, 3, 5, Infinity),
        chunk: fc.oneof(fc.constantFrom(1, 63, 64, 65, 128, 200), fc.integer({ min: 17, max: 300 })),
      }),
    )
    .map(({ picks, chunk, splitPages, ...facts }) => {
      const base: Case = { ...facts, ...(splitPages === Infinity ? {} : { splitPages }), ...(options.chunks === true ? { chunk } : {}), prefill: [], compareWhole: options.compareWhole ?? false, rope: options.rope ?? false, ...options.with };
      return { ...base, prefill: choosePrefill(base, picks, tiles) };
    });
}

/** The model's own window of each of two layers: none, one that cuts, or one that is longer than the sequence. */
export const modelWindowsArbitrary: fc.Arbitrary<(number | null)[]> = fc.array(
  fc.constantFrom(null, 64, 128, 192, 320, 4096),
  { minLength: 2, maxLength: 2 },
);

/** Cases of two layers at most, with windows of the model's own. */
export function windowedCases(options: CaseOptions = {}): fc.Arbitrary<Case> {
  return fc.tuple(caseArbitrary({ layers: 2, ...options }), modelWindowsArbitrary).map(([testCase, windows]) => ({
    ...testCase,
    modelWindows: testCase.rules.map((_, layer) => windows[layer]!),
  }));
}

/** A length for every pick: one of those at which something changes, or any; shortened where the work would be too much. */
function choosePrefill(testCase: Case, picks: readonly number[], tiles: number): number[] {
  const { queryHeads, headDim, sink } = shapeOf(testCase.shape);
  const most = testCase.bound - testCase.decodes;
  const windows = testCase.rules.flatMap((_, layer) => masksOf(testCase, layer).map(newestKept));
  const awkward = [0, 1, 2, 63, 64, 65, 127, 128, 129, sink - 1, sink, sink + 1, most].concat(
    windows.flatMap((window) => [window - 1, window, window + 1, sink + window - 1, sink + window, sink + window + 1, sink + 2 * window, sink + 3 * window + 1]),
  );
  let left = tiles;
  return picks.map((pick) => {
    const chosen = pick % 3 === 0 ? pick % (most + 1) : awkward[pick % awkward.length]!;
    let length = Math.max(0, Math.min(chosen, most));
    const cost = (tokens: number): number => (Math.ceil(tokens / 128) * Math.ceil(tokens / 64 + 1) * queryHeads * headDim) / 128;
    if (cost(length) > left) length %= 131;
    if (cost(length) > left) length %= 3;
    left -= cost(length);
    return length;
  });
}
