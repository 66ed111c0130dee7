/** `--tp`: a package for each rank, in one folder that is written whole or not at all. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { verifyPackage } from '../../src/emit/verifyPackage.ts';
import type { PlanFigures } from '../../src/inspect.ts';
import type { RankFigures } from '../../src/inspectRanks.ts';
import { fakeToolkit, run, runMany, scratchFile, scratchFolder, snapshot, sourcesOnly, tinyPlan } from './support.ts';

const toolkit = fakeToolkit();
const folder = scratchFolder();
const at = (name: string): string => join(folder, name);

/** Four KV heads of two query heads; a contiguous split puts the long ones of layer 0 together, and layer 1 cannot be even. */
const head = (beta: number): number[] => [beta, beta];
const betas = [[1, 1, 0, 0], [1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]].map((layer) => layer.flatMap(head));
const plan = scratchFile('plan.json', JSON.stringify({ format: 'moa-plan', version: 1, model: { layers: 3, queryHeads: 8, kvHeads: 4, headDim: 64, elementType: 'bf16' }, alphas: betas.map((row) => row.map(() => 0)), betas }));
const layers = [
  { kvHeads: [[0, 2], [1, 3]], queryHeads: [[0, 1, 4, 5], [2, 3, 6, 7]] },
  { kvHeads: [[0, 1], [2, 3]], queryHeads: [[0, 1, 2, 3], [4, 5, 6, 7]] },
  { kvHeads: [[0, 1], [2, 3]], queryHeads: [[0, 1, 2, 3], [4, 5, 6, 7]] },
];

const withCubins = [plan, '--tp', '2', '--nvcc', toolkit, '--arch', 'sm_80,sm_90'];
const [made, unchanged, current, json, four, one, ptx] = runMany([
  [...withCubins, '--no-cache', '-o', at('made')],
  [...withCubins, '-o', at('made')],
  [...withCubins, '--check', '-o', at('made')],
  [...withCubins, '--json', '-o', at('json')],
  [plan, '--tp', '4', ...sourcesOnly, '-o', at('four')],
  [plan, '--tp', '1', ...sourcesOnly, '-o', at('one')],
  [plan, '--tp', '2', '--nvcc', toolkit, '--arch', '8.0+PTX', '--emit=cubin', '-o', at('ptx')],
]);

