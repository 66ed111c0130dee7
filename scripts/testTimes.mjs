/**
 * Where the time of a test run went, by file, from the results that a run with MOA_TEST_RESULTS=FILE left (testReporter.mjs).
 *
 *     MOA_TEST_RESULTS=/tmp/results.jsonl npm run test:full; node scripts/testTimes.mjs /tmp/results.jsonl [--write]
 *
 * `--write` keeps the seconds in test/durations.json: the longest files run first, and `npm run test:quick` leaves out the slow ones.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { readResults } from './testResults.mjs';

const [path, option] = process.argv.slice(2);
if (path === undefined || (option !== undefined && option !== '--write')) {
  console.error('usage: node scripts/testTimes.mjs RESULTS.jsonl [--write]');
  process.exit(1);
}
const files = [...readResults(path).files.values()].filter(({ ended }) => ended).sort((a, b) => b.ms - a.ms);
const seconds = ({ ms }) => Number((ms / 1000).toFixed(1));
const total = files.reduce((sum, { ms }) => sum + ms, 0) / 1000;
for (const file of files) console.log(`${seconds(file).toFixed(1).padStart(7)} s  ${String(file.tests.length).padStart(4)} tests  ${file.file}`);
console.log(`${total.toFixed(1).padStart(7)} s  ${String(files.reduce((sum, { tests }) => sum + tests.length, 0)).padStart(4)} tests`);

if (option === '--write') {
  const target = new URL('../test/durations.json', import.meta.url);
  const known = JSON.parse(readFileSync(target, 'utf8'));
  for (const file of files) known[file.file] = seconds(file);
  const sorted = Object.fromEntries(Object.entries(known).sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(target, `${JSON.stringify(sorted, null, 2)}\n`);
}
