import { describe, expect, test } from 'vitest';
import { architectureNumber, architectureOfDryRun, gencode, readArchitectureSpelling, withoutSuffix } from '../../src/arch/spelling.ts';
import { architectures } from '../../src/arch/registry.ts';
import { parseArchitectures, type ArchitectureOptions } from '../../src/toolchain/architectures.ts';
import { nativeArchitectures } from '../../src/toolchain/nativeArchitectures.ts';
import { codesOf, diagnosticsOf, fakeToolkit } from './helpers.ts';

const names = async (specs: readonly string[], options: ArchitectureOptions = {}): Promise<string> =>
  (await parseArchitectures(specs, options)).map(({ name, ptx }) => name.replace('sm_', '') + (ptx ? '+PTX' : '')).join(' ');

describe('spellings', () => {
  test.each([
    ['sm_80', '80'],
    ['SM_80', '80'],
    ['sm80', '80'],
    ['80', '80'],
    ['8.0', '80'],
    ['8.0+PTX', '80+PTX'],
    ['90+ptx', '90+PTX'],
    ['10.0', '100'],
    ['12.0', '120'],
    ['120', '120'],
    ['8.0;8.6 9.0', '80 86 90'],
    ['9.0,sm_80,,8.0', '80 90'],
    ['8.0 8.0+PTX', '80+PTX'],
    ['8.0+PTX 80', '80+PTX'],
    ['  8.9 ', '89'],
    ['sm_90a', '90a'],
    ['9.0a', '90a'],
    ['90A', '90a'],
    ['90a,90,80', '80 90 90a'],
    ['90+PTX 90a', '90+PTX 90a'],
  ])('%s', async (spec, expected) => {
    expect(await names([spec])).toBe(expected);
  });

  test.each([
    ['sm_70', 'MOA4011'],
    ['7.5', 'MOA4011'],
    ['sm_88', 'MOA4011'],
    ['9.0a+PTX', 'MOA4013'],
    ['sm_90a+PTX', 'MOA4013'],
    ['90f', 'MOA4013'],
    ['sm_80a', 'MOA4013'],
    ['100a', 'MOA4013'],
    ['120f', 'MOA4013'],
    ['100a+PTX', 'MOA4013'],
    ['', 'MOA4015'],
    [' ,; ', 'MOA4015'],
    ['hopper', 'MOA4010'],
    ['compute_80', 'MOA4010'],
    ['8', 'MOA4010'],
    ['8.00', 'MOA4010'],
    ['08.0', 'MOA4010'],
    ['sm_80b', 'MOA4010'],
    ['-80', 'MOA4010'],
    ['sm_80\u001b[31m', 'MOA4010'],
    ['native', 'MOA4014'],
  ])('%j is refused', async (spec, code) => {
    const error = await diagnosticsOf(() => parseArchitectures([spec]));
    expect(codesOf(error)).toEqual([code]);
    expect(error.exitCode).toBe(2);
    expect(error.diagnostics[0]?.help).toMatch(/sm_[89]0|sm_1[02]0/);
    expect(error.message).not.toContain('\u001b');
  });

  test('every problem is reported at once', async () => {
    expect(codesOf(await diagnosticsOf(() => parseArchitectures(['70,x', '10.0a', '80'])))).toEqual(['MOA4011', 'MOA4010', 'MOA4013']);
  });

  test.each([
    ['sm_100a', /^use sm_100, which runs on the same GPUs/],
    ['sm_90f', /^use sm_90, which/],
    ['sm_90a+PTX', /^use sm_90a without \+PTX, and sm_90\+PTX for GPUs that come later/],
    ['sm_75a', /^choose from: sm_80,/],
  ])('%s: what to use instead', async (spec, help) => {
    const [problem] = (await diagnosticsOf(() => parseArchitectures([spec]))).diagnostics;
    expect(problem?.help).toMatch(help);
  });

  test('every architecture of the registry survives a round trip', () => {
    for (const { name, computeCapability } of architectures) {
      const base = withoutSuffix(name);
      const spelling = base === name ? { kind: 'exact', name, ptx: false } : { kind: 'suffixed', name, base, ptx: false };
      for (const text of [name, computeCapability.join('.') + name.slice(base.length), architectureNumber(name)]) {
        expect(readArchitectureSpelling(text)).toEqual(spelling);
      }
    }
  });

  test('gencode and dry runs', () => {
    expect(gencode('sm_90', true)).toBe('arch=compute_90,code=[sm_90,compute_90]');
    expect(gencode('sm_80', false)).toBe('arch=compute_80,code=sm_80');
    expect(gencode('sm_90a', false)).toBe('arch=compute_90a,code=sm_90a');
    expect(architectureOfDryRun('#$ "/x/ptxas" -m64 -arch=sm_89 "a"')).toBe('sm_89');
    expect(architectureOfDryRun('#$ ptxas -v -arch sm_90 x')).toBe('sm_90');
    expect(architectureOfDryRun('#$ ptxas -v -arch sm_90a x')).toBe('sm_90a');
    expect(architectureOfDryRun('#$ cicc -arch compute_80')).toBeUndefined();
  });
});

