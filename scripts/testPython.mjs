/**
 * Makes the Pythons that tests use where they are there, as virtual environments: `build/test-python` with what sessions, attached models and the search need, and
 * `build/test-python-hf4`, the same with the oldest transformers that the package takes. The second one has what differs, and finds the rest in the first.
 *
 *     node scripts/testPython.mjs      or npm run setup:python
 *
 * Needs python3 with its venv module, and a package index. Does nothing where the environments have all of it. Exit status 1, and why, where one cannot be made; nothing
 * half-made is left then.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** `packages`: of the tests, newer ones may differ in what they call. `complete`: a program that fails where something is missing. `base`: an environment that has the rest. */
const newest = {
  name: 'test-python',
  packages: ['torch==2.13.0', 'transformers>=5,<6', 'safetensors', 'tqdm'],
  complete: 'import torch, transformers, safetensors, tqdm',
};
const oldest = {
  name: 'test-python-hf4',
  packages: ['transformers==4.57.6'],
  complete: 'import torch, transformers, safetensors, tqdm; assert transformers.__version__ == "4.57.6"',
  base: newest,
};

/** Of an index that does not answer. */
const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--timeout', '20', '--retries', '1'];
const limitMs = 600_000;

const build = fileURLToPath(new URL('../build', import.meta.url));
const folderOf = ({ name }) => join(build, name);
const pythonOf = (folder) => join(folder, 'bin/python');
const run = (command, args) => spawnSync(command, args, { encoding: 'utf8', timeout: limitMs, stdio: ['ignore', 'pipe', 'pipe'] });
const tried = (environment) => run(pythonOf(folderOf(environment)), ['-c', environment.complete]);

function fail(environment, what, { error, stderr }) {
  process.stderr.write(`test Python: build/${environment.name}: ${what}: ${error?.message ?? (stderr.trim().split('\n').at(-1) || 'no reason was given')}\n`);
  process.exit(1);
}

/** Where an environment has its packages. */
function packagesOf(environment, folder) {
  const found = run(pythonOf(folder), ['-c', 'import sysconfig; print(sysconfig.get_path("purelib"))']);
  if (found.status !== 0) fail(environment, 'the new Python does not run', found);
  return found.stdout.trim();
}

function make(environment) {
  const { name, packages, base } = environment;
  const folder = folderOf(environment);
  // pip's programs name the folder that they were installed into, but nobody calls them.
  const made = `${folder}.${process.pid}`;
  mkdirSync(build, { recursive: true });
  process.on('exit', () => rmSync(made, { recursive: true, force: true }));
  process.stderr.write(`test Python: installing ${packages.join(', ')} into build/${name}\n`);
  const created = run(base === undefined ? 'python3' : pythonOf(folderOf(base)), ['-m', 'venv', made]);
  if (created.status !== 0) fail(environment, 'python3 -m venv failed', created);
  if (base !== undefined) {
    // What is not found in the environment is looked for there. pip installs what is there in another version.
    const own = packagesOf(environment, made);
    writeFileSync(join(own, 'base.pth'), `${relative(own, packagesOf(base, folderOf(base)))}\n`);
  }
  const installed = run(pythonOf(made), [...pip, ...packages]);
  if (installed.status !== 0) fail(environment, 'pip failed', installed);
  rmSync(folder, { recursive: true, force: true });
  renameSync(made, folder);
  const complete = tried(environment);
  if (complete.status !== 0) fail(environment, 'the environment lacks packages', complete);
}

for (const environment of [newest, oldest]) if (tried(environment).status !== 0) make(environment);
