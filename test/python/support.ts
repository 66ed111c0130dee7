/** The Python of the tester, as far as it is there. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { repositoryPath } from '../cli/installed.ts';

const ownPython = repositoryPath('build/test-python/bin/python');
/** `MOA_TEST_PYTHON`, what `npm run setup:python` has made, or the first `python3` on PATH. */
export const pythonPath = process.env['MOA_TEST_PYTHON'] ?? (existsSync(ownPython) ? ownPython : 'python3');
/** What makes it. */
const setUp = 'npm run setup:python';
export const packageFolder = repositoryPath('python');
/** One thread: the models are so tiny that more only wait for each other. */
export const variables = { ...process.env, PYTHONPATH: packageFolder, PYTHONDONTWRITEBYTECODE: '1', OMP_NUM_THREADS: '1' };

/** Why what runs a model cannot be tested here; undefined: it can. */
export function pythonObstacle(): string | undefined {
  const { status, stdout, stderr, error } = spawnSync(pythonPath, ['-m', 'moa_compile', 'check'], { cwd: packageFolder, encoding: 'utf8', env: variables });
  if (error !== undefined) return `there is no ${pythonPath}; ${setUp}`;
  if (status === 0) return undefined;
  // Anything else than the answer that packages are missing is a failure, which the tests then show.
  const missing = status === 3 ? (JSON.parse(stdout) as { readonly missing: readonly string[] }).missing : [];
  return missing.length === 0 ? undefined : `${pythonPath} lacks ${missing.join(', ')}; ${setUp}${stderr}`;
}

/** Why sessions of Python cannot be tested here; undefined: they can. */
export const torchObstacle = (): string | undefined => importObstacle('torch');

/** Why what imports these modules cannot be tested here; undefined: it can. */
export function importObstacle(...modules: readonly string[]): string | undefined {
  const { status, error } = spawnSync(pythonPath, ['-c', `import ${modules.join(', ')}`], { env: variables });
  if (error !== undefined) return `there is no ${pythonPath}; ${setUp}`;
  const names = modules.join(' or ');
  return status === 0 ? undefined : `${pythonPath} lacks ${names}; ${setUp}`;
}
