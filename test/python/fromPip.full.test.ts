/**
 * The lines of README.md and docs/python.md, as they are printed: `pip install` into a fresh environment, a package, and Python on the emulator in another
 * folder, where nothing but the wheel is left of the checkout.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { installed, repositoryPath } from '../cli/installed.ts';
import { fakeToolkit } from '../cli/support.ts';
import { scratchFolder } from '../toolchain/helpers.ts';
import { importObstacle, packageFolder, pythonPath, variables } from './support.ts';

// The last one builds wheels without an index. Before others: it patches distutils.
const reason = importObstacle(pythonPath, 'setuptools.command.bdist_wheel', 'torch', 'transformers', 'safetensors', 'pip');
if (reason !== undefined) console.warn(`SKIPPED: from pip install to text; ${reason}`);

const blocksOf = (page: string, language: string): readonly string[] =>
  [...readFileSync(repositoryPath(page), 'utf8').matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(([, block]) => block!);

/** What a program prints, which has to end well. */
function outputOf(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, env, encoding: 'utf8' });
  expect({ status, output: status === 0 ? '' : `${stdout}${stderr}${error?.message ?? ''}` }).toEqual({ status: 0, output: '' });
  return stdout;
}

function writeProgram(path: string, script: string): void {
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

/** An environment that has what the tests' Python has, and nothing of ours. */
function freshEnvironment(folder: string): void {
  outputOf(pythonPath, ['-m', 'venv', '--without-pip', folder], '/', process.env);
  const sites = 'import sysconfig; print(sysconfig.get_path("purelib"))';
  const own = outputOf(join(folder, 'bin/python'), ['-c', sites], '/', process.env).trim();
  writeFileSync(join(own, 'tests.pth'), outputOf(pythonPath, ['-c', sites], '/', process.env));
  writeProgram(join(folder, 'bin/pip'), `exec '${join(folder, 'bin/python')}' -m pip "$@"`);
}

/** What the lines need of a checkout, with a model and a plan for it. */
function checkout(): string {
  const folder = scratchFolder();
  for (const path of ['native/emulator', 'templates/include']) cpSync(repositoryPath(path), join(folder, path), { recursive: true });
  const isOurs = (path: string): boolean => !/(__pycache__|\.egg-info|python\/(build|\.\w+|tests))$/.test(path);
  cpSync(packageFolder, join(folder, 'python'), { recursive: true, filter: isOurs });
  symlinkSync(join(installed(), 'bin'), join(folder, 'bin'));
  const script = [
    'import json, pathlib, sys',
    'from tests.hf.models import PLAN',
    'from tests.hf.test_docs import save_model',
    'folder = pathlib.Path(sys.argv[1])',
    'save_model(folder / "my-model")',
    '(folder / "plan.json").write_text(json.dumps(PLAN))',
  ];
  outputOf(pythonPath, ['-c', script.join('\n'), folder], packageFolder, variables);
  return folder;
}

test.skipIf(reason !== undefined)(`from pip install to text${reason === undefined ? '' : ` (skipped: ${reason})`}`, { timeout: 600_000 }, () => {
  const [shell, ...others] = blocksOf('docs/python.md', 'sh');
  const [five, ...more] = blocksOf('docs/python.md', 'python');
  expect({ shell: [shell], others, five }).toEqual({ shell: blocksOf('README.md', 'sh'), others: [], five: blocksOf('README.md', 'python')[0] });
  expect(five!.trim().split('\n').length).toBeLessThanOrEqual(5);

  const folder = checkout();
  const environment = join(folder, 'environment/bin');
  freshEnvironment(dirname(environment));
  const toolkit = join(fakeToolkit(), 'bin');
  writeProgram(join(toolkit, 'nvidia-smi'), 'echo 8.0');
  const env = {
    ...variables,
    PYTHONPATH: '',
    CUDA_HOME: '',
    CUDA_PATH: '',
    PATH: [environment, toolkit, dirname(process.execPath), process.env['PATH']].join(':'),
    // No index is asked: everything is there.
    PIP_NO_INDEX: '1',
    PIP_NO_BUILD_ISOLATION: '0',
    PIP_DISABLE_PIP_VERSION_CHECK: '1',
    CUDA_VISIBLE_DEVICES: '',
  };
  const printed = outputOf('bash', ['-euc', shell!], folder, env);
  expect(printed).toMatch(/filename=moa_compile-[\d.]+-py3-none-any\.whl /);

  const elsewhere = scratchFolder();
  mkdirSync(join(elsewhere, 'generated'));
  for (const path of ['my-model', 'generated/my-model']) renameSync(join(folder, path), join(elsewhere, path));
  for (const path of ['python', 'native', 'templates', 'bin']) rmSync(join(folder, path), { recursive: true });
  const asserts = ['assert writer.model._moa_attachment.forwards.pool.idle == 1', 'assert session.lengths(0) == [901, 71]'];
  const text = outputOf('python', ['-c', [five, ...more, ...asserts].join('\n')], elsewhere, env);
  expect(text).toMatch(/^once upon a time.{5,}\n$/);
  // Without a compiler for the emulator, that is said at once.
  const missing = spawnSync('python', ['-c', five!], { cwd: elsewhere, env: { ...env, CXX: '/no-such-compiler' }, encoding: 'utf8' });
  expect(missing.stderr).toMatch(/MoaError: MOA6205: .*no C\+\+20 compiler was found; tried from CXX: \/no-such-compiler \(not found\)\n +help: install g\+\+/);
});
