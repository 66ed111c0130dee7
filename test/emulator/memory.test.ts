import { readFileSync } from 'node:fs';

import { expect, test } from 'vitest';

import { bytesOf, Kernel, seeds, Status, unwritten, wordsOf, type LaunchSpec } from './harness.ts';

const kernel = new Kernel('memory');
const source = readFileSync(new URL('fixtures/memory.cu', import.meta.url), 'utf8').split('\n');
const lineOf = (mark: string): number => source.findIndex((line) => line.includes(`// @${mark}`)) + 1;

const input = Uint32Array.from({ length: 128 }, (_, i) => i + 1);
const nan = 0xffffffff;
const spec = (mode: number, more: Partial<LaunchSpec> = {}): LaunchSpec => ({
  buffers: [bytesOf(input), unwritten(512)],
  params: [{ buffer: 0 }, { buffer: 1 }, { i32: mode }],
  threads: 128,
  sharedBytes: 512,
  ...more,
});
const out = (buffers: readonly Uint8Array[]): Uint32Array => wordsOf(buffers[1] as Uint8Array);

test('with its barrier an exchange through shared memory is right for every seed', () => {
  for (const [mode, other] of [[0, (i: number) => (i + 32) % 128], [2, (i: number) => i ^ 1]] as const) {
    for (const result of kernel.launches(spec(mode), seeds(40))) {
      expect(result.findings).toEqual([]);
      expect(out(result.buffers)).toEqual(input.map((_, i) => other(i) + 1));
      expect(result.counters).toMatchObject({ blocks: 1, globalLoadBytes: 512, globalStoreBytes: 512, blockBarriers: mode === 0 ? 1 : 0 });
    }
  }
});

test.each([
  ['blockBarrier', 1],
  ['warpBarrier', 3],
])('without %s every seed gives NaN', (_, mode) => {
  for (const result of kernel.launches(spec(mode), seeds(40))) expect(out(result.buffers)).toContain(nan);
});

test('a loop without its second barrier goes wrong within a few seeds', () => {
  const wrong = kernel.launches(spec(4), seeds(8)).filter((result) => out(result.buffers).includes(0));
  expect(wrong.length).toBeGreaterThanOrEqual(4);
});

test.each([
  [5, 'out-of-bounds', 'loadBounds', 'loadGlobal of 4 bytes', 'byte 512 from the start of allocation 0, which has 512'],
  [6, 'out-of-bounds', 'storeBounds', 'storeGlobal of 4 bytes', 'from the start of allocation 0, which has 512'],
  [7, 'misaligned', 'loadAlignment', 'loadGlobal of 4 bytes', 'byte 2 of allocation 0'],
  [8, 'shared-out-of-bounds', 'sharedBounds', 'loadShared of 4 bytes', 'byte 512 of 512'],
  [9, 'misaligned', 'sharedAlignment', 'loadShared of 4 bytes', 'byte 2 of 512'],
  [10, 'shared-out-of-bounds', 'sharedBelow', 'storeShared of 4 bytes', 'byte -4 of 512'],
])('a bad access (mode %i) is a finding: %s', (mode, kind, mark, what, where) => {
  const result = kernel.launch(spec(mode), 1);
  expect(result.status).toBe(Status.ok);
  expect(result.findings.map((finding) => finding.kind)).toEqual([kind]);
  const message = result.findings[0]?.message;
  expect(message).toContain(`memory.cu:${lineOf(mark)}: block 0 thread 5 (warp 0 lane 5): ${what}`);
  expect(message).toContain(where);
  expect(out(result.buffers)[5]).toBe(nan);
});

test('an access that is only partly in an allocation is out of bounds', () => {
  const result = kernel.launch(spec(11, { buffers: [bytesOf(input.slice(0, 126)), unwritten(512)] }), 1);
  expect(result.findings.map((finding) => finding.kind)).toEqual(['out-of-bounds']);
  expect(result.findings[0]?.message).toMatch(new RegExp(`memory\\.cu:${lineOf('straddle')}: .*byte 496 .* which has 504`));
});

test('shared memory starts as NaN for every block', () => {
  const [result] = kernel.launches(spec(12, { grid: 3 }), [0]);
  expect([...out(result?.buffers ?? [])]).toEqual(Array.from({ length: 128 }, () => nan));
});

test('the atomic counter wraps after its limit', () => {
  for (const result of kernel.launches(spec(13, { buffers: [bytesOf(new Uint32Array(128)), unwritten(512)] }), seeds(5))) {
    const olds = [...out(result.buffers)].sort((a, b) => a - b);
    expect(olds).toEqual(Array.from({ length: 128 }, (_, i) => i % 5).sort((a, b) => a - b));
    expect(wordsOf(result.buffers[0] as Uint8Array)[0]).toBe(128 % 5);
    expect(result.counters['atomics']).toBe(128);
  }
  const bad = kernel.launch(spec(14), 0);
  expect(bad.findings.map((finding) => finding.kind)).toEqual(['out-of-bounds']);
  expect(bad.findings[0]?.message).toContain(`memory.cu:${lineOf('atomicBounds')}: block 0 thread 0`);
});

test('counts are over the grid', () => {
  expect(kernel.launch(spec(15, { grid: 5 }), 0).counters).toMatchObject({
    blocks: 5,
    tiles: 5,
    pages: 15,
    globalLoadBytes: 5 * 128 * 2,
    globalStoreBytes: 5 * 128 * 16,
    mma: 0,
  });
});

test('a launch ends when there is no room for another finding', () => {
  const result = kernel.launch(spec(16, { findingCapacity: 3 }), 0);
  expect(result).toMatchObject({ status: Status.aborted, findingCount: 4, counters: { blocks: 0 } });
  expect(result.findings).toHaveLength(3);
  expect(kernel.launch(spec(16, { findingCapacity: 0 }), 0)).toMatchObject({ status: Status.aborted, findingCount: 1 });
  expect(kernel.launch(spec(16, { findingCapacity: 20_000 }), 0)).toMatchObject({ status: Status.ok, findingCount: 12_800 });
});

test('a launch of the wrong shape is refused', () => {
  expect(kernel.launch(spec(0, { threads: 64 }), 0).status).toBe(Status.badShape);
  expect(kernel.launch(spec(0, { grid: 0 }), 0).status).toBe(Status.badShape);
  expect(kernel.launch({ ...spec(0), params: [{ buffer: 0 }, { i32: 0 }] }, 0).status).toBe(Status.wrongParamsBytes);
});

test('order is a pure function of the seed', () => {
  const numbers: LaunchSpec = spec(17, { grid: 4, buffers: [bytesOf(new Uint32Array(128)), unwritten(3 * 512)] });
  const once = kernel.launches(numbers, seeds(30));
  expect(kernel.launches(numbers, seeds(30))).toEqual(once);
  const orders = new Set(once.map((result) => (result.buffers[1] as Buffer).toString('hex')));
  expect(orders.size).toBe(30);
  // Whichever way it went, the third number is taken after the block's barrier.
  for (const result of once) {
    const taken = out(result.buffers);
    expect(Math.min(...taken.subarray(256))).toBeGreaterThan(Math.max(...taken.subarray(0, 256)) - 1);
  }
});

test('threads of the operating system may launch one library at once', () => {
  const numbers: LaunchSpec = spec(17, { grid: 300, buffers: [bytesOf(new Uint32Array(128)), unwritten(3 * 512)] });
  const alone = kernel.launch(numbers, 9);
  for (const result of kernel.parallel(numbers, 9, 4)) expect(result).toEqual(alone);
});
