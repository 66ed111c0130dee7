/**
 * Runs `npm run test:full` for CI and reports what has run whichever way it ends: the last line is `N passed, N failed`, and the
 * lines above name the failures. Exits as npm did; when cut off, as that signal; never with 0 after a failure.
 *
 * There is no time limit: the one of CI holds. `MOA_CI_LIMIT=SECONDS` sets one. Tests of Python get an environment of their own (`scripts/testPython.mjs`); where it
 * cannot be made they are skipped, and say so.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { readResults, summarise } from './testResults.mjs';

/** What is still running gets this long to remove its temporary folders. CI may follow a SIGTERM with a SIGKILL soon. */
const graceMs = 2000;

const folder = mkdtempSync(join(tmpdir(), 'moa-ci-'));
const path = join(folder, 'results.jsonl');
const start = performance.now();

if (process.env.MOA_TEST_PYTHON === undefined) spawnSync(process.execPath, [fileURLToPath(new URL('testPython.mjs', import.meta.url))], { stdio: ['ignore', 'inherit', 'inherit'] });

// A process group of its own, so that all of it can be ended and this process is left to report.
const child = spawn('npm', ['run', 'test:full', ...process.argv.slice(2)], { detached: true, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, MOA_TEST_RESULTS: path } });

function endGroup(signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // All of it has ended.
  }
}

let cut;
function cutOff(signal, reason) {
  if (cut !== undefined) return;
  cut = { signal, reason };
  endGroup('SIGTERM');
  setTimeout(() => report(undefined, undefined), graceMs);
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => cutOff(signal, `cut off by ${signal}`));
const limit = Number(process.env.MOA_CI_LIMIT ?? 0);
if (limit > 0) setTimeout(() => cutOff('SIGTERM', `cut off by MOA_CI_LIMIT=${limit}`), limit * 1000);

child.on('error', (error) => report(undefined, undefined, error.message));
child.on('exit', (code, signal) => report(code, signal));

function report(code, signal, problem) {
  endGroup('SIGKILL');
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  const how = cut?.reason ?? problem ?? (signal ? `ended by ${signal}` : code === 0 ? undefined : `ended with exit code ${code}`);
  const results = readResults(path);
  rmSync(folder, { recursive: true, force: true });
  const { passed, skipped, failures } = summarise(results, how && `npm run test:full: ${how} after ${seconds} s`);
  const ran = [...results.files.values()].filter(({ ended }) => ended).length;
  console.log(`\n${ran} of ${results.expected} test files ran in ${seconds} s${skipped > 0 ? `; ${skipped} tests skipped` : ''}`);
  for (const failure of failures) console.log(`failed: ${failure}`);
  console.log(`${passed} passed, ${failures.length} failed`);
  const bySignal = cut?.signal ?? signal;
  process.exit(bySignal ? 128 + constants.signals[bySignal] : code || (failures.length > 0 ? 1 : 0));
}
