/** Decode kernels that know nothing of the model but its head dimension: what measurements compare with. */
import { describe, test } from 'vitest';
import { caseArbitrary } from './arbitraries.ts';
import { Suite, timeout } from './suite.ts';

const suite = new Suite('unspecialised');

describe('unspecialised decode', () => {
  test('is that of the oracle', () => suite.check(caseArbitrary({ shapes: ['bf16_d64_2x1', 'bf16_d64_4x2', 'fp16_d128_2x2', 'bf16_d64_2x1_sink4'], decodes: 4, tiles: 10, with: { ablations: ['unspecialised'] } }), 8), timeout);
});
