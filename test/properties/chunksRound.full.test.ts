/** Prompts in chunks behind rings that have gone round: chunks longer and shorter than windows, and sinks that are not whole pages. */
import { describe, test } from 'vitest';
import { Suite, timeout } from './suite.ts';

describe('prefill in chunks, behind rings that have gone round', () => {
  const suite = new Suite('chunks, rings that have gone round');

  const facts = { rules: [[[192, 0, 1], [320, 0, 1]]], bound: 1000, prefill: [700, 0, 81], decodes: 1, lane: 'normal', compareWhole: true } as const;

  test('in the type of the session', { timeout }, async () => {
    for (const family of ['portable', 'hopper'] as const) {
      for (const [chunk, shape] of [[40, 'bf16_d64_2x1'], [64, 'bf16_d64_2x1_sink4'], [130, 'bf16_d64_2x2_sink0'], [333, 'fp16_d128_2x1_sink100'], [500, 'bf16_d64_2x1']] as const) {
        await suite.run({ ...facts, shape, chunk, seed: chunk, family });
      }
    }
  });

  test('in E4M3', { timeout }, async () => {
    for (const family of ['portable', 'hopper'] as const) {
      for (const [chunk, shape] of [[40, 'bf16_d64_2x1_sink4'], [130, 'fp16_d128_2x1_sink100'], [333, 'bf16_d64_2x2_sink0']] as const) {
        await suite.run({ ...facts, shape, chunk, seed: chunk, family, cacheType: 'e4m3', shufflePages: true });
      }
    }
  });
});
