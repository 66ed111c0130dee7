import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findNvcc } from '../../src/toolchain/findNvcc.ts';
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
  ['CUDA_PATH, CUDA_HOME being wrong', { variables: { ...base, CUDA_HOME: '/nowhere', CUDA_PATH: toolkit } }],
  ['PATH', { variables: { ...base, PATH: `/nowhere:${join(toolkit, 'bin')}:/usr/bin:/bin` } }],
  ['the default', { variables: base, defaultRoots: ['/nowhere', toolkit] }],
])('found by %s', async (_, options) => {
  const found = await findNvcc({ defaultRoots, ...options });
  expect(found).toMatchObject({ path: nvcc, version: '13.0.88', architectures: ['sm_75', 'sm_80', 'sm_86', 'sm_90', 'sm_120'], fatbinary: join(toolkit, 'bin', 'fatbinary'), warnings: [] });
});

test('the diagnostic names every place looked at', async () => {
  const folder = scratchFolder();
  mkdirSync(join(folder, 'bin'));
  copyFileSync('/bin/true', join(folder, 'bin', 'nvcc'));
  const error = await diagnosticsOf(() => findNvcc({ variables: { PATH: '/nowhere/a', CUDA_HOME: '/nowhere/b', CUDA_PATH: folder }, defaultRoots: ['/nowhere/c'] }));
  expect(codesOf(error)).toEqual(['MOA4001']);
  for (const place of ['/nowhere/a/nvcc (PATH)', '/nowhere/b/bin/nvcc (CUDA_HOME)', '/nowhere/c/bin/nvcc (default)', `${folder}/bin/nvcc (CUDA_PATH: does not answer`]) {
    expect(error.message).toContain(place);
  }
  expect(error.diagnostics[0]?.help).toContain('--emit=cuda');
});

test('an explicit nvcc that is wrong is not replaced by another', async () => {
  const error = await diagnosticsOf(() => findNvcc({ explicit: '/nowhere/nvcc', variables: { ...base, CUDA_HOME: toolkit } }));
  expect(error.message).toContain('/nowhere/nvcc (--nvcc)');
});

test('an nvcc without C++20', async () => {
  expect(codesOf(await diagnosticsOf(() => findNvcc({ explicit: nvcc, variables: { ...base, FAKE_NVCC_RELEASE: '11.8' } })))).toEqual(['MOA4002']);
});

test('flags in the environment give a warning', async () => {
  const { warnings } = await findNvcc({ explicit: nvcc, variables: { ...base, NVCC_APPEND_FLAGS: '-G', NVCC_PREPEND_FLAGS: '' } });
  expect(warnings.map(({ code }) => code)).toEqual(['MOA4003']);
  expect(warnings[0]?.message).toMatch(/^NVCC_APPEND_FLAGS is set/);
});

test('the identity changes with the version and with the tools', async () => {
  const identity = async (variables = {}): Promise<string> => (await findNvcc({ explicit: nvcc, variables: { ...base, ...variables } })).identity;
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
