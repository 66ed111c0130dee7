/** Steps in which each sequence brings none, one or many tokens, from one captured graph. */
import { expect, test } from 'vitest';
import { mixtureIsEager } from './mixtures.ts';
import type { PlanSpec } from './plans.ts';
import { target, timeout } from './suite.ts';

const rules: PlanSpec['rules'] = [[[128, 0, 1], [192, 0, 1]], [[128, 0, 1], [0, 1, 1]]];
const spec: PlanSpec = { shape: 'bf16_d64_2x1', rules, rope: false };

test.each([
  ['the kernels of cp.async and mma.sync', { ...spec, family: 'portable' }],
  ['the kernels of bulk copies and wgmma', { ...spec, family: 'hopper' }],
  ['a cache in E4M3', { ...spec, cacheType: 'e4m3' }],
  ['RoPE', { ...spec, rope: true }],
] as const)('with %s', { timeout }, async (_, of) => {
  // A pool that is smaller than all sequences at their longest.
  const happened = await mixtureIsEager(target, of, { steps: 60, pages: 22 });
  for (const what of ['add', 'fork', 'truncate', 'together', 'one by one', 'as prefill']) expect(happened.get(what) ?? 0, what).toBeGreaterThan(0);
});
