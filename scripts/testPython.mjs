/**
 * Makes the Python that tests use where it is there: a virtual environment in `build/test-python` with what sessions, attached models and the search need.
 *
 *     node scripts/testPython.mjs      or npm run setup:python
 *
 * Needs python3 with its venv module, and a package index. Does nothing where the environment has all of it. Exit status 1, and why, where it cannot be made; nothing
 * half-made is left then.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Of the tests: newer ones may differ in what they call. */
const packages = ['torch==2.13.0', 'transformers>=5,<6', 'safetensors', 'tqdm'];
/** Of an index that does not answer. */
const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--timeout', '20', '--retries', '1'];
const limitMs = 600_000;

const folder = fileURLToPath(new URL('../build/test-python', import.meta.url));
const pythonOf = (environment) => `${environment}/bin/python`;
const run = (command, args) => spawnSync(command, args, { encoding: 'utf8', timeout: limitMs, stdio: ['ignore', 'pipe', 'pipe'] });
const tried = () => run(pythonOf(folder), ['-c', 'import torch, transformers, safetensors, tqdm']);

function fail(what, { error, stderr }) {
  process.stderr.write(`test Python: ${what}: ${error?.message ?? (stderr.trim().split('\n').at(-1) || 'no reason was given')}\n`);
  process.exit(1);
}

if (tried().status !== 0) {
  // pip's programs name the folder that they were installed into, but nobody calls them.
  const made = `${folder}.${process.pid}`;
  mkdirSync(fileURLToPath(new URL('../build', import.meta.url)), { recursive: true });
  process.on('exit', () => rmSync(made, { recursive: true, force: true }));
  process.stderr.write(`test Python: installing ${packages.join(', ')} into build/test-python\n`);
  const environment = run('python3', ['-m', 'venv', made]);
  if (environment.status !== 0) fail('python3 -m venv failed', environment);
  const installed = run(pythonOf(made), [...pip, ...packages]);
  if (installed.status !== 0) fail('pip failed', installed);
  rmSync(folder, { recursive: true, force: true });
  renameSync(made, folder);
  const complete = tried();
  if (complete.status !== 0) fail('the environment lacks packages', complete);
}
