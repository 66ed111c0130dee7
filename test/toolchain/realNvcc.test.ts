import { beforeAll, describe, expect, test } from 'vitest';
import { withoutSuffix } from '../../src/arch/spelling.ts';
import { parseArchitectures } from '../../src/toolchain/architectures.ts';
import { cubinProblem, fatbinProblem } from '../../src/toolchain/checkImage.ts';
import { compileKernel, compilePtx } from '../../src/toolchain/compileKernel.ts';
import { findNvcc, type Nvcc } from '../../src/toolchain/findNvcc.ts';
import { linkFatbin } from '../../src/toolchain/linkFatbin.ts';
import { codesOf, diagnosticsOf, kernelSource, smallFileSystem } from './helpers.ts';

const variables = process.env;
const settings = { variables };
const nvcc: Nvcc | undefined = await findNvcc({ variables }).catch(() => undefined);

describe.skipIf(nvcc === undefined)('the real nvcc (skipped where there is none)', () => {
  const real = nvcc!;
  const source = kernelSource('half_it');
  let cubin: Uint8Array;

  beforeAll(async () => {
    const compiled = await compileKernel(real, source, 'sm_80', settings);
    cubin = compiled.cubin;
    expect(compiled.report.functions).toMatchObject([{ name: 'half_it', stackBytes: 0 }]);
  });

  test('the same source gives the same bytes, and a cut one is noticed at every length', async () => {
    expect((await compileKernel(real, source, 'sm_80', settings)).cubin).toEqual(cubin);
    for (let length = 0; length < cubin.length; length += 1) expect(cubinProblem(cubin.subarray(0, length), ['half_it'])).toBeDefined();
    expect(cubinProblem(cubin, ['half_it'])).toBeUndefined();
    expect(cubinProblem(cubin, ['other'])).toBe('it has no kernel other');
  });

  test('fatbinary gives the bytes that nvcc -fatbin gives', async () => {
    const images = [{ architecture: 'sm_80', kind: 'cubin', bytes: cubin }] as const;
    const fatbin = await linkFatbin(real, images, settings);
    expect(fatbinProblem(fatbin)).toBeUndefined();
    expect(await linkFatbin({ ...real, fatbinary: undefined }, images, settings, source)).toEqual(fatbin);
    const ptx = await compilePtx(real, source, 'sm_80', settings);
    const withPtx = await linkFatbin(real, [{ architecture: 'sm_80', kind: 'ptx', bytes: ptx }, ...images], settings);
    expect(fatbinProblem(withPtx)).toBeUndefined();
    expect(withPtx.length).toBeGreaterThan(fatbin.length);
  });

  test('errors and spills', async () => {
    const broken = { ...source, files: new Map([...source.files, ['include/half.cuh', '#error broken']]) };
    expect(codesOf(await diagnosticsOf(() => compileKernel(real, broken, 'sm_80', settings)))).toEqual(['MOA4101']);
    const unrolled = (body: string): string => `_Pragma("unroll") for (int i = 0; i < 64; ++i) ${body}`;
    const steps = `${unrolled('a[i] = x[i * 1024 + threadIdx.x];')} for (int k = 0; k < n; ++k) { ${unrolled('a[i] = a[i] * a[(i * 7 + 3) % 64] + 1.f;')} } ${unrolled('x[i * 1024 + threadIdx.x] = a[i];')}`;
    const text = `extern "C" __global__ void __launch_bounds__(1024, 2) half_it(float* x, int n) { float a[64]; ${steps} }`;
    const local = { ...source, files: new Map([[source.path, text]]), includeFolders: [] };
    expect(codesOf(await diagnosticsOf(() => compileKernel(real, local, 'sm_80', settings)))).toEqual(['MOA4105']);
  });

  test('a full disk is noticed, whatever nvcc reports', async (context) => {
    // Large enough for most of the intermediate files of 400 kB of data, not for all that is written.
    const disk = smallFileSystem(1700);
    if (disk === undefined) return context.skip('mounting is not permitted');
    try {
      const text = '__device__ unsigned char table[400000] = {1};\nextern "C" __global__ void half_it(unsigned* x) { x[0] = table[x[1]]; }';
      const large = { ...source, files: new Map([[source.path, text]]), includeFolders: [] };
      const error = await diagnosticsOf(() => compileKernel(real, large, 'sm_80', { ...settings, temporaryRoot: disk.folder }));
      expect(['MOA4103', 'MOA4104', 'MOA4108']).toContain(codesOf(error)[0]);
    } finally {
      disk.unmount();
    }
  });

  test('every architecture of all is one that it can compile for', async () => {
    const targets = await parseArchitectures(['all'], { nvccArchitectures: real.architectures });
    expect(targets.length).toBeGreaterThan(0);
    expect(targets.every(({ name }) => real.architectures.includes(withoutSuffix(name)))).toBe(true);
  });
});
