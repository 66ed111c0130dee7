/** Decode on CUDA cores, which no kernel uses by itself: `--ablate cuda-cores`. */
import { describe, test } from 'vitest';
import type { Case } from './case.ts';
import { outputsOf } from './outputs.ts';
import type { RuleSpec } from './plans.ts';
import { shapeOf, type modelShapes, type smallShapes } from './shapes.ts';
import { Suite, target, timeout } from './suite.ts';

const dense: RuleSpec = [0, 1, 1];
const short: RuleSpec = [128, 0, 1];
const longer: RuleSpec = [192, 0, 1];
const half: RuleSpec = [0, 1, 2];
const facts = { bound: 420, multiprocessors: 8, ablations: ['cuda-cores'] } as const;
const families = ['portable', 'hopper'] as const;

type Name = keyof typeof smallShapes | keyof typeof modelShapes;
const rulesOf = (shape: Name, rules: readonly RuleSpec[]): readonly (readonly RuleSpec[])[] => [Array.from({ length: shapeOf(shape).queryHeads }, (_, head) => rules[head % rules.length]!)];

/** Groups of 1, 2, 4 and 8, and of 3 and 7, which leave one of the lanes that they are laid out for without a head. */
const groups: readonly Name[] = ['bf16_d64_2x2', 'bf16_d64_2x1', 'fp16_d64_6x2', 'llama32', 'fp16_d64_8x1', 'fp16_d128_2x2', 'fp16_d128_2x1_sink100', 'bf16_d128_3x1', 'llama3', 'bf16_d128_7x1'];

/** The family changes how pages come, not what is computed: one of them runs a few. */
const groupsOf = { hopper: groups, portable: ['bf16_d64_2x1', 'fp16_d64_8x1', 'bf16_d128_3x1'] } as const;

describe.each(families)('decode on CUDA cores, %s', (family) => {
  const suite = new Suite(`cudaCores, ${family}`);
  // Prefill is not what is tested.
  const shared = { ...facts, family, shufflePages: true, sampleRows: 2 } as const;

  test.each(groupsOf[family])('%s: heads with windows of their own', { timeout }, async (shape) => {
    const rules = rulesOf(shape, [dense, short, longer, half]);
    await suite.run({ ...shared, shape, rules, prefill: [200, 0, 65], decodes: 3, lane: 'normal', seed: 1, rope: true });
    await suite.run({ ...shared, shape, rules: rulesOf(shape, [short]), prefill: [191, 63], decodes: 3, lane: 'oneHot', seed: 2 });
  });

  test('exact counts', { timeout }, async () => {
    await suite.run({ ...shared, shape: 'bf16_d64_4x2', rules: rulesOf('bf16_d64_4x2', [dense, short]), prefill: [129, 64, 1], decodes: 3, lane: 'uniform', seed: 3, multiprocessors: 32 });
  });

  test('a short sink, around the ring', { timeout }, async () => {
    await suite.run({ ...shared, shape: 'bf16_d64_2x1_sink4', rules: rulesOf('bf16_d64_2x1_sink4', [short, longer]), prefill: [0, 130], decodes: 140, lane: 'uniform', seed: 6 });
    await suite.run({ ...shared, shape: 'bf16_d64_2x2_sink0', rules: rulesOf('bf16_d64_2x2_sink0', [short]), prefill: [70], decodes: 70, lane: 'oneHot', seed: 7 });
  });

  test('scores that raise the maximum again and again', { timeout }, async () => {
    await suite.run({ ...shared, shape: 'bf16_d128_3x1', rules: rulesOf('bf16_d128_3x1', [dense, half]), prefill: [400], decodes: 2, lane: 'normal', seed: 8, queryScale: 40, multiprocessors: 1 });
  });

  test.each(groupsOf.portable)('%s: no bank conflicts', { timeout }, async (shape) => {
    const testCase: Case = { ...shared, shape, rules: rulesOf(shape, [short, longer]), prefill: [130, 7], decodes: 2, lane: 'normal', seed: 5, clean: true };
    await outputsOf(target, testCase, { device: { failOnBankConflict: true, multiprocessors: 8 } });
  });
});
