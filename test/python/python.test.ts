/** The tests of the Python part of the search, where there is a Python with its packages. */
import { spawn } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { repositoryPath } from '../cli/installed.ts';
import { packageFolder, pythonObstacle, pythonPath, variables } from './support.ts';

/** The end and the output of the tests' Python with `args` in `cwd`. */
const python = async (args: readonly string[], cwd: string): Promise<{ readonly status: number | null; readonly output: string }> => {
  const child = spawn(pythonPath, args, { cwd, env: variables, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text.toString('utf8')));
  const status = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  return { status, output };
};

const reason = pythonObstacle();

describe.skipIf(reason !== undefined)(`the Python part of the search${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  test.each([
    ['the package', ['-s', 'tests', '-t', '.'], packageFolder],
    ['the evidence', ['-s', 'bench/search/evidence', '-p', 'test_*.py'], repositoryPath('')],
  ])('python3 -m unittest discover: %s', { timeout: 600_000 }, async (_, where, cwd) => {
    const { status, output } = await python(['-m', 'unittest', 'discover', ...where], cwd);
    expect(output).toMatch(/^Ran [1-9]\d* tests in /m);
    expect({ status, output: status === 0 ? '' : output }).toEqual({ status: 0, output: '' });
  });
});
