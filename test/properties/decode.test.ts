/** Decode against the oracle: rings that fill, are full, and wrap. */
import { describe, test } from 'vitest';
import { caseArbitrary } from './arbitraries.ts';
import { isBatchInvariant } from './batchInvariance.ts';
import type { Case } from './case.ts';
import type { RuleSpec } from './plans.ts';
import { range } from './runCase.ts';
import { Suite, target, timeout } from './suite.ts';

const dense: RuleSpec = [0, 1, 1];
/** Blocks that have several pieces of a ring, of unequal lengths: about as many sequences as blocks, each cut into a part for each of these. */
const inPieces = { bound: 1400, decodes: 2, sampleRows: 20, shufflePages: true } as const;
const pieceCases: Readonly<Record<string, Case>> = {
  'many pieces of a ring': { ...inPieces, shape: 'bf16_d64_2x1', rules: [[dense, dense]], prefill: [1202, 818, 1330, 690], multiprocessors: 5, lane: 'normal', seed: 35 },
  'many pieces of unequal rings in bulk': {
    ...inPieces, family: 'hopper', shape: 'bf16_d64_4x2', rules: [[dense, [128, 0, 1], [0, 1, 2], [0, 1, 2]]], prefill: [1090, 870, 640, 1000], multiprocessors: 4, lane: 'oneHot', seed: 36,
  },
};

describe('decode', () => {
  const suite = new Suite('decode');

  test('after a prefill of any length', { timeout }, async () => {
    await suite.check(caseArbitrary({ layers: 2, decodes: 5, tiles: 16 }), 60);
  });

  test('with RoPE', { timeout }, async () => {
    await suite.check(caseArbitrary({ rope: true, decodes: 4, shapes: ['bf16_d64_4x2', 'fp16_d64_6x2', 'bf16_d128_3x1', 'fp16_d128_2x2'], lanes: ['normal'], tiles: 10 }), 10);
  });

  test('from an empty cache, through every fill of a ring of 128 and three times round', { timeout }, async () => {
    // Span 128 is a sink of 64 and a window of 64: token 64 + 3 * 64 begins the third round.
    await suite.run({ shape: 'bf16_d64_4x2', rules: [[[128, 0, 1], [128, 0, 1], [192, 0, 1], [128, 0, 1]]], bound: 400, prefill: [0, 1], decodes: 270, lane: 'uniform', seed: 1 });
    await suite.run({ shape: 'fp16_d64_8x1', rules: [range(0, 8).map((head) => [128 + 64 * (head % 3), 0, 1] as const)], bound: 500, prefill: [0, 63], decodes: 330, lane: 'oneHot', seed: 2 });
  });

  test('rings with a sink that is not whole pages', { timeout }, async () => {
    for (const shape of ['bf16_d64_2x1_sink4', 'bf16_d64_2x2_sink0', 'fp16_d128_2x1_sink100']) {
      for (const lane of ['uniform', 'oneHot', 'normal'] as const) {
        await suite.run({ shape, rules: [[[128, 0, 1], [192, 0, 1]]], bound: 600, prefill: [0, 2, 97, 128], decodes: 150, lane, seed: 3, shufflePages: true, multiprocessors: 5 });
      }
    }
  });

  test.each(Object.entries(pieceCases))('%s in a block', { timeout }, async (_, testCase) => {
    await suite.run(testCase);
    await isBatchInvariant(target, testCase);
  });

  test('prefills that end at the edges of rounds', { timeout }, async () => {
    for (const rounds of [1, 2, 3]) {
      const edge = 64 + rounds * 128;
      await suite.run({ shape: 'fp16_d64_6x2', rules: [[[192, 0, 1], [128, 0, 1], [192, 0, 1], [128, 0, 1], [128, 0, 1], [192, 0, 1]]], bound: 900, prefill: [edge - 1, edge, edge + 1], decodes: 3, lane: 'uniform', seed: rounds, compareWhole: true });
    }
  });
});
