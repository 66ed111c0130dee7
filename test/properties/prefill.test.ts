/** Prefill against the oracle: random rules, shapes and batches, and every small length. */
import { describe, test } from 'vitest';
import { caseArbitrary } from './arbitraries.ts';
import { range } from './runCase.ts';
import { Suite, timeout } from './suite.ts';

describe('prefill', () => {
  const suite = new Suite('prefill');

  test('output, LSE, counts and cache are those of the oracle', { timeout }, async () => {
    await suite.check(caseArbitrary({ layers: 2 }), 70);
  });

  test('long sequences, whose windows leave tiles out', { timeout }, async () => {
    await suite.check(caseArbitrary({ shapes: ['bf16_d64_2x2', 'bf16_d64_2x1_sink4', 'bf16_d128_3x1'], bound: 1200, tiles: 160 }), 10);
  });

  test('RoPE turns queries and keys where they lie', { timeout }, async () => {
    await suite.check(caseArbitrary({ rope: true, shapes: ['bf16_d64_4x2', 'fp16_d64_6x2', 'bf16_d128_3x1', 'fp16_d128_2x2'], lanes: ['normal'], tiles: 25 }), 12);
  });

  test('a scale other than the default', { timeout }, async () => {
    await suite.check(
      caseArbitrary({ shapes: ['bf16_d64_2x2', 'fp16_d128_2x2'], lanes: ['normal'], tiles: 20 }).map((testCase) => ({ ...testCase, scale: 0.05 + (testCase.seed % 7) / 10, queryScale: 1 })),
      6,
    );
  });

  test('every length from 1 to 130, exactly', { timeout }, async () => {
    for (const lane of ['uniform', 'oneHot'] as const) {
      for (const first of range(0, 13)) {
        const prefill = range(1, 11).map((n) => first * 10 + n);
        await suite.run({ shape: 'bf16_d64_2x2', rules: [[[128, 0, 1], [0, 1, 1]]], bound: 130, prefill, decodes: 0, lane, seed: first });
      }
    }
  });
});
