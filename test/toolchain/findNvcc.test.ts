import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findNvcc, installedRoots } from '../../src/toolchain/findNvcc.ts';
import { TOOLCHAIN_CODES } from '../../src/toolchain/toolchainCodes.ts';
import { DISK_CODES } from '../../src/emit/diskDiagnostics.ts';
import { codesOf, diagnosticsOf, fakeToolkit, scratchFolder } from './helpers.ts';

const toolkit = fakeToolkit();
const nvcc = join(toolkit, 'bin', 'nvcc');
const base = { PATH: '/usr/bin:/bin', HOME: '/nowhere' };
const defaultRoots: readonly string[] = [];

test.each([
  ['--nvcc PATH', { explicit: nvcc, variables: base }],
  ['--nvcc ROOT', { explicit: toolkit, variables: base }],
  ['CUDA_HOME', { variables: { ...base, CUDA_HOME: toolkit } }],
  [
    'CUDA_PATH, CUDA_HOME being wrong',
    { variables: { ...base, CUDA_HOME: '/nowhere', CUDA_PATH: toolkit } },
  ],
  ['PATH', { variables: { ...base, PATH: `/nowhere:${join(toolkit, 'bin')}:/usr/bin:/bin` } }],
  ['the default', { variables: base, defaultRoots: ['/nowhere', toolkit] }],
])('found by %s', async (_, options) => {
  const found = await findNvcc({ defaultRoots, ...options });
  expect(found).toMatchObject({
    path: nvcc,
    version: '13.0.88',
    architectures: ['sm_75', 'sm_80', 'sm_86', 'sm_90', 'sm_120'],
    fatbinary: join(toolkit, 'bin', 'fatbinary'),
    warnings: [],
  });
});

test('the diagnostic names every place looked at', async () => {
  const folder = scratchFolder();
  mkdirSync(join(folder, 'bin'));
  copyFileSync('/bin/true', join(folder, 'bin', 'nvcc'));
  const error = await diagnosticsOf(() =>
    findNvcc({
      variables: { PATH: '/nowhere/a', CUDA_HOME: '/nowhere/b', CUDA_PATH: folder },
      defaultRoots: ['/nowhere/c'],
    }),
  );
  expect(codesOf(error)).toEqual(['MOA4001']);
  for (const place of [
    '/nowhere/a/nvcc (PATH)',
    '/nowhere/b/bin/nvcc (CUDA_HOME)',
    '/nowhere/c/bin/nvcc (default)',
    `${folder}/bin/nvcc (CUDA_PATH: does not answer`,
  ]) {
    expect(error.message).toContain(place);
  }
  expect(error.diagnostics[0]?.help).toContain('--emit=cuda');
});

test('an explicit nvcc that is wrong is not replaced by another', async () => {
  const error = await diagnosticsOf(() =>
    findNvcc({ explicit: '/nowhere/nvcc', variables: { ...base, CUDA_HOME: toolkit } }),
  );
  expect(error.message).toContain('/nowhere/nvcc (--nvcc)');
});

test('an nvcc without C++20', async () => {
  expect(
    codesOf(
      await diagnosticsOf(() =>
        findNvcc({ explicit: nvcc, variables: { ...base, FAKE_NVCC_RELEASE: '11.8' } }),
      ),
    ),
  ).toEqual(['MOA4002']);
});

/** A toolkit of its own release and list of architectures. */
function toolkitOf(release: string, architectures = 'sm_80 sm_90', name = 'bin'): string {
  const folder = scratchFolder();
  mkdirSync(join(folder, name));
  const answers = [
    `[ "$1" = --version ] && echo 'Cuda compilation tools, release ${release}, V${release}.88'`,
    `[ "$1" = --list-gpu-code ] && echo '${architectures}'`,
  ];
  writeFileSync(join(folder, name, 'nvcc'), `#!/bin/sh\n${answers.join('\n')}\nexit 0\n`, {
    mode: 0o755,
  });
  return folder;
}

