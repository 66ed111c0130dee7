/** Excluded tokens do not matter: more cases of decode on CUDA cores, beside those of `excluded.test.ts`. */
import { expect, test } from 'vitest';
import type { Case } from './case.ts';
import { comparedWithout } from './excluded.ts';
import { target, timeout } from './suite.ts';

const rules = [[[0, 1, 1], [128, 0, 1], [192, 0, 1], [128, 0, 1]]] as const;
const base = { shape: 'bf16_d64_4x2', rules, bound: 420, prefill: [260, 28], decodes: 4, lane: 'normal', multiprocessors: 4, ablations: ['cuda-cores'] } satisfies Partial<Case>;

test.each([
  ['mmaSync', 16, 12],
  ['mmaSync', 17, 3],
  ['mmaSync', 18, 12],
  ['mmaSync', 19, 3],
  ['hopper', 16, 12],
  ['hopper', 17, 3],
  ['hopper', 18, 12],
  ['hopper', 19, 3],
] as const)('%s, with a peaked softmax, seed %i', { timeout }, async (family, seed, queryScale) => {
  expect(await comparedWithout(target, { ...base, rules: base.rules.map((layer) => [...layer]), family, seed, queryScale })).toBeGreaterThan(0);
});
