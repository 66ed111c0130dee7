/** The tests of the Python package, where there is a Python with what they need. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { installed, repositoryPath } from '../cli/installed.ts';
import { importObstacle, packageFolder, pythonObstacle, pythonPath, torchObstacle, variables } from './support.ts';

/** The end and the output of the tests' Python with `args` in `cwd`. */
const python = async (args: readonly string[], cwd: string): Promise<{ readonly status: number | null; readonly output: string }> => {
  const environment = { ...variables, MOA_TEST_COMPILER: join(installed(), 'bin/moa-compile.js') };
  const child = spawn(pythonPath, args, { cwd, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text.toString('utf8')));
  const status = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  return { status, output };
};

const suites = [
  { name: 'the runtime', where: ['-s', 'tests/runtime', '-t', '.'], cwd: packageFolder, reason: torchObstacle() },
  { name: 'models of Hugging Face', where: ['-s', 'tests/hf', '-t', '.'], cwd: packageFolder, reason: importObstacle('torch', 'transformers') },
  { name: 'the benchmarks', where: ['-s', 'tests/bench', '-t', '.'], cwd: packageFolder, reason: importObstacle('torch', 'transformers') },
  { name: 'models over ranks', where: ['-s', 'tests/tp', '-t', '.'], cwd: packageFolder, reason: importObstacle('torch', 'transformers', 'safetensors') },
  { name: 'the search', where: ['-s', 'tests/search', '-t', '.'], cwd: packageFolder, reason: pythonObstacle() },
  { name: 'questions about long texts', where: ['-s', 'tests/tasks', '-t', '.'], cwd: packageFolder, reason: importObstacle('transformers') },
  { name: 'the calibration', where: ['-s', 'tests/calibrate', '-t', '.'], cwd: packageFolder, reason: pythonObstacle() },
  { name: 'the evidence', where: ['-s', 'bench/search/evidence', '-p', 'test_*.py'], cwd: repositoryPath(''), reason: pythonObstacle() },
];

for (const { name, reason } of suites) if (reason !== undefined) console.warn(`SKIPPED: Python's tests of ${name}; ${reason}`);

describe.each(suites)('Python', ({ name, where, cwd, reason }) => {
  const skipped = reason === undefined ? '' : ` (skipped: ${reason})`;
  test.skipIf(reason !== undefined)(`python3 -m unittest discover: ${name}${skipped}`, { timeout: 600_000 }, async () => {
    const { status, output } = await python(['-m', 'unittest', 'discover', ...where], cwd);
    expect(output).toMatch(/^Ran [1-9]\d* tests in /m);
    expect({ status, output: status === 0 ? '' : output }).toEqual({ status: 0, output: '' });
  });
});
