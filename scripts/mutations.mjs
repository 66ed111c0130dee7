/**
 * Plants bugs, one at a time, in a copy of the compiler and runs the quick property tests, or the test that it names, against each: every one must be found.
 *
 *     npm run test:mutations [-- part-of-a-name ...]
 *
 * Prints a table; exits with 1 when a bug survives, or when a mutation no longer fits the source it was written for.
 */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mutations } from './mutationList.mjs';

const root = fileURLToPath(new URL('../', import.meta.url));
const wanted = process.argv.slice(2);
const chosen = mutations.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));

/** The tests take half a minute, more when other work runs. */
const hangsAfterMs = 200_000;

const copy = mkdtempSync(join(tmpdir(), 'moa-mutations-'));
for (const part of ['src', 'templates', 'test', 'native', 'package.json', 'tsconfig.json']) cpSync(join(root, part), join(copy, part), { recursive: true });
for (const part of ['node_modules', 'build']) symlinkSync(join(root, part), join(copy, part));

/** Whether the tests fail, and the first line that says why. */
function runTests({ files, only }) {
  const environment = { ...process.env, XDG_CACHE_HOME: join(copy, 'cache'), TMPDIR: copy, NO_COLOR: '1' };
  const vitest = join(copy, 'node_modules/vitest/vitest.mjs');
  return new Promise((resolve) => {
    // A process group of its own: a planted bug may hang a worker of the tests, which would outlive them.
    const child = spawn(process.execPath, [vitest, 'run', '--bail', '1', '--root', copy, ...files, ...(only === undefined ? [] : ['-t', only])], { cwd: copy, env: environment, detached: true });
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    child.stderr.on('data', (chunk) => (text += chunk));
    const killAll = () => {
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // All of it has ended.
      }
    };
    let hangs = false;
    const timer = setTimeout(() => {
      hangs = true;
      killAll();
    }, hangsAfterMs);
    child.on('exit', (code) => {
      clearTimeout(timer);
      killAll();
      const lines = text.split('\n');
      const reason = hangs ? 'the tests hang' : (lines.find((line) => /^\s*(\w*(Failure|Error)):/.test(line)) ?? lines.find((line) => /Error|FAIL/.test(line)) ?? '');
      resolve({ failed: code !== 0, reason: reason.trim().slice(0, 150) });
    });
  });
}

let bad = 0;
const say = (verdict, name, seconds, reason) => console.log(`${verdict.padEnd(9)} ${`${seconds.toFixed(0)} s`.padStart(6)}  ${name.padEnd(58)} ${reason}`);

try {
  for (const test of new Set(chosen.map((mutation) => mutation.test))) {
    const start = performance.now();
    const clean = await runTests(test);
    say(clean.failed ? 'FAILS' : 'passes', 'the compiler as it is', (performance.now() - start) / 1000, clean.reason);
    if (clean.failed) process.exit(1);
  }
  for (const { name, file, find, replace, test } of chosen) {
    const path = join(copy, file);
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    if (text.split(find).length !== 2) {
      bad += 1;
      say('STALE', name, 0, `${file} holds the text ${text.split(find).length - 1} times`);
      continue;
    }
    writeFileSync(path, text.replace(find, () => replace));
    const before = performance.now();
    const { failed, reason } = await runTests(test);
    writeFileSync(path, text);
    // A bug that does not build proves nothing.
    const verdict = !failed ? 'SURVIVED' : /MOA6205|Command failed: g\+\+/.test(reason) || reason === '' ? 'BROKEN' : 'killed';
    if (verdict !== 'killed') bad += 1;
    say(verdict, name, (performance.now() - before) / 1000, reason);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
console.log(`${chosen.length - bad} of ${chosen.length} planted bugs were found`);
process.exitCode = bad === 0 ? 0 : 1;
