/** Prompts in chunks: outputs, counts and cache are those of the oracle, and what one call gives. */
import { describe, test } from 'vitest';
import { caseArbitrary } from './arbitraries.ts';
import { largestNumbersStay } from './largestNumbers.ts';
import { Suite, target, timeout } from './suite.ts';

describe('prefill in chunks', () => {
  const suite = new Suite('chunks');

  test('is prefill at once', { timeout }, async () => {
    await suite.check(caseArbitrary({ chunks: true, compareWhole: true, decodes: 3, tiles: 14, layers: 2 }), 40);
  });

  test('that visit more pages than their tokens fill, cut in two', { timeout }, async () => {
    const chunks = { decodes: 2, lane: 'uniform', family: 'hopper', splitPages: 2, compareWhole: true, rope: false } as const;
    await suite.run({ ...chunks, shape: 'bf16_d64_2x1_sink4', rules: [[[122, 5, 8], [122, 5, 8]]], bound: 139, seed: 1, multiprocessors: 8, chunk: 18, prefill: [137, 137, 2, 137] });
    await suite.run({ ...chunks, shape: 'bf16_d128_3x1', rules: [[[0, 1, 1], [0, 1, 1], [0, 1, 1]]], bound: 1416, seed: 2, multiprocessors: 1, chunk: 65, prefill: [99], modelWindows: [320] });
  });

  test('with RoPE', { timeout }, async () => {
    await suite.check(caseArbitrary({ chunks: true, compareWhole: true, rope: true, decodes: 2, shapes: ['bf16_d64_4x2', 'fp16_d64_6x2', 'bf16_d128_3x1', 'fp16_d128_2x2'], lanes: ['normal'], tiles: 8 }), 10);
  });

  test('behind a cache in E4M3', { timeout }, async () => {
    await suite.check(caseArbitrary({ chunks: true, compareWhole: true, decodes: 3, tiles: 10, layers: 2, with: { cacheType: 'e4m3' } }), 16);
  });

  test('behind a cache in E4M3, with RoPE', { timeout }, async () => {
    await suite.check(caseArbitrary({ chunks: true, rope: true, decodes: 2, shapes: ['bf16_d64_4x2', 'fp16_d128_2x2'], lanes: ['normal'], tiles: 8, with: { cacheType: 'e4m3' } }), 4);
  });

  test.each(['portable', 'hopper'] as const)('behind a cache in E4M3, of the largest numbers: %s', { timeout }, async (family) => {
    await largestNumbersStay(target, 'fp16_d64_6x2', family);
    await largestNumbersStay(target, 'bf16_d64_4x2', family);
  });
});
