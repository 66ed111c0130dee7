import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { findHostCompiler, type HostCompiler } from '../../src/toolchain/findHostCompiler.ts';
import { buildHostKernel, type HostKernelSource } from '../../src/toolchain/hostKernel.ts';
import { KernelCache } from '../../src/toolchain/kernelCache.ts';
import { codesOf, diagnosticsOf, scratchFolder } from './helpers.ts';

const variables = process.env;
const settings = { variables, temporaryRoot: scratchFolder() };
const compiler: HostCompiler | undefined = await findHostCompiler(variables).catch(() => undefined);

function smallSource(text = 'return half();'): HostKernelSource {
  const include = scratchFolder();
  fs.writeFileSync(join(include, 'half.cuh'), '#include <source_location>\ninline int half() { return 21; }\ninline const char* where() { return std::source_location::current().file_name(); }\n');
  return { name: 'small', text: `#include <half.cuh>\nextern "C" int answer() { ${text} }\nextern "C" const char* place() { return where(); }\n`, includeFolders: [include] };
}

test('without a C++20 compiler, the diagnostic says what was tried', async () => {
  const onPath = await diagnosticsOf(() => findHostCompiler({ PATH: '/nowhere' }));
  expect(codesOf(onPath)).toEqual(['MOA4201']);
  expect(onPath.message).toContain('g++ (not found), c++ (not found), clang++ (not found)');
  const chosen = await diagnosticsOf(() => findHostCompiler({ PATH: process.env['PATH'], CXX: '/bin/false -m32' }));
  expect(chosen.message).toContain('tried from CXX: /bin/false (does not compile C++20)');
});

test.skipIf(compiler === undefined)('what a compiler can do is found once', async () => {
  const cache = KernelCache.open(join(scratchFolder(), 'cache'));
  const first = await findHostCompiler(variables, undefined, cache);
  expect(first).toEqual(compiler);
  // A folder that is none shows that nothing is tried out.
  expect(await findHostCompiler(variables, '/nowhere', cache)).toEqual(first);
  await expect(findHostCompiler(variables, '/nowhere')).rejects.toThrow();
});

describe.skipIf(compiler === undefined)('with a compiler (skipped where there is none)', () => {
  const real = compiler!;
  let cache: KernelCache;

  beforeAll(() => {
    cache = KernelCache.open(join(scratchFolder(), 'cache'));
  });

  test('a library is built once, and named by its content', async () => {
    const source = smallSource();
    const first = await buildHostKernel(real, source, cache, settings);
    expect(first.cached).toBe(false);
    expect(execFileSync('sha256sum', [first.path], { encoding: 'utf8' })).toMatch(new RegExp(`^${first.path.slice(-67, -3)}`));
    // A compiler that cannot be started shows that nothing is compiled.
    const second = await buildHostKernel({ ...real, path: '/nowhere' }, source, cache, settings);
    expect(second).toEqual({ path: first.path, cached: true });
    expect(cache.warnings).toEqual([]);
  });

  test('the same headers in another folder are the same kernel', async () => {
    const [first, second] = [smallSource('return 1;'), smallSource('return 1;')];
    const built = await buildHostKernel(real, first, KernelCache.none(), settings);
    expect((await buildHostKernel(real, second, KernelCache.none(), settings)).path).toBe(built.path);
    expect(fs.readFileSync(built.path).includes(first.includeFolders[0] ?? '')).toBe(false);
    await buildHostKernel(real, first, cache, settings);
    expect((await buildHostKernel(real, second, cache, settings)).cached).toBe(true);
  });

  test('a library that was changed on the disk is replaced', async () => {
    const source = smallSource('return 2;');
    const { path } = await buildHostKernel(real, source, cache, settings);
    const before = fs.readFileSync(path);
    for (const damage of [before.subarray(0, 100), Buffer.alloc(0), Buffer.concat([before, Buffer.from([0])])]) {
      fs.writeFileSync(path, damage);
      expect((await buildHostKernel(real, source, cache, settings)).cached).toBe(true);
      expect(fs.readFileSync(path).equals(before)).toBe(true);
    }
  });

  test('a header decides the key', async () => {
    const source = smallSource('return 3;');
    await buildHostKernel(real, source, cache, settings);
    fs.appendFileSync(join(source.includeFolders[0] ?? '', 'half.cuh'), '// changed\n');
    expect((await buildHostKernel(real, source, cache, settings)).cached).toBe(false);
  });

  test('a header outside the inputs is an internal error', async () => {
    const outside = join(scratchFolder(), 'outside.cuh');
    fs.writeFileSync(outside, '');
    const base = smallSource();
    const source = { ...base, text: `#include "${outside}"\n${base.text}` };
    await expect(buildHostKernel(real, source, cache, settings)).rejects.toThrow(/internal error: .*outside.cuh is included/);
    await buildHostKernel(real, { ...source, furtherInputs: [outside] }, cache, settings);
  });

  test('a source that does not compile', async () => {
    const error = await diagnosticsOf(() => buildHostKernel(real, smallSource('return nothing;'), cache, settings));
    expect(codesOf(error)).toEqual(['MOA4202']);
    expect(error.message).toContain('small.cu:2');
  });

  test('two at once', async () => {
    const source = smallSource('return 4;');
    const built = await Promise.all([1, 2].map(() => buildHostKernel(real, source, KernelCache.open(join(cache.folder ?? '', '..')), settings)));
    expect(built[0]?.path).toBe(built[1]?.path);
  });

  test('the emulator builds, and its library has the entry point', async () => {
    const root = fileURLToPath(new URL('../../', import.meta.url));
    const fixture = join(root, 'test/emulator/fixtures/exchange.cu');
    const furtherInputs = [join(root, 'native/emulator/abi.h')];
    const includeFolders = [join(root, 'native/emulator/include')];
    const engine = { name: 'engine', text: fs.readFileSync(join(root, 'native/emulator/engine.cpp'), 'utf8'), includeFolders, furtherInputs };
    const text = fs.readFileSync(fixture, 'utf8');
    const source = { name: 'exchange', text, includeFolders: [join(root, 'templates/include'), ...includeFolders], furtherInputs, engine };
    const { path } = await buildHostKernel(real, source, cache, settings);
    expect(fs.readFileSync(path).includes('exchange_emulate')).toBe(true);
    expect(fs.readFileSync(path).includes(root)).toBe(false);
    expect(spawnSync('readelf', ['-h', path]).status ?? 0).toBe(0);
  });
});
