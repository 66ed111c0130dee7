import { readFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import { bytesOf, Kernel, seeds, unwritten, wordsOf, type LaunchSpec } from './harness.ts';

const kernel = new Kernel('copies');
const source = readFileSync(new URL('fixtures/copies.cu', import.meta.url), 'utf8').split('\n');
const lineOf = (mark: string): number => source.findIndex((line) => line.includes(`// @${mark}`)) + 1;

const wordsPerGroup = 128 * 4;
const input = Uint32Array.from({ length: 2 * wordsPerGroup }, (_, i) => i + 1);
const spec = (mode: number): LaunchSpec => ({
  buffers: [bytesOf(input), unwritten(input.byteLength)],
  params: [{ buffer: 0 }, { buffer: 1 }, { i32: mode }],
  threads: 128,
  sharedBytes: input.byteLength,
  findingCapacity: 256,
});
const group = (bytes: Uint8Array | undefined, index: number): Uint32Array =>
  wordsOf(bytes as Uint8Array).subarray(index * wordsPerGroup, (index + 1) * wordsPerGroup);
const nan = 0xffffffff;

test('a copy that is waited for arrives, whatever the seed', () => {
  for (const mode of [0, 5]) {
    for (const result of kernel.launches(spec(mode), seeds(20))) {
      expect(result.findings).toEqual([]);
      expect(group(result.buffers[1], 0)).toEqual(input.subarray(0, wordsPerGroup));
      if (mode === 0) expect(group(result.buffers[1], 1)).toEqual(input.subarray(wordsPerGroup));
    }
  }
});

describe('every seed shows', () => {
  test.each([
    ['a read before the wait', 1, 0],
    ['a wait that leaves a group', 2, 1],
    ['a wait for a group that is not closed', 6, 0],
  ])('%s', (_, mode, wrongGroup) => {
    for (const result of kernel.launches(spec(mode), seeds(100))) {
      expect(result.status).toBe(0);
      expect(group(result.buffers[1], wrongGroup)).toContain(nan);
      if (wrongGroup === 1) expect(group(result.buffers[1], 0)).toEqual(input.subarray(0, wordsPerGroup));
    }
  });

  test('a thread that never waits', () => {
    for (const result of kernel.launches(spec(4), seeds(20))) {
      expect(result.status).toBe(0);
      expect(result.findings.map((finding) => finding.kind)).toEqual(['pending-copy']);
      expect(result.findings[0]?.message).toContain(`copies.cu:${lineOf('issue')}: block 0 thread`);
    }
  });
});

test.each([
  ['no barrier after the wait', 3],
  ['no barrier before a tile is overwritten', 9],
])('%s shows within a few seeds', (_, mode) => {
  const wrong = kernel.launches(spec(mode), seeds(8)).filter((result) => group(result.buffers[1], 0).some((word, i) => word !== input[i]));
  expect(wrong.length).toBeGreaterThanOrEqual(4);
});

test('copies land early by some seeds, and read their source early or late', () => {
  const landed = kernel.launches(spec(14), seeds(40)).map((result) => {
    const count = (index: number): number => group(result.buffers[1], index).filter((word) => word !== nan).length;
    return [count(0), count(1)] as const;
  });
  expect(landed.some(([atIssue, later]) => atIssue === 0 && later === 0)).toBe(true);
  expect(landed.some(([atIssue, later]) => atIssue > 0 && later > atIssue)).toBe(true);
  expect(landed.every(([, later]) => later < wordsPerGroup)).toBe(true);
  const read = kernel.launches(spec(8), seeds(4)).flatMap((result) => [...group(result.buffers[1], 0)]);
  expect(new Set(read.map((word) => (word === 7 ? 'late' : 'early')))).toEqual(new Set(['late', 'early']));
});

test('zeros where not valid, and nothing is read there', () => {
  for (const result of kernel.launches(spec(7), seeds(10))) {
    expect(result.findings).toEqual([]);
    group(result.buffers[1], 0).forEach((word, i) => expect(word).toBe((i >> 2) % 2 === 0 ? i + 1 : 0));
    expect(result.counters).toMatchObject({ asyncCopies: 64, asyncCopyBytes: 64 * 16, zeroFills: 64 });
  }
});

test.each([
  [10, 'out-of-bounds', 'sourceBounds', 'cpAsync16 from global memory of 16 bytes'],
  [11, 'misaligned', 'destinationAlignment', 'cpAsync16 to shared memory of 16 bytes'],
  [12, 'misaligned', 'sourceAlignment', 'cpAsync16 from global memory of 16 bytes'],
  [13, 'shared-out-of-bounds', 'destinationBounds', 'byte 4096 of 4096'],
])('a bad address (mode %i) is a finding: %s', (mode, kind, mark, text) => {
  const result = kernel.launch(spec(mode), 3);
  expect(result.status).toBe(0);
  expect(result.findingCount).toBe(128);
  for (const finding of result.findings) {
    expect(finding.kind).toBe(kind);
    expect(finding.message).toContain(`copies.cu:${lineOf(mark)}: block 0 thread `);
    expect(finding.message).toContain(text);
  }
});

test('with ucontext in place of the hand-written switch', () => {
  const portable = new Kernel('copies', ['-DMOA_EMULATOR_UCONTEXT']);
  const [fast, slow] = [kernel.launches(spec(0), seeds(3)), portable.launches(spec(0), seeds(3))];
  expect(slow).toEqual(fast);
});
