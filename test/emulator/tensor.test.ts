import { readFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import { bytesOf, Kernel, seeds, shortsOf, Status, unwritten, type LaunchResult, type LaunchSpec, type Param, type TensorMap } from './harness.ts';

const kernel = new Kernel('tensor');
const text = readFileSync(new URL('fixtures/tensor.cu', import.meta.url), 'utf8');
const lines = text.split('\n');
const lineOf = (mark: string): number => lines.findIndex((line) => line.includes(`// @${mark}`)) + 1;
const modes = (/enum Mode \{([^}]*)\}/.exec(text)?.[1] ?? '').split(',').map((name) => name.trim());
const rows = 40;
const columns = 96;
const boxRows = 16;
const nan = 0xffff;
/** Row r of the matrix begins at element 8 + 96 r of its buffer. */
const map: TensorMap = { buffer: 0, offset: 16, rows, columns, rowBytes: columns * 2, boxRows };
const matrix = Uint16Array.from({ length: 8 + rows * columns }, (_, i) => i);

function params(mode: string, row: number, column: number, tensorMap: TensorMap): Param[] {
  const i32 = modes.indexOf(mode);
  if (i32 < 0) throw new Error(`the fixture has no mode ${mode}`);
  return [{ map: tensorMap }, { buffer: 0, offset: 16 }, { buffer: 1 }, { i32 }, { i32: row }, { i32: column }];
}
const spec = (mode: string, row = 16, column = 0, more: Partial<TensorMap> = {}): LaunchSpec => ({
  buffers: [bytesOf(matrix), unwritten(boxRows * 128)],
  params: params(mode, row, column, { ...map, ...more }),
  threads: 64,
  sharedBytes: 2 * boxRows * 128 + 16,
  findingCapacity: 256,
});

/** What lies in shared memory at row `r`, element `e` of a box. */
function boxed(row: number, column: number, r: number, e: number): number {
  const at = column + (((e >> 3) ^ (r & 7)) << 3) + (e & 7);
  return row + r >= 0 && row + r < rows && at >= 0 && at < columns ? 8 + (row + r) * columns + at : 0;
}
const boxOf = (row: number, column: number): Uint16Array =>
  Uint16Array.from({ length: boxRows * 64 }, (_, i) => boxed(row, column, i >> 6, i & 63));
const output = (result: LaunchResult): Uint16Array => shortsOf(result.buffers[1] as Uint8Array);

test.each([
  [0, 0], [16, 32], [3, 11], [30, 64], [-5, 0], [-16, 0], [-300, 8], [40, 0], [39, 95], [8, -3], [8, -64], [8, 96], [-1, -1],
])('the box at row %i, column %i', (row, column) => {
  for (const result of kernel.launches(spec('kBox', row, column), seeds(30))) {
    expect(result).toMatchObject({ status: Status.ok, findings: [], counters: { bulkCopies: 1, bulkCopyBytes: boxRows * 128 } });
    expect(output(result)).toEqual(boxOf(row, column));
  }
});

describe('every seed finds', () => {
  test.each<[string, string, string, string, Partial<TensorMap>?, number?]>([
    ['kTooFewBytes', 'transaction', 'copy', 'copies of 2048 bytes in phase 0 of the mbarrier at byte 4096, which expects 1920'],
    ['kOwnMap', 'tensor-map', 'copy', 'which does not lie in the kernel\'s parameters'],
    ['kMisaligned', 'misaligned', 'copy', 'tensorCopy of 2048 bytes to shared address'],
    ['kOutside', 'shared-out-of-bounds', 'copy', 'byte 3072 of 4112'],
    ['kPlainStore', 'proxy', 'copy', 'tensorCopy to byte 1008 of shared memory, where a thread stored and called no asyncProxyFence since'],
    ['kWritten', 'proxy', 'copy', 'tensorCopy reads byte 3872 of allocation 0, which a plain store of this launch wrote'],
    ['kBox', 'tensor-map', 'prefetch', 'prefetchTensorMap with a tensor map which holds none', { magic: 1n }],
    ['kBox', 'tensor-map', 'prefetch', 'of a matrix that does not lie as it must', { offset: 8 }],
    ['kBox', 'tensor-map', 'prefetch', 'of a matrix that does not lie as it must', { rowBytes: 176 }],
    ['kBox', 'tensor-map', 'prefetch', 'more than 256', { boxRows: 257 }],
    ['kBox', 'out-of-bounds', 'copy', 'tensorCopy reads rows 30 to 45 of a matrix: 3008 bytes at', { rows: 1000 }, 30],
  ])('%s: %s', (mode, kind, mark, message, more = {}, row = 16) => {
    for (const result of kernel.launches(spec(mode, row, 0, more), seeds(30))) {
      expect(result.findings[0]?.kind).toBe(kind);
      expect(result.findings[0]?.message).toContain(`tensor.cu:${lineOf(mark)}: block 0 thread 0 `);
      expect(result.findings[0]?.message).toContain(message);
    }
  });
});

test('until it is waited for a box is NaN, or there in parts; its source is read early or late', () => {
  const expected = boxOf(16, 0);
  const seen = kernel.launches(spec('kNoWait'), seeds(200)).map((result) => {
    const box = output(result);
    expect(box.every((element, i) => element === nan || element === expected[i])).toBe(true);
    return box.filter((element) => element !== nan).length;
  });
  expect(seen).toContain(0);
  expect(seen).toContain(boxRows * 64);
  expect(seen.some((landed) => landed > 0 && landed < boxRows * 64)).toBe(true);
  const read = kernel.launches(spec('kChanges'), seeds(40)).map((result) => output(result)[70] === 7);
  expect(new Set(read)).toEqual(new Set([true, false]));
});

test('a launch that begins early must not read rows that the launch before wrote', () => {
  const early = (row: number): LaunchSpec => ({ ...spec('kEarly', row), before: params('kWritesRow', 0, 0, map), programmatic: true });
  for (const result of kernel.launches(early(16), seeds(10))) {
    expect(result.findings).toHaveLength(1);
    expect(result.findings[0]).toMatchObject({ kind: 'early-read', message: expect.stringContaining(`tensor.cu:${lineOf('copy')}: block 0 thread 0 `) });
  }
  for (const result of kernel.launches(early(21), seeds(10))) expect(result.findings).toEqual([]);
  for (const result of kernel.launches(early(4), seeds(10))) expect(result.findings).toEqual([]);
});
