import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { beforeAll, describe, expect, test } from 'vitest';
import { cubinProblem, fatbinProblem } from '../../src/toolchain/checkImage.ts';
import { compileKernel, compilePtx } from '../../src/toolchain/compileKernel.ts';
import { findNvcc, type Nvcc } from '../../src/toolchain/findNvcc.ts';
import { linkFatbin } from '../../src/toolchain/linkFatbin.ts';
import { codesOf, compileForChildren, diagnosticsOf, fakeToolkit, kernelSource, readLog, scratchFolder } from './helpers.ts';

const temporaryRoot = scratchFolder();
const logPath = join(scratchFolder(), 'log');
const variables = { PATH: '/usr/bin:/bin', FAKE_NVCC_LOG: logPath, NVCC_APPEND_FLAGS: '-G' };
const settings = { variables, temporaryRoot };
let nvcc: Nvcc;

beforeAll(async () => {
  nvcc = await findNvcc({ explicit: fakeToolkit(), variables });
});

const compile = (...comments: readonly string[]) => compileKernel(nvcc, kernelSource('half_it', ...comments), 'sm_80', settings);
const failure = async (...comments: readonly string[]) => diagnosticsOf(() => compile(...comments));
const temporaryFiles = (): string[] => readdirSync(temporaryRoot);

