/** The tests of the Python part of the search, where there is a Python with its packages. */
import { spawn, spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { repositoryPath } from '../cli/installed.ts';

const folder = repositoryPath('python');
// One thread: the models are so tiny that more only wait for each other.
const variables = { ...process.env, PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: '1', OMP_NUM_THREADS: '1' };
const options = { cwd: folder, encoding: 'utf8', env: variables } as const;

/** Why the tests cannot run here; undefined: they can. */
function obstacle(): string | undefined {
  const { status, stdout, stderr, error } = spawnSync('python3', ['-m', 'moa_compile', 'check'], options);
  if (error !== undefined) return 'there is no python3';
  if (status === 0) return undefined;
  // Anything else than the answer that packages are missing is a failure, which the test below then shows.
  const missing = status === 3 ? (JSON.parse(stdout) as { readonly missing: readonly string[] }).missing : [];
  return missing.length === 0 ? undefined : `python3 lacks ${missing.join(', ')}${stderr}`;
}

/** The end and the output of `python3 args...`. */
const python = async (args: readonly string[]): Promise<{ readonly status: number | null; readonly output: string }> => {
  const child = spawn('python3', args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text.toString('utf8')));
  const status = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  return { status, output };
};

const reason = obstacle();

describe.skipIf(reason !== undefined)(`the Python part of the search${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  test('python3 -m unittest discover', { timeout: 600_000 }, async () => {
    const { status, output } = await python(['-m', 'unittest', 'discover', '-s', 'tests', '-t', '.']);
    expect(output).toMatch(/^Ran [1-9]\d* tests in /m);
    expect({ status, output: status === 0 ? '' : output }).toEqual({ status: 0, output: '' });
  });
});