test('each rank has a whole package, and all are listed by one manifest; kernels are compiled once', () => {
  expect(made).toMatchObject({ status: 0, stderr: '' });
  const files = snapshot(at('made'));
  const paths = Object.keys(files);
  expect(paths.filter((path) => !/^rank[01]\//.test(path))).toEqual(['manifest.json', 'tensor-parallel.json']);
  for (const rank of ['rank0', 'rank1']) {
    for (const path of ['index.js', 'index.d.ts', 'module.ir', 'manifest.json', 'kernels/all.sm_80.cu', 'include/moa/decode.cuh', 'cubin/sm_80.cubin', 'cubin/sm_90.cubin', 'cubin/all.fatbin']) expect(paths).toContain(`${rank}/${path}`);
    expect(verifyPackage(at(`made/${rank}`))).toEqual([]);
  }
  expect(verifyPackage(at('made'))).toEqual([]);
  expect(made!.stdout).toMatch(new RegExp(`\\nwrote \\S+made: packages of 2 ranks, ${paths.length} files, [\\d.]+ [KM]iB, 0 of 2 cubins from the cache\\n    model: \\d+ layers, .*\\n    element types: .*\\n    cache density: .* at 16384 tokens\\n    for GPUs of compute capability .*\\n$`));
  // Every kernel once, though both ranks have it.
  const rows = made!.stdout.split('\n').filter((line) => line.startsWith('moa_')).map((line) => line.split(/ {2,}/).slice(0, 2).join(' '));
  expect(new Set(rows).size).toBe(rows.length);
  expect(ptx).toMatchObject({ status: 0 });
  expect(snapshot(at('ptx'))['rank1/cubin/all.fatbin']).toContain('.visible .entry moa_append');
});

test('tensor-parallel.json and the definitions say whose heads they are', () => {
  const file = JSON.parse(readFileSync(at('made/tensor-parallel.json'), 'utf8')) as Record<string, unknown>;
  expect(file).toEqual({
    format: 'moa-tensor-parallel',
    version: 1,
    ranks: 2,
    packages: ['rank0', 'rank1'],
    model: { layers: 3, queryHeads: 8, kvHeads: 4, headDim: 64 },
    lengths: [4096, 8192, 16384, 32768],
    layers,
  });
  for (const rank of [0, 1]) {
    const script = readFileSync(at(`made/rank${rank}/index.js`), 'utf8');
    expect(script).toMatch(new RegExp(`^// The runtime of a MoA plan, rank ${rank} of 2: 3 layers, 4 query heads on 2 KV heads, headDim 64\\.\\n`));
    const definition = JSON.parse(readFileSync(at(`made/rank${rank}/definition.json`), 'utf8')) as Record<string, unknown>;
    expect(definition['tensorParallel']).toEqual({ rank, ranks: 2, kvHeads: layers.map((layer) => layer.kvHeads[rank]!) });
    const manifest = JSON.parse(readFileSync(at(`made/rank${rank}/manifest.json`), 'utf8')) as Record<string, unknown>;
    expect(manifest).toMatchObject({ plan: { queryHeads: 4, kvHeads: 2 }, tensorParallel: { rank, ranks: 2 } });
  }
  expect(JSON.parse(readFileSync(at('made/manifest.json'), 'utf8'))).toMatchObject({ plan: { queryHeads: 8, kvHeads: 4, layers: 3 }, ranks: 2 });
  // A layer that has long and short heads on every rank.
  expect(readFileSync(at('made/rank0/module.ir'), 'utf8')).toMatch(/layer 0\.\.1 \{\n +group N: heads 0\.\.1\n +group 128: heads 2\.\.3\n/);
});

test('unchanged, checked without machine code, and different when a file of a rank is', () => {
  expect(unchanged).toMatchObject({ status: 0, stdout: expect.stringContaining('unchanged ') });
  expect(current).toEqual({ status: 0, stdout: `${at('made')} is current\n`, stderr: expect.stringMatching(/^note MOA2004: .*rank0\/cubin\/all\.fatbin.* and 3 more; it is whole/) });
  writeFileSync(at('json/rank1/module.ir'), 'other');
  expect(run([...withCubins, '--check', '-o', at('json')])).toMatchObject({ status: 1, stderr: expect.stringContaining('/rank1/module.ir: error MOA2003: changed') });
  expect(run([...withCubins, '--tp', '4', '--check', '-o', at('made')])).toMatchObject({ status: 1, stderr: expect.stringMatching(/rank3\/\S+: error MOA2003: missing/) });
});

test('--json lists the files of all ranks, and kernels once', () => {
  const result = JSON.parse(json!.stdout) as { files: Record<string, string>; kernels: { name: string; architecture: string }[] };
  expect(result).toMatchObject({ result: 'wrote', ranks: 2, units: { total: 2, cached: 2 } });
  expect(Object.keys(result.files)).toEqual(Object.keys(snapshot(at('made'))));
  expect(new Set(result.kernels.map(({ name, architecture }) => `${name} ${architecture}`)).size).toBe(result.kernels.length);
});

test('as many ranks as KV heads, and one', () => {
  for (const [result, name, ranks] of [[four, 'four', 4], [one, 'one', 1]] as const) {
    expect(result).toMatchObject({ status: 0, stderr: '' });
    const { model, packages } = JSON.parse(readFileSync(at(`${name}/tensor-parallel.json`), 'utf8')) as { model: object; packages: string[] };
    expect(model).toEqual({ layers: 3, queryHeads: 8, kvHeads: 4, headDim: 64 });
    expect(packages.map((path) => existsSync(at(`${name}/${path}/index.js`)))).toEqual(Array.from({ length: ranks }, () => true));
  }
});

test('a package takes the place of packages of ranks, and the other way round; what is not ours stays', () => {
  const pathsAfter = (...options: string[]): string[] => {
    expect(run([plan, ...sourcesOnly, '-o', at('turns'), ...options])).toMatchObject({ status: 0, stderr: '' });
    return Object.keys(snapshot(at('turns')));
  };
  const [first, second, third, fourth] = [pathsAfter(), pathsAfter('--tp', '4'), pathsAfter(), pathsAfter('--tp', '2')];
  expect([first, second, third, fourth].map((paths) => [paths.includes('index.js'), paths.includes('rank1/index.js'), paths.includes('rank3/index.js')])).toEqual([
    [true, false, false],
    [false, true, true],
    [true, false, false],
    [false, true, false],
  ]);
  mkdirSync(at('turns/rank2'));
  writeFileSync(at('turns/rank2/notes.txt'), 'mine');
  const before = snapshot(at('turns'));
  expect(run([plan, ...sourcesOnly, '-o', at('turns')])).toMatchObject({ status: 1, stderr: expect.stringMatching(/MOA5003: .*rank2\/notes\.txt/) });
  expect(snapshot(at('turns'))).toEqual(before);
});

test('what is not written: --dry-run, and the IR of every rank', () => {
  const [dry, ir, stopped, passes] = runMany([
    [plan, '--tp', '2', ...sourcesOnly, '--dry-run', '-o', at('dry')],
    [plan, '--tp', '2', '--arch', 'sm_80', '--emit=ir'],
    [plan, '--tp', '2', '--arch', 'sm_80', '--stop-after', 'resolveGqa'],
    [plan, '--tp', '2', '--arch', 'sm_80', '--emit=ts', '--dry-run', '--print-ir-after', 'groupHeads', '--json'],
  ]);
  expect(dry).toMatchObject({ status: 0, stdout: expect.stringMatching(/^would write \S+dry: packages of 2 ranks, \d+ files/), stderr: '' });
  expect(existsSync(at('dry'))).toBe(false);
  expect(ir!.stdout.match(/^\/\/ rank [01] of 2\nscheduledModule \{\n {2}shape layers=3 queryHeads=4 kvHeads=2 headDim=64$/gm)).toHaveLength(2);
  expect(stopped!.stdout.match(/^\/\/ rank [01] of 2\nringModule \{$/gm)).toHaveLength(2);
  expect(passes!.stderr.match(/^\/\/ rank [01] of 2, after groupHeads$/gm)).toHaveLength(2);
});

test('ranks that the heads cannot be shared out among are bad input; all else that is wrong is said too', () => {
  const results = runMany([
    ...['3', '8'].map((ranks) => [plan, '--tp', ranks, ...sourcesOnly, '-o', at('never')]),
    ['inspect', tinyPlan, '--tp', '4'],
    [plan, '--tp', '3', '--arch', 'sm_80'],
    ...['0', '-2', '3.5', 'two', ''].map((ranks) => [plan, '--tp', ranks, ...sourcesOnly, '-o', at('never')]),
    ['inspect', tinyPlan, '--tp', '1.5'],
    [plan, '--tp', '2', '--tp-lengths', '0', ...sourcesOnly, '-o', at('never')],
  ]);
  expect(results.map(({ status, stdout }) => `${status}${stdout}`)).toEqual(results.map(() => '2'));
  const said = results.map(({ stderr }) => stderr);
  expect(said[0]).toBe('error MOA3002: 4 KV heads cannot be shared out evenly among 3 ranks, and the projections of all ranks have one shape\n    help: ranks may be 1, 2, 4\n');
  expect(said[1]).toMatch(/^error MOA3001: 8 ranks for 4 KV heads: .*\n {4}help: ranks may be 1, 2, 4\n$/);
  expect(said[2]).toContain('MOA3001: 4 ranks for 2 KV heads');
  for (const code of ['MOA2001', 'MOA3002']) expect(said[3]).toContain(code);
  for (const text of said.slice(4, 10)) expect(text).toContain('is not a positive integer');
  expect(said[10]).toContain("'0' is not a length");
  expect(existsSync(at('never'))).toBe(false);
});

test('inspect: how even ranks are before and after, as text and as JSON', () => {
  const args = ['inspect', plan, '--lengths', '1024,4k', '--tp', '2'];
  const [text, value, plain, e4m3] = runMany([args, [...args, '--json'], ['inspect', plan, '--lengths', '1024,4k', '--json'], [...args, '--json', '--kv-cache-dtype', 'fp8_e4m3']]);
  expect(text).toMatchObject({ status: 0, stderr: '' });
  expect(text!.stdout.slice(text!.stdout.indexOf('Tensor parallelism'))).toMatchInlineSnapshot(`
    "Tensor parallelism, 2 ranks: heads in contiguous blocks, and as assigned for N = 4096, 8192, 16384, 32768. In 3 of 3 layers no assignment is more even.
    Ratios are of the rank that has most and the mean: of KV pages, which decode reads, and of the pairs of prefill. All layers: the sum of the one by the sum of the other.

       N  heads       worst layer  mean of layers  all layers  prefill, worst  prefill, mean  least cache  most cache
    1024  contiguous        1.778           1.471       1.467           1.616          1.354   384.00 KiB    1.03 MiB
    1024  assigned          1.636           1.212       1.156           1.445          1.148   608.00 KiB  832.00 KiB
    4096  contiguous        1.939           1.608       1.564           1.884          1.558     1.13 MiB    4.03 MiB
    4096  assigned          1.886           1.295       1.188           1.792          1.264     2.09 MiB    3.06 MiB
    "
  `);
  const { tensorParallel, ...figures } = JSON.parse(value!.stdout) as PlanFigures & { tensorParallel: RankFigures };
  expect(JSON.parse(plain!.stdout)).toEqual(figures);
  expect(tensorParallel).toMatchObject({ ranks: 2, balancedLengths: [4096, 8192, 16384, 32768], provenLayers: 3, kvHeads: layers.map(({ kvHeads }) => kvHeads) });
  tensorParallel.lengths.forEach(({ length, contiguous, assigned }, index) => {
    expect(length).toBe(figures.lengths[index]!.length);
    for (const { cacheBytes } of [contiguous, assigned]) expect(cacheBytes.reduce((sum, bytes) => sum + bytes, 0)).toBe(figures.lengths[index]!.cacheBytes);
  });
  const half = (JSON.parse(e4m3!.stdout) as { tensorParallel: RankFigures }).tensorParallel.lengths[0]!.assigned.cacheBytes;
  expect(half).toEqual(tensorParallel.lengths[0]!.assigned.cacheBytes.map((bytes) => bytes / 2));
});

test('--tp-lengths: what is balanced', () => {
  const lengths = (...options: string[]): number[] => (JSON.parse(run(['inspect', plan, '--json', '--tp', '2', ...options]).stdout) as { tensorParallel: RankFigures }).tensorParallel.balancedLengths as number[];
  expect(lengths('--tp-lengths', '2k,512')).toEqual([2048, 512]);
});
