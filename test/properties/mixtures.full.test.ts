/** Two thousand replays of one captured step, beside eager calls. */
import { expect, test } from 'vitest';
import { mixtureIsEager } from './mixtures.ts';
import type { PlanSpec } from './plans.ts';
import { target } from './suite.ts';

const rules: PlanSpec['rules'] = [[[128, 0, 1], [192, 0, 1]], [[128, 0, 1], [0, 1, 1]]];

test('2,000 replays while sequences come, fork, go back, are preempted and end', { timeout: 1_200_000 }, async () => {
  const happened = await mixtureIsEager(target, { shape: 'bf16_d64_2x1', rules, rope: false }, { steps: 2000, pages: 22 });
  console.log([...happened].map(([what, count]) => `${what} ${count}`).join(', '));
  for (const what of ['add', 'fork', 'remove', 'truncate', 'pool full', 'preempted', 'together', 'one by one', 'as prefill']) {
    expect(happened.get(what) ?? 0, what).toBeGreaterThan(10);
  }
});
