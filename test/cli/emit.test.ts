import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { verifyPackage } from '../../src/emit/verifyPackage.ts';
import { fakeToolkit, run, runMany, scratchFolder, snapshot, tinyPlan, type RunResult } from './support.ts';

const toolkit = fakeToolkit();
const folder = scratchFolder();
const at = (name: string): string => join(folder, name);
const both = ['--nvcc', toolkit, '--arch', 'sm_80,sm_90'];

/** With all that a host may run. */
const definition = /^definition\.json$/;
const cases = [
  { emit: 'ir', has: [/^module\.ir$/] },
  { emit: 'cuda', has: [/^kernels\/moa_\w+\.cu$/, /^kernels\/all\.sm_(80|90)\.cu$/, /^include\/moa\/[\w/]+\.cuh$/, definition] },
  { emit: 'cubin', has: [/^cubin\/sm_(80|90)\.cubin$/, /^cubin\/all\.fatbin$/, definition] },
  { emit: 'ts', has: [/^index\.js$/, /^index\.d\.ts$/, /^package\.json$/, definition] },
  { emit: 'ir,ts', has: [/^module\.ir$/, /^(index\.(js|d\.ts)|package\.json)$/, definition] },
  { emit: 'cubin ts,cubin', has: [/^cubin\/(sm_80\.cubin|sm_90\.cubin|all\.fatbin)$/, /^(index\.(js|d\.ts)|package\.json)$/, definition] },
];

describe('--emit', () => {
  let results: readonly RunResult[];
  beforeAll(() => {
    results = runMany(cases.map(({ emit }) => [tinyPlan, ...both, `--emit=${emit}`, '-o', at(emit)]));
  });

  test.each(cases.map(({ emit, has }, index) => [emit, has, index] as const))('%s: these files, the manifest and no others', (emit, has, index) => {
    expect(results[index]).toMatchObject({ status: 0, stderr: '' });
    const paths = Object.keys(snapshot(at(emit))).filter((path) => path !== 'manifest.json');
    for (const pattern of has) expect(paths.some((path) => pattern.test(path)), String(pattern)).toBe(true);
    expect(paths.filter((path) => !has.some((pattern) => pattern.test(path)))).toEqual([]);
    expect(verifyPackage(at(emit))).toEqual([]);
  });
});

test('all that is emitted by default, of one architecture, is a package with one cubin and no fatbin', () => {
  const { status, stdout, stderr } = run([tinyPlan, '--nvcc', toolkit, '--arch', '8.0', '-o', at('default')], { variables: { FORCE_COLOR: '1' } });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const paths = Object.keys(snapshot(at('default')));
  for (const path of ['module.ir', 'kernels/all.sm_80.cu', 'cubin/sm_80.cubin', 'definition.json', 'index.js', 'index.d.ts']) expect(paths).toContain(path);
  expect(paths).not.toContain('cubin/all.fatbin');
  // In a pipe: text without colour, cursor movement or spinners, even if colour is asked for.
  expect(stdout).toMatch(/^kernel +arch +registers +shared +threads\nmoa_append/);
  expect(stdout).toMatch(new RegExp(`\\n\\nwrote \\S+: ${paths.length} files, [\\d.]+ KiB, 0 of 1 cubins from the cache\\n    model: \\d+ layers, .*\\n    element types: .*\\n    cache density: .* at 16384 tokens\\n    for GPUs of compute capability .*\\n$`));
  for (const control of ['\u001b', '\r']) expect(stdout).not.toContain(control);
});

const cache = at('noCache');
const dry = [tinyPlan, '--dry-run', '--json', '--emit=cuda'];
const quiet = [tinyPlan, ...both, '-q', '-o', at('quiet')];
const json = [tinyPlan, ...both, '--json'];
const [withPtx, dryRun, dryRunWithoutFolder, made, unchanged, checked, listed, listedWithIr, fallback, given, twoTypes, noRope, hopper, cores, unspecialised] = runMany([
  [tinyPlan, '--nvcc', toolkit, '--arch', '8.0+PTX', '--emit=cubin', '-o', at('ptx')],
  { args: [tinyPlan, ...both, '--dry-run', '-o', at('dry')], variables: { XDG_CACHE_HOME: cache } },
  { args: [tinyPlan, ...both, '--dry-run'], variables: { XDG_CACHE_HOME: cache } },
  quiet,
  quiet,
  [...quiet, '--check'],
  [...json, '--no-cache', '-o', at('json1')],
  [...json, '--no-cache', '-o', at('json2'), '--print-ir-after', 'all'],
  { args: dry, variables: { TORCH_CUDA_ARCH_LIST: '8.0;9.0' } },
  { args: [...dry, '--arch', 'sm_86'], variables: { TORCH_CUDA_ARCH_LIST: '8.0;9.0' } },
  [...dry, '--arch', 'sm_80', '--dtype', 'half,bf16'],
  [...dry, '--arch', 'sm_80', '--no-rope'],
  [...dry, '--arch', '9.0a', '--no-rope'],
  [...dry, '--arch', 'sm_80', '--no-rope', '--ablate', 'cuda-cores'],
  [...dry, '--arch', 'sm_80', '--no-rope', '--ablate', 'unspecialized,tensor-cores'],
]);
const kernelsOf = (result: RunResult | undefined, part: string): string[] => Object.keys((JSON.parse(result!.stdout) as { files: object }).files).filter((path) => path.includes(part));

