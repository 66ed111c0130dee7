/**
 * Fuzzes the front end for longer than `npm test` does: random and mutated bytes as plans and configs.
 *
 *     npm run fuzz [-- COUNT [SEED]]     a million inputs by default: a minute or two
 *
 * A failure prints its seed; the same count and seed repeat it.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const [count = '1000000', seed] = process.argv.slice(2);
for (const number of seed === undefined ? [count] : [count, seed]) {
  if (/^[1-9]\d{0,9}$/.test(number)) continue;
  process.stderr.write(`fuzz: ${number} is not a positive integer\n`);
  process.exit(2);
}
const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url));
const variables = { ...process.env, MOA_FUZZ_COUNT: count, ...(seed === undefined ? {} : { MOA_FUZZ_SEED: seed }) };
const { status } = spawnSync(process.execPath, [vitest, 'run', 'test/plan/fuzz.test.ts'], { stdio: 'inherit', env: variables });
process.exit(status ?? 1);
