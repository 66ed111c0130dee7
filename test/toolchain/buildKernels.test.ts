import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { buildKernels, type KernelJob } from '../../src/toolchain/buildKernels.ts';
import { findNvcc, type Nvcc } from '../../src/toolchain/findNvcc.ts';
import { KernelCache } from '../../src/toolchain/kernelCache.ts';
import { codesOf, diagnosticsOf, fakeToolkit, kernelSource, readLog, scratchFolder } from './helpers.ts';

const variables = { PATH: '/usr/bin:/bin' };
let nvcc: Nvcc;

beforeAll(async () => {
  nvcc = await findNvcc({ explicit: fakeToolkit(), variables });
});

const job = (name: string, ...comments: readonly string[]): KernelJob => ({ source: kernelSource(name, ...comments), target: { name: 'sm_80', ptx: false } });

test('results are in the order of the jobs, and the second time they come from the cache', async () => {
  const cache = KernelCache.open(join(scratchFolder(), 'cache'));
  const jobs: KernelJob[] = [job('a'), { ...job('b'), target: { name: 'sm_90', ptx: true } }, { ...job('c'), cost: 9 }];
  const progress: string[] = [];
  const first = await buildKernels(nvcc, jobs, cache, { variables, jobs: 1, onProgress: (done, total, name) => progress.push(`${done}/${total} ${name}`) });
  expect(first.map((kernel) => kernel.job.source.name)).toEqual(['a', 'b', 'c']);
  expect(progress).toEqual(['1/3 c sm_80', '2/3 a sm_80', '3/3 b sm_90']);
  expect(first.map(({ ptx }) => ptx !== undefined)).toEqual([false, true, false]);
  // An nvcc that cannot be started shows that nothing is compiled.
  const second = await buildKernels({ ...nvcc, path: '/nowhere' }, jobs, cache, { variables });
  expect(second).toEqual(first.map((kernel) => ({ ...kernel, cached: true, cubin: Buffer.from(kernel.cubin), ptx: kernel.ptx && Buffer.from(kernel.ptx) })));
  expect(cache.warnings).toEqual([]);
});

test('whatever decides the result is part of the key', async () => {
  const cache = KernelCache.open(join(scratchFolder(), 'cache'));
  const base = job('k');
  const source = base.source;
  await buildKernels(nvcc, [base], cache, { variables });
  const cached = async (changed: KernelJob, compiler = nvcc, changedVariables: Record<string, string> = variables): Promise<boolean | undefined> =>
    (await buildKernels(compiler, [changed], cache, { variables: changedVariables }))[0]?.cached;
  expect(await cached(base)).toBe(true);
  expect(await cached({ ...base, source: { ...source, name: 'only for messages' } })).toBe(true);
  const files = new Map([...source.files, ['include/half.cuh', '// other']]);
  expect(await cached({ ...base, source: { ...source, files } })).toBe(false);
  expect(await cached({ ...base, source: { ...source, includeFolders: [] } })).toBe(false);
  expect(await cached({ ...base, target: { name: 'sm_86', ptx: false } })).toBe(false);
  expect(await cached({ ...base, target: { name: 'sm_80', ptx: true } })).toBe(false);
  expect(await cached(base, { ...nvcc, identity: 'another' })).toBe(false);
  expect(await cached(base, nvcc, { ...variables, NVCC_CCBIN: '/usr/bin/g++' })).toBe(false);
});

test('a failure stops the others, and is not cached', async () => {
  const log = join(scratchFolder(), 'log');
  const cache = KernelCache.open(join(scratchFolder(), 'cache'));
  const jobs = [job('slow', 'fake: hang'), job('bad', 'fake: error'), job('late')];
  const error = await diagnosticsOf(() => buildKernels(nvcc, jobs, cache, { variables: { ...variables, FAKE_NVCC_LOG: log }, jobs: 2 }));
  expect(codesOf(error)).toEqual(['MOA4101']);
  expect(readLog(log).filter((line) => 'compiled' in line)).toEqual([]);
  expect(codesOf(await diagnosticsOf(() => buildKernels(nvcc, [job('bad', 'fake: error')], cache, { variables })))).toEqual(['MOA4101']);
});

test('several failures are reported in the order of the jobs', async () => {
  const error = await diagnosticsOf(() => buildKernels(nvcc, [job('a', 'fake: spill'), job('b', 'fake: stack')], KernelCache.none(), { variables, jobs: 2 }));
  expect(codesOf(error).length).toBeGreaterThan(0);
  expect(codesOf(error).every((code) => code === 'MOA4105')).toBe(true);
});

test('an abort rejects with its reason', async () => {
  const signal = AbortSignal.timeout(300);
  await expect(buildKernels(nvcc, [job('slow', 'fake: hang')], KernelCache.none(), { variables, signal })).rejects.toThrow(/timeout/i);
});