describe('groups and lists', () => {
  const nvccArchitectures = ['sm_75', 'sm_80', 'sm_86', 'sm_90'];

  test('all-major and all take what this nvcc can do, with the PTX of the newest', async () => {
    expect(await names(['all-major'], { nvccArchitectures })).toBe('80 90+PTX');
    expect(await names(['all'], { nvccArchitectures })).toBe('80 86 90+PTX 90a');
    expect(await names(['all'])).toContain(' 90 90a 100 ');
    expect(await names(['all-major'])).toBe('80 90 100 120+PTX');
  });

  test('an architecture that nvcc lacks', async () => {
    const error = await diagnosticsOf(() => parseArchitectures(['sm_120'], { nvccArchitectures }));
    expect(codesOf(error)).toEqual(['MOA4012']);
    expect(codesOf(await diagnosticsOf(() => parseArchitectures(['sm_90a'], { nvccArchitectures: ['sm_80', 'sm_89'] })))).toEqual(['MOA4012']);
    expect(error.diagnostics[0]?.help).toMatch(/^choose from: sm_80, sm_86, sm_90, sm_90a;/);
  });

  test('TORCH_CUDA_ARCH_LIST counts only without --arch', async () => {
    expect(await names([], { torchCudaArchList: '8.0;9.0+PTX' })).toBe('80 90+PTX');
    expect(await names(['86'], { torchCudaArchList: '8.0;nonsense' })).toBe('86');
  });

  test('native', async () => {
    expect(await names(['native,80'], { native: async () => [[9, 0]] })).toBe('80 90a');
    expect(await names(['native'], { native: async () => [[8, 9], [10, 3]] })).toBe('89 103');
    expect(codesOf(await diagnosticsOf(() => parseArchitectures(['native'], { native: async () => [[7, 5]] })))).toEqual(['MOA4014']);
  });
});

describe('nativeArchitectures', () => {
  const nvccPath = `${fakeToolkit()}/bin/nvcc`;
  const variables = { PATH: process.env['PATH'] };

  test('without nvidia-smi, nvcc is asked; its default without a GPU is not believed', async () => {
    expect(await nativeArchitectures({ variables, nvccPath, nvidiaSmi: '/nowhere/nvidia-smi' })).toEqual([]);
    expect(await nativeArchitectures({ variables: { ...variables, FAKE_NATIVE: 'sm_120' }, nvccPath, nvidiaSmi: '/nowhere/nvidia-smi' })).toEqual([[12, 0]]);
    expect(await nativeArchitectures({ variables, nvidiaSmi: '/nowhere/nvidia-smi' })).toEqual([]);
  });
});