describe('an nvcc that is too old', () => {
  const old = toolkitOf('11.5');
  const [good, better] = [toolkitOf('12.4'), toolkitOf('13.0', 'sm_80 sm_90 sm_120')];
  const onPath = (...roots: string[]): Record<string, string> => ({
    ...base,
    PATH: roots.map((root) => join(root, 'bin')).join(':'),
  });

  test('on PATH hides none that is new enough, and is named', async () => {
    const found = await findNvcc({ variables: onPath(old), defaultRoots: [old, good, better] });
    expect(found).toMatchObject({ path: join(good, 'bin', 'nvcc'), version: '12.4.88' });
    expect(found.warnings.map(({ code, severity }) => ({ code, severity }))).toEqual([
      { code: 'MOA4004', severity: 'warning' },
    ]);
    expect(found.warnings[0]?.message).toBe(
      `${old}/bin/nvcc (PATH) is CUDA 11.5.88; the kernels are C++20, which needs 12.0 or later; ${good}/bin/nvcc (CUDA 12.4.88) is used instead`,
    );
    expect((await findNvcc({ variables: onPath(old, better, good), defaultRoots })).path).toBe(
      join(better, 'bin', 'nvcc'),
    );
  });

  test('is an error where the user names it: --nvcc, CUDA_HOME, CUDA_PATH', async () => {
    const asked = [
      { explicit: old, variables: onPath(good) },
      { variables: { ...onPath(good), CUDA_HOME: old } },
      { variables: { ...onPath(good), CUDA_PATH: old } },
    ];
    for (const options of asked) {
      const error = await diagnosticsOf(() => findNvcc({ defaultRoots: [good], ...options }));
      expect(codesOf(error)).toEqual(['MOA4002']);
      expect(error.message).toContain(`${old}/bin/nvcc`);
    }
  });

  test('and no other: the error names them all', async () => {
    const older = toolkitOf('10.2');
    const error = await diagnosticsOf(() =>
      findNvcc({ variables: onPath(old, '/nowhere'), defaultRoots: [older] }),
    );
    expect(codesOf(error)).toEqual(['MOA4002']);
    for (const place of [
      `${old}/bin/nvcc (PATH: CUDA 11.5.88)`,
      '/nowhere/bin/nvcc (PATH)',
      `${older}/bin/nvcc (default: CUDA 10.2.88)`,
    ])
      expect(error.message).toContain(place);
  });

  test('one that does not work is passed over the same way', async () => {
    const broken = scratchFolder();
    mkdirSync(join(broken, 'bin'));
    writeFileSync(
      join(broken, 'bin', 'nvcc'),
      '#!/bin/sh\necho "cannot load libnvvm" >&2\nexit 1\n',
      { mode: 0o755 },
    );
    const found = await findNvcc({ variables: onPath(broken, good), defaultRoots });
    expect(found.path).toBe(join(good, 'bin', 'nvcc'));
    expect(found.warnings[0]?.message).toMatch(
      /does not answer --version as nvcc does: cannot load libnvvm; .* is used instead$/,
    );
  });

  test('for the architectures: another that has them is taken, but not before what the user names', async () => {
    const variables = onPath(good, better);
    const found = await findNvcc({ variables, defaultRoots, architectures: ['sm_80', 'sm_120'] });
    expect(found.path).toBe(join(better, 'bin', 'nvcc'));
    expect(found.warnings[0]?.message).toContain(
      `${good}/bin/nvcc (PATH) is CUDA 12.4.88, which cannot compile for sm_120; `,
    );
    expect(await findNvcc({ variables, defaultRoots, architectures: ['sm_90a'] })).toMatchObject({
      path: join(good, 'bin', 'nvcc'),
      warnings: [],
    });
    // None has it: the first, and `--arch` is the error.
    expect(await findNvcc({ variables, defaultRoots, architectures: ['sm_103'] })).toMatchObject({
      path: join(good, 'bin', 'nvcc'),
      warnings: [],
    });
    expect(
      (
        await findNvcc({
          variables: { ...variables, CUDA_HOME: good },
          defaultRoots,
          architectures: ['sm_120'],
        })
      ).path,
    ).toBe(join(good, 'bin', 'nvcc'));
  });
});

test('installed toolkits: the one that is linked first, then the newest', () => {
  const folder = scratchFolder();
  for (const name of ['cuda-9.2', 'cuda-12.4', 'cuda-12.10', 'cuda-13', 'cuda-samples', 'cuda'])
    mkdirSync(join(folder, name));
  expect(installedRoots(folder)).toEqual(
    ['cuda', 'cuda-13', 'cuda-12.10', 'cuda-12.4', 'cuda-9.2'].map((name) => join(folder, name)),
  );
  expect(installedRoots('/nowhere')).toEqual(['/nowhere/cuda']);
});

test('flags in the environment give a warning', async () => {
  const { warnings } = await findNvcc({
    explicit: nvcc,
    variables: { ...base, NVCC_APPEND_FLAGS: '-G', NVCC_PREPEND_FLAGS: '' },
  });
  expect(warnings.map(({ code }) => code)).toEqual(['MOA4003']);
  expect(warnings[0]?.message).toMatch(/^NVCC_APPEND_FLAGS is set/);
});

test('the identity changes with the version and with the tools', async () => {
  const identity = async (variables = {}): Promise<string> =>
    (await findNvcc({ explicit: nvcc, variables: { ...base, ...variables } })).identity;
  const first = await identity();
  expect(await identity()).toBe(first);
  expect(await identity({ FAKE_NVCC_RELEASE: '13.1' })).not.toBe(first);
  writeFileSync(join(toolkit, 'bin', 'ptxas'), 'another');
  expect(await identity()).not.toBe(first);
});

test('the tables of codes have one line each, in their ranges', () => {
  expect(Object.keys(TOOLCHAIN_CODES).every((code) => /^MOA4\d{3}$/.test(code))).toBe(true);
  expect(Object.keys(DISK_CODES).every((code) => /^MOA5\d{3}$/.test(code))).toBe(true);
});
