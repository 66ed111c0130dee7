/** Adds up the parts of a GPU test run: `node mergeTests.mjs OUT.json PART.json ...`. Exits with 1 when a case failed. */
import { readFileSync, writeFileSync } from 'node:fs';

const [out, ...paths] = process.argv.slice(2);
const parts = paths.map((path) => JSON.parse(readFileSync(path, 'utf8')));
const worst = parts.reduce((a, b) => (b.multiple > a.multiple ? b : a));
const sum = (field) => parts.reduce((total, part) => total + part[field], 0);
const failures = parts.flatMap((part) => part.failures);
const result = {
  device: worst.device,
  seed: worst.seed,
  cases: sum('cases'),
  rows: sum('rows'),
  failures,
  largestErrorMultiple: worst.multiple,
  worstCase: worst.worst,
  largestLseShareOfLimit: Math.max(...parts.map((part) => part.lseShare)),
  seconds: Math.max(...parts.map((part) => part.seconds)),
};
writeFileSync(out, `${JSON.stringify(result, null, 1)}\n`);
console.log(`${result.device}: ${result.cases} cases, ${failures.length} failed, ${result.rows} rows, largest error ${result.largestErrorMultiple.toFixed(2)} x the plain computation's (2 allowed), ${result.seconds.toFixed(0)} s`);
process.exit(failures.length === 0 ? 0 : 1);
