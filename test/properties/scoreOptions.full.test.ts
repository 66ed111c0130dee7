/** Soft cap and learned sinks, alone and together, with all else that kernels may have; the scale of scores. */
import fc from 'fast-check';
import { describe, test } from 'vitest';
import { caseArbitrary, type CaseOptions } from './arbitraries.ts';
import type { Case } from './case.ts';
import { headShapes, shapeOf } from './shapes.ts';
import { runs, Suite, timeout } from './suite.ts';

const families = ['portable', 'hopper'] as const;
/** Small, so that it bends scores of every size. */
const softCap = 2.5;
const sinkLogits = [0.5, null, -3, 2];

const logits = fc.array(fc.oneof(fc.double({ min: -6, max: 6, noNaN: true }), fc.constant(null)), { minLength: 1, maxLength: 5 });
const withSinks = (options: CaseOptions): fc.Arbitrary<Case> => fc.tuple(caseArbitrary(options), logits).map(([testCase, drawn]) => ({ ...testCase, sinkLogits: drawn }));

/** Rules of four heads, with windows that end in other places and one that never does. */
const facts = { shape: 'bf16_d64_4x2', rules: [[[0, 1, 1], [128, 0, 1], [192, 0, 1], [192, 0, 1]]], bound: 600, prefill: [300, 65, 1, 0], decodes: 3, lane: 'normal', seed: 5 } as const satisfies Partial<Case>;

describe('scores', () => {
  const suite = new Suite('scoreOptions');

  test('with learned sinks', { timeout }, async () => {
    await suite.check(withSinks({ shapes: ['bf16_d64_2x1'], chunks: true, compareWhole: true, decodes: 3, tiles: 8, layers: 2 }), 10);
  });

  test('with a cap', { timeout }, async () => {
    await suite.check(caseArbitrary({ shapes: ['fp16_d128_2x2'], lanes: ['normal', 'uniform'], chunks: true, compareWhole: true, decodes: 3, tiles: 8, with: { softCap } }), 6);
  });

  test('with both', { timeout }, async () => {
    await suite.check(withSinks({ shapes: ['bf16_d64_4x2'], lanes: ['normal', 'uniform'], chunks: true, compareWhole: true, decodes: 3, tiles: 8, layers: 2, with: { softCap } }), 10);
  });

  test('with both, a cache in E4M3', { timeout }, async () => {
    await suite.check(withSinks({ shapes: ['bf16_d64_4x2'], lanes: ['normal'], chunks: true, decodes: 3, tiles: 4, with: { softCap, cacheType: 'e4m3' } }), 4);
  });

  test.each(families)('with both and RoPE, groups over 8, shapes of the launch, CUDA cores: %s', { timeout }, async (family) => {
    const both = { ...facts, family, softCap, sinkLogits } as const;
    await suite.run({ ...both, rope: true, chunk: 100, compareWhole: true });
    await suite.run({ ...both, shape: 'bf16_d64_12x1', rules: [Array.from({ length: 12 }, (_, head) => [128 + 64 * (head % 3), 0, 1] as const)], prefill: [130] });
    await suite.run({ ...both, ablations: ['unspecialised'] });
    await suite.run({ ...both, ablations: ['cuda-cores'], multiprocessors: 32 });
  });

  test.each(families)('a sink that outweighs every key, or none, or nothing at all: %s', { timeout }, async (family) => {
    for (const extreme of [[1e4, -1e4, 400, -400], [3e38, -3e38, null, 88]]) {
      await suite.run({ ...facts, family, sinkLogits: extreme, chunk: 120, splitPages: 1, multiprocessors: 32 });
      await suite.run({ ...facts, family, sinkLogits: extreme, softCap, prefill: [130], splitPages: 0, multiprocessors: 32 });
    }
  });

  test.each(families)('far beyond the cap, and far below it: %s', { timeout }, async (family) => {
    await suite.run({ ...facts, family, softCap, queryScale: 40 });
    await suite.run({ ...facts, family, softCap, queryScale: 1e-3 });
  });

  test.each(families)("with the session's scale: %s", { timeout }, async (family) => {
    await suite.run({ ...facts, family, scale: 0.02, queryScale: 4, compareWhole: true });
    await suite.run({ ...facts, family, scale: 0.5, softCap, sinkLogits });
  });
});

describe('heads', () => {
  const suite = new Suite('heads');
  const shapes = Object.keys(headShapes);
  // Every other shape with every other family, and with MOA_PROPERTY_RUNS all of them.
  const chosen = families.flatMap((family, n) => shapes.filter((_, index) => runs(1) > 1 || index % 2 === n).map((shape) => [shape, family] as const));

  test.each(chosen)('%s, %s', { timeout }, async (shape, family) => {
    const { queryHeads, kvHeads } = shapeOf(shape);
    // Heads of one group with windows of their own, and groups whose heads agree.
    const group = queryHeads / kvHeads;
    const rules = [Array.from({ length: queryHeads }, (_, head) => [128 + 64 * (Math.floor(head / group) % 2 === 0 ? head % 3 : 1), 0, 1] as const)];
    await suite.run({ shape, family, rules, bound: 400, prefill: [66, 3], decodes: 2, lane: 'normal', seed: 3 });
    await suite.run({ shape, family, rules, bound: 400, prefill: [200], decodes: 1, lane: 'uniform', seed: 4, chunk: 130, sampleRows: 9 });
  });
});