async function isGone(pid: number): Promise<boolean> {
  for (let wait = 0; wait < 100; wait += 1) {
    try {
      process.kill(pid, 0);
    } catch {
      return true;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

test('a kernel becomes a cubin and a report', async () => {
  const { cubin, report } = await compile();
  expect(cubinProblem(cubin, ['half_it'])).toBeUndefined();
  expect(report).toEqual({
    functions: [{ name: 'half_it', registers: 32, barriers: 1, sharedBytes: 1024, stackBytes: 0, spillStoreBytes: 0, spillLoadBytes: 0 }],
    remarks: [],
  });
  const call = readLog(logPath).findLast((line) => 'args' in line && line['folder'] !== process.cwd());
  expect(call?.['args']).toEqual(['-cubin', '-arch=sm_80', '-std=c++20', '-O3', '--expt-relaxed-constexpr', '-I', 'include', '-Xptxas', '-v,-warn-spills,-warn-lmem-usage', 'kernels/source.cu', '-o', 'kernel.cubin']);
  expect(call?.['temporary']).toBe(call?.['folder']);
  expect(call?.['appended']).toBeNull();
  expect(temporaryFiles()).toEqual([]);
});

test.each([
  ['error', 'MOA4101', 'identifier "foo" is undefined'],
  ['crash', 'MOA4103', 'crashed'],
  ['crashInChild', 'MOA4103', 'exit status 139'],
  ['noOutput', 'MOA4104', 'it has only 0 bytes'],
  ['truncated', 'MOA4104', 'it is cut off'],
  ['otherKernel', 'MOA4104', 'it has no kernel half_it'],
  ['spill', 'MOA4105', '556 bytes of spill stores'],
  ['stack', 'MOA4105', '64 bytes of stack'],
  ['serialised', 'MOA4106', '(C7510)'],
])('nvcc: %s', async (fault, code, text) => {
  const error = await failure(`fake: ${fault}`);
  expect(codesOf(error)).toEqual([code]);
  expect(error.exitCode).toBe(1);
  if (fault !== 'crash') expect(error.message).toContain(text);
  expect(error.message).not.toContain(temporaryRoot);
  expect(temporaryFiles()).toEqual([]);
});

test('a hang ends with the timeout, and its children with it', async () => {
  const error = await diagnosticsOf(() => compileKernel(nvcc, kernelSource('half_it', 'fake: hang'), 'sm_80', { ...settings, timeoutMs: 800 }));
  expect(codesOf(error)).toEqual(['MOA4102']);
  const child = readLog(logPath).findLast((line) => 'child' in line)?.['child'];
  expect(await isGone(child as number)).toBe(true);
  expect(temporaryFiles()).toEqual([]);
});

test('an abort rejects with its reason and leaves nothing', async () => {
  const controller = new AbortController();
  const before = readLog(logPath).length;
  const work = compileKernel(nvcc, kernelSource('half_it', 'fake: hang'), 'sm_80', { ...settings, signal: controller.signal });
  while (!readLog(logPath).slice(before).some((line) => 'child' in line)) await new Promise((resolve) => setTimeout(resolve, 20));
  controller.abort(new Error('stop'));
  await expect(work).rejects.toThrow('stop');
  expect(await isGone(readLog(logPath).findLast((line) => 'child' in line)?.['child'] as number)).toBe(true);
  expect(temporaryFiles()).toEqual([]);
});

test('a signal kills the compilers and removes their folder', async () => {
  const children = compileForChildren('toolchain/compileKernel.ts', 'emit/cleanupOnSignal.ts');
  const program = `
    import { cleanupOnSignal } from './emit/cleanupOnSignal.js';
    import { compileKernel } from './toolchain/compileKernel.js';
    cleanupOnSignal();
    const [nvcc, settings, source] = JSON.parse(process.argv[2]);
    await compileKernel(nvcc, { ...source, files: new Map(source.files) }, 'sm_80', settings);`;
  writeFileSync(join(children, 'compile.js'), program);
  const source = kernelSource('half_it', 'fake: hang');
  const before = readLog(logPath).length;
  const process = spawn(execPath, [join(children, 'compile.js'), JSON.stringify([nvcc, settings, { ...source, files: [...source.files] }])], { stdio: 'inherit' });
  while (!readLog(logPath).slice(before).some((line) => 'child' in line)) await new Promise((resolve) => setTimeout(resolve, 20));
  process.kill('SIGINT');
  expect((await once(process, 'exit'))[1]).toBe('SIGINT');
  expect(await isGone(readLog(logPath).findLast((line) => 'child' in line)?.['child'] as number)).toBe(true);
  expect(temporaryFiles()).toEqual([]);
});

test('an nvcc that cannot be started, and a temporary folder that cannot be written', async () => {
  const gone = { ...nvcc, path: '/nowhere/nvcc' };
  expect(codesOf(await diagnosticsOf(() => compileKernel(gone, kernelSource('k'), 'sm_80', settings)))).toEqual(['MOA4103']);
  expect(codesOf(await diagnosticsOf(() => compileKernel(nvcc, kernelSource('k'), 'sm_80', { variables, temporaryRoot: '/nowhere' })))).toEqual(['MOA4108']);
});

describe('images', () => {
  test('a cubin cut at any length, and each byte of its headers changed, is never a crash', async () => {
    const { cubin } = await compile();
    for (let length = 0; length < cubin.length; length += 1) expect(cubinProblem(cubin.slice(0, length), ['half_it'])).toBeDefined();
    for (let at = 0; at < cubin.length; at += 1) {
      const damaged = Uint8Array.from(cubin);
      damaged[at] = (damaged[at] ?? 0) ^ 0xff;
      cubinProblem(damaged, ['half_it']);
    }
  });

  test('PTX that is cut off is refused', async () => {
    const ptx = await compilePtx(nvcc, kernelSource('half_it'), 'sm_90', settings);
    expect(Buffer.from(ptx).toString()).toContain('.entry half_it');
    expect(codesOf(await diagnosticsOf(() => compilePtx(nvcc, kernelSource('half_it', 'fake: truncated'), 'sm_90', settings)))).toEqual(['MOA4104']);
  });

  test('a fatbin is the same for images in any order', async () => {
    const { cubin } = await compile();
    const images = [{ architecture: 'sm_120', kind: 'cubin', bytes: cubin }, { architecture: 'sm_80', kind: 'cubin', bytes: cubin.slice() }] as const;
    const fatbin = await linkFatbin(nvcc, images, settings);
    expect(fatbinProblem(fatbin)).toBeUndefined();
    expect(fatbinProblem(fatbin.slice(0, -1))).toMatch(/its header names/);
    expect(await linkFatbin(nvcc, [...images].reverse(), settings)).toEqual(fatbin);
    const without = { ...nvcc, fatbinary: undefined };
    expect(codesOf(await diagnosticsOf(() => linkFatbin(without, images, settings)))).toEqual(['MOA4109']);
  });
});
