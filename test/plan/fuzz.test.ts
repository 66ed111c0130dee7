import { expect, it } from 'vitest';
import { fuzzFormats, fuzzFrontEnd } from './fuzz.ts';

/** `MOA_FUZZ_COUNT=1000000 npx vitest run test/plan/fuzz.test.ts` tries a million; `MOA_FUZZ_SEED` repeats a failure. */
const count = Number(process.env['MOA_FUZZ_COUNT'] ?? 10_000);
const seed = Number(process.env['MOA_FUZZ_SEED'] ?? (count > 10_000 ? Date.now() % 2 ** 31 : 1));

it(`takes ${count} inputs (seed ${seed})`, { timeout: 20_000 + count * 5 }, () => {
  const { plans, configs, codes } = fuzzFrontEnd({ count, seed });
  console.log(`${plans} plans, ${configs} configs, ${[...codes].sort().map(([code, times]) => `${code} x ${times}`).join(', ')}`);
  // The inputs are no use if they are all right, or all wrong in the same way.
  expect(plans).toBeGreaterThan(count / 20);
  expect(configs).toBeGreaterThan(count / 200);
  expect(codes.size).toBeGreaterThan(20);
});

it(`takes ${count} inputs of all formats (seed ${seed})`, { timeout: 20_000 + count * 5 }, () => {
  const { plans, configs, codes } = fuzzFormats({ count, seed });
  console.log(`${plans} plans, ${configs} of other formats, ${[...codes].sort().map(([code, times]) => `${code} x ${times}`).join(', ')}`);
  expect(plans).toBeGreaterThan(count / 50);
  expect(configs).toBeGreaterThan(count / 100);
  expect([...codes.keys()].filter((code) => code.startsWith('MOA13')).length).toBeGreaterThan(10);
});
