/** A few fixed cases that touch everything: the tests that planted bugs are held against (`scripts/mutations.mjs`). */
import { describe, test } from 'vitest';
import type { Case } from './case.ts';
import * as relations from './metamorphic.ts';
import { outputsOf } from './outputs.ts';
import type { RuleSpec } from './plans.ts';
import { Suite, target, timeout } from './suite.ts';

const dense: RuleSpec = [0, 1, 1];
const short: RuleSpec = [128, 0, 1];
const half: RuleSpec = [0, 1, 2];
const facts = { bound: 420, seed: 1, multiprocessors: 8 } as const;
const mixed: Case = { ...facts, shape: 'bf16_d64_4x2', rules: [[dense, short, short, half]], prefill: [200, 0, 65], decodes: 3, lane: 'normal', shufflePages: true, compareWhole: true };

const cases: Readonly<Record<string, Case>> = {
  'mixed rules': mixed,
  'mixed rules, one-hot': { ...mixed, lane: 'oneHot', seed: 2 },
  'mixed rules, exact counts': { ...mixed, lane: 'uniform', seed: 3, prefill: [129, 64, 1], multiprocessors: 32 },
  'windows that leave tiles out': { ...mixed, lane: 'uniform', rules: [[short, short, [192, 0, 1], short]], prefill: [400], seed: 4, decodes: 2 },
  'equal windows': { ...mixed, lane: 'oneHot', rules: [[short, short, short, short]], prefill: [191, 0], seed: 5, decodes: 70, multiprocessors: 3, compareWhole: false },
  'more pages than stages': { ...mixed, lane: 'oneHot', rules: [[dense, short, dense, half]], prefill: [330, 417], decodes: 2, seed: 8, multiprocessors: 1, compareWhole: false },
  'a short sink': { ...mixed, shape: 'bf16_d64_2x1_sink4', lane: 'uniform', rules: [[short, [192, 0, 1]]], prefill: [0, 130], decodes: 140, seed: 6, compareWhole: false, multiprocessors: 1 },
  'headDim 128 with RoPE': { ...mixed, shape: 'bf16_d128_3x1', rules: [[short, half, dense], [short, short, short]], prefill: [70, 131], decodes: 3, rope: true, seed: 7, queryScale: 2 },
};

const bulk = { family: 'hopper', compareWhole: false } as const;
const bulkCases: Readonly<Record<string, Case>> = {
  'mixed rules in bulk': { ...mixed, ...bulk, seed: 9 },
  'more pages than stages in bulk, one-hot': { ...mixed, ...bulk, lane: 'oneHot', rules: [[dense, short, dense, half], [short, short, short, short]], prefill: [330, 417, 200, 199], decodes: 2, seed: 10, multiprocessors: 1 },
  'two layers with RoPE in bulk': { ...mixed, ...bulk, shape: 'bf16_d64_4x2', rules: [[dense, half, short, dense], [short, short, short, short]], prefill: [70, 131], decodes: 3, rope: true, seed: 11 },
};

describe('quick', () => {
  const suite = new Suite('quick');
  test.each(Object.entries({ ...cases, ...bulkCases }))('%s', { timeout }, async (_, testCase) => void (await suite.run(testCase)));

  test('timing does not matter', { timeout }, async () => {
    await relations.seedsDoNotMatter(target, { ...mixed, decodes: 4, multiprocessors: 32, prefill: [200, 3, 129, 1] });
    // Rings in five splits: the sum of two does not depend on their order.
    await relations.seedsDoNotMatter(target, { ...mixed, bound: 700, rules: [[dense, dense, dense, dense]], decodes: 4, multiprocessors: 32, prefill: [640] });
  });

  test('capture is eager, and prefill batch invariant', { timeout }, async () => {
    await relations.captureIsEager(target, mixed);
    await relations.prefillIsBatchInvariant(target, mixed);
  });

  test('no bank conflicts', { timeout }, async () => {
    await outputsOf(target, mixed, { device: { failOnBankConflict: true, multiprocessors: 8 } });
  });
});