test('PTX of an architecture is in the fatbin', () => {
  expect(withPtx).toMatchObject({ status: 0 });
  expect(readFileSync(at('ptx/cubin/all.fatbin'), 'latin1')).toContain('.visible .entry moa_append');
});

test('--dry-run writes nothing, not even a cache, and needs no folder', () => {
  // All but machine code, which would have to be made first.
  const files = Object.keys(snapshot(at('json1'))).filter((path) => !path.startsWith('cubin/')).length;
  expect(dryRun).toMatchObject({ status: 0, stdout: expect.stringMatching(new RegExp(`^would write \\S+dry: ${files} files`)), stderr: '' });
  expect(dryRunWithoutFolder).toMatchObject({ status: 0, stdout: expect.stringMatching(new RegExp(`^would write a package: ${files} files`)), stderr: '' });
  expect([at('dry'), cache].some(existsSync)).toBe(false);
});

test('-q says nothing when all is well', () => {
  for (const result of [made, unchanged, checked]) expect(result).toEqual({ status: 0, stdout: '', stderr: '' });
});

test('--json is JSON, the same every time, and the IR stays out of it', () => {
  expect(listedWithIr!.stdout).toBe(listed!.stdout.replace('json1', 'json2'));
  expect([listed!.stderr, listedWithIr!.stderr.includes('// after schedule')]).toEqual(['', true]);
  const result = JSON.parse(listed!.stdout) as { files: Record<string, string>; kernels: unknown[] };
  expect(result).toMatchObject({ output: at('json1'), result: 'wrote', elementTypes: ['fp16'], units: { total: 2, cached: 0 } });
  // Of each architecture 7 of the plan, and 3 that plan.
  expect(result.kernels).toHaveLength(20);
  expect(result.kernels[0]).toEqual({ name: 'moa_append_fp16_d64_h4_kv2_sink64', role: 'append', architecture: 'sm_80', registers: 32, sharedBytes: 1040, threads: 128 });
  expect(Object.values(result.files).every((hash) => /^[0-9a-f]{64}$/.test(hash))).toBe(true);
});

test('TORCH_CUDA_ARCH_LIST stands in for --arch, which goes before it', () => {
  expect(kernelsOf(fallback, 'all.')).toEqual(['kernels/all.sm_80.cu', 'kernels/all.sm_90.cu']);
  expect(kernelsOf(given, 'all.')).toEqual(['kernels/all.sm_86.cu']);
});

test('options choose the kernels', () => {
  expect(kernelsOf(twoTypes, 'moa_')).toHaveLength(14 + 3);
  const first = (path: string): string | undefined => /moa_([a-z]+)/.exec(path)?.[1];
  const found = kernelsOf(noRope, 'moa_').map(first);
  expect(found).toEqual(['append', 'change', 'decode', 'decode', 'plan', 'prefill', 'step']);
  const decodes = (result: RunResult | undefined): string[] => kernelsOf(result, 'moa_decode').map((path) => path.replace(/^.*_sink64_|\.cu$/g, ''));
  expect(decodes(hopper)).toEqual(['s12x3_bulk', 's12x3_bulk_age']);
  expect(decodes(cores)).toEqual(['s6_cores', 's6_cores_age']);
  expect(decodes(unspecialised)).toEqual(['s6_any_age']);
});

test('the plan may come from standard input', () => {
  const plan = readFileSync(tinyPlan, 'utf8');
  const args = ['-', '--arch', 'sm_80', '--emit=ir,ts'];
  expect(run([...args, '-o', at('stdin')], { input: plan })).toMatchObject({ status: 0, stderr: '' });
  run([tinyPlan, ...args.slice(1), '-o', at('file')]);
  expect(snapshot(at('stdin'))).toEqual(snapshot(at('file')));
});
