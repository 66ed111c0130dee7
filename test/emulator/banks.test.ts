import { readFileSync } from 'node:fs';

import { expect, test } from 'vitest';

import { bytesOf, Kernel, unwritten, type LaunchResult } from './harness.ts';

const kernel = new Kernel('banks');
const source = readFileSync(new URL('fixtures/banks.cu', import.meta.url), 'utf8').split('\n');
const lineOf = (mark: string): number => source.findIndex((line) => line.includes(`// @${mark}`)) + 1;

const names = ['ldmatrix', 'load2', 'load4', 'load8', 'load16', 'store4', 'store16', 'cpAsync16', 'ragged', 'branches', 'repeated'] as const;
type Mode = (typeof names)[number];

function run(mode: Mode, offsetOf: (lane: number) => number, failOnBankConflict = false): LaunchResult {
  const offsets = Uint32Array.from({ length: 32 }, (_, lane) => offsetOf(lane));
  const spec = {
    buffers: [bytesOf(offsets), unwritten(16)],
    params: [{ buffer: 0 }, { buffer: 1 }, { i32: names.indexOf(mode) }],
    threads: 32,
    sharedBytes: 16384,
    failOnBankConflict,
  };
  return kernel.launch(spec, 4);
}
const conflicts = (mode: Mode, offsetOf: (lane: number) => number): number | undefined => run(mode, offsetOf).counters['bankConflicts'];

/** Row `lane & 15` of 128 bytes, 16-byte chunk `lane >> 4`, as an operand is read. */
const plain = (lane: number): number => (lane & 15) * 128 + (lane >> 4) * 16;
const swizzled = (lane: number): number => (lane & 15) * 128 + (((lane >> 4) ^ (lane & 7)) << 4);

test('ldmatrix of plain rows conflicts 8 ways in each of 4 phases, of swizzled rows never', () => {
  expect(conflicts('ldmatrix', plain)).toBe(28);
  expect(conflicts('ldmatrix', swizzled)).toBe(0);
  expect(conflicts('ldmatrix', (lane) => lane * 16)).toBe(0);
  expect(conflicts('ldmatrix', () => 0)).toBe(0); // one row for all
  expect(conflicts('ldmatrix', (lane) => lane * 32)).toBe(4); // two ways
  expect(conflicts('ldmatrix', (lane) => lane * 144)).toBe(0); // rows padded by 16 bytes
});

test.each([
  ['load4', (lane: number) => lane * 4, 0],
  ['load4', (lane: number) => lane * 8, 1],
  ['load4', (lane: number) => lane * 128, 31],
  ['load4', () => 64, 0],
  ['load4', (lane: number) => (lane % 4) * 128, 3],
  ['store4', (lane: number) => lane * 128, 31],
  ['load2', (lane: number) => lane * 2, 0],
  ['load2', (lane: number) => lane * 256, 31],
  ['load8', (lane: number) => lane * 8, 0],
  ['load8', (lane: number) => lane * 16, 2],
  ['load8', (lane: number) => lane * 128, 30],
  ['load16', (lane: number) => lane * 16, 0],
  ['load16', (lane: number) => lane * 32, 4],
  ['load16', (lane: number) => lane * 128, 28],
  ['store16', (lane: number) => lane * 128, 28],
  ['store16', (lane: number) => lane * 128 + ((lane & 7) << 4), 0],
  ['cpAsync16', (lane: number) => lane * 128, 28],
  ['cpAsync16', (lane: number) => lane * 128 + ((lane & 7) << 4), 0],
] as const)('%s pattern %# has the wavefronts that the banks need', (mode, offsetOf, expected) => {
  expect(conflicts(mode, offsetOf)).toBe(expected);
});

test('accesses of one line are matched one by one, and lines are not mixed', () => {
  // In the k-th instruction lanes k + 1 .. 31 take part, all in one bank: 31 - k lanes, 30 - k more wavefronts.
  expect(conflicts('ragged', (lane) => lane * 128)).toBe((30 * 31) / 2);
  expect(conflicts('branches', (lane) => (lane % 16) * 4 + (lane >> 4) * 128)).toBe(0);
  expect(conflicts('load4', (lane) => (lane % 16) * 4 + (lane >> 4) * 128)).toBe(1);
});

test('a conflict can be a finding, once a line', () => {
  const result = run('repeated', (lane) => lane * 128, true);
  expect(result.counters['bankConflicts']).toBe(62);
  expect(result.findings.map((finding) => finding.kind)).toEqual(['bank-conflict']);
  const message = result.findings[0]?.message;
  expect(message).toContain(`banks.cu:${lineOf('repeated')}: block 0 thread 0 `);
  expect(message).toContain('31 more shared-memory wavefronts');
  expect(run('ldmatrix', plain, true).findings[0]?.message).toContain(`banks.cu:${lineOf('ldmatrix')}: `);
  expect(run('load16', (lane) => lane * 16, true).findings).toEqual([]);
});
