/** `moa-compile search` with every option of a plan. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { profiled, SearchFixture, wide } from './searchVariants.ts';
import { runMany, scratchFolder } from './support.ts';

const fixture = new SearchFixture();
fixture.describe(Object.keys(fixture.variants));

test('more freedom is no worse, and a front has plans for each length', () => {
  const valueOf = (name: string): number => fixture.plan(name).certificate.value;
  const order = [['any number of rules', 'default'], ['default', 'one rule'], ['rules by query head', 'default'], ['three rules by query head', 'rules by query head'], ['a finer grid', 'default'], ['default', 'bounds by length']] as const;
  for (const [free, bound] of order) expect([free, valueOf(free) <= valueOf(bound) * (1 + 1e-4)]).toEqual([free, true]);
  const { plans } = fixture.answer('a front');
  expect(plans.length).toBeGreaterThan(1);
  for (const length of profiled) expect(Math.min(...plans.map(({ losses }) => losses[length]!))).toBeLessThanOrEqual(plans[0]!.losses[length]!);
});

test('the bounds that a message names can be held', () => {
  const cases = [['0.3@512,0.45@1k', ...wide], ['0.29@512,0.4@1k', ...wide, '--rules-per-layer', '1'], ['0.9@512,0.15@1k,0.2@2k', '--extend', '2k', '--alpha-step', '512', '--betas', '3'], ['0.1'], ['0@1536']];
  const own = scratchFolder();
  const first = runMany(cases.map(([bounds, ...more]) => ['search', fixture.profile.path, '-o', join(own, 'a.json'), '--density', bounds!, ...more]));
  const named = first.map(({ stderr }) => [...stderr.matchAll(/density (\S+) at (\d+)(?:: the least that any candidate keeps there is ([\d.]+))?/g)].map(([, bound, length, least]) => [length!, least ?? bound!] as const));
  // Of two that are named for a length, the last is the one of the help.
  const again = runMany(cases.map(([, ...more], at) => ['search', fixture.profile.path, '-o', join(own, `${at}.json`), '--density', [...new Map(named[at]!)].map(([length, bound]) => `${bound}@${length}`).join(), ...more]));
  first.forEach(({ status, stderr }) => expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining('MOA7301') }));
  again.forEach(({ status, stderr }) => expect({ status, stderr }).toEqual({ status: 0, stderr: '' }));
});
