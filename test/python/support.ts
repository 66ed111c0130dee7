/** The Pythons of the tester, as far as they are there. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { installed, repositoryPath } from '../cli/installed.ts';

const ownPython = repositoryPath('build/test-python/bin/python');
/** `MOA_TEST_PYTHON`, what `npm run setup:python` has made, or the first `python3` on PATH. */
export const pythonPath = process.env['MOA_TEST_PYTHON'] ?? (existsSync(ownPython) ? ownPython : 'python3');
/** With the oldest transformers that the package takes; `npm run setup:python` makes it. */
export const oldestPythonPath = repositoryPath('build/test-python-hf4/bin/python');
/** What makes it. */
const setUp = 'npm run setup:python';
export const packageFolder = repositoryPath('python');
/** One thread: the models are so tiny that more only wait for each other. */
export const variables = { ...process.env, PYTHONPATH: packageFolder, PYTHONDONTWRITEBYTECODE: '1', OMP_NUM_THREADS: '1' };

/** Why what runs a model cannot be tested with this Python; undefined: it can. */
export function pythonObstacle(python = pythonPath): string | undefined {
  const { status, stdout, stderr, error } = spawnSync(python, ['-m', 'moa_compile', 'check'], { cwd: packageFolder, encoding: 'utf8', env: variables });
  if (error !== undefined) return `there is no ${python}; ${setUp}`;
  if (status === 0) return undefined;
  // Anything else than the answer that packages are missing is a failure, which the tests then show.
  const missing = status === 3 ? (JSON.parse(stdout) as { readonly missing: readonly string[] }).missing : [];
  return missing.length === 0 ? undefined : `${python} lacks ${missing.join(', ')}; ${setUp}${stderr}`;
}

/** Why sessions of Python cannot be tested here; undefined: they can. */
export const torchObstacle = (): string | undefined => importObstacle(pythonPath, 'torch');

/** Why what imports these modules cannot be tested with this Python; undefined: it can. */
export function importObstacle(python: string, ...modules: readonly string[]): string | undefined {
  const { status, error } = spawnSync(python, ['-c', `import ${modules.join(', ')}`], { env: variables });
  if (error !== undefined) return `there is no ${python}; ${setUp}`;
  const names = modules.join(' or ');
  return status === 0 ? undefined : `${python} lacks ${names}; ${setUp}`;
}

/** Tests of Python: `where` are arguments of `unittest discover`. */
export interface Suite {
  readonly name: string;
  readonly python: string;
  readonly where: readonly string[];
  readonly cwd: string;
  /** Why it cannot run here. */
  readonly reason: string | undefined;
}

/** The tests of the package in this folder of `tests`. */
export const suiteOf = (name: string, folder: string, python: string, reason: string | undefined): Suite => ({
  name,
  python,
  where: ['-s', `tests/${folder}`, '-t', '.'],
  cwd: packageFolder,
  reason,
});

/** The title of a test that runs a suite; it says where that is skipped, and why. */
export const titleOf = ({ name, reason }: Suite): string => `python3 -m unittest discover: ${name}${reason === undefined ? '' : ` (skipped: ${reason})`}`;

/** Prints why a suite is skipped. */
export function warnWhereSkipped({ name, reason }: Suite): void {
  if (reason !== undefined) console.warn(`SKIPPED: Python's tests of ${name}; ${reason}`);
}

/** Runs a suite; fails with all that it printed. */
export async function runSuite({ python, where, cwd }: Suite): Promise<void> {
  const environment = { ...variables, MOA_TEST_COMPILER: join(installed(), 'bin/moa-compile.js') };
  const child = spawn(python, ['-m', 'unittest', 'discover', ...where], { cwd, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text.toString('utf8')));
  const status = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  expect(output).toMatch(/^Ran [1-9]\d* tests in /m);
  expect({ status, output: status === 0 ? '' : output }).toEqual({ status: 0, output: '' });
}
