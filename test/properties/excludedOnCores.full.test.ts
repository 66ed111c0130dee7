/** Excluded tokens do not matter: more cases of decode on CUDA cores, beside those of `excluded.test.ts`. */
import { expect, test } from 'vitest';
import { base, comparedWithout } from './excluded.ts';
import { target, timeout } from './suite.ts';

test.each([
  ['portable', 16, 12],
  ['portable', 17, 3],
  ['portable', 18, 12],
  ['portable', 19, 3],
  ['hopper', 16, 12],
  ['hopper', 17, 3],
  ['hopper', 18, 12],
  ['hopper', 19, 3],
] as const)('%s, with a peaked softmax, seed %i', { timeout }, async (family, seed, queryScale) => {
  expect(await comparedWithout(target, { ...base, decodes: 4, ablations: ['cuda-cores'], family, seed, queryScale })).toBeGreaterThan(0);
});
