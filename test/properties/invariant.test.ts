/** The central invariant: prefill of n + m tokens is prefill of n and m decodes, in outputs and in the cache. */
import { describe, test } from 'vitest';
import { caseArbitrary } from './arbitraries.ts';
import { Suite, timeout } from './suite.ts';

describe('prefill(n + m) is prefill(n) and m decodes', () => {
  const suite = new Suite('central invariant');

  test('without RoPE', { timeout }, async () => {
    await suite.check(caseArbitrary({ compareWhole: true, decodes: 6, tiles: 12, layers: 2 }), 40);
  });

  test('with RoPE', { timeout }, async () => {
    await suite.check(caseArbitrary({ compareWhole: true, rope: true, decodes: 6, shapes: ['bf16_d64_4x2', 'fp16_d64_6x2', 'bf16_d128_3x1', 'fp16_d128_2x2'], lanes: ['normal'], tiles: 8 }), 10);
  });
});
