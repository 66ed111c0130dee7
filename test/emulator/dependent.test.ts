import { readFileSync } from 'node:fs';

import { expect, test } from 'vitest';

import { bytesOf, Kernel, seeds, Status, wordsOf, type LaunchSpec, type Param } from './harness.ts';

const kernel = new Kernel('dependent');
const lines = readFileSync(new URL('fixtures/dependent.cu', import.meta.url), 'utf8').split('\n');
const lineOf = (mark: string): number => lines.findIndex((line) => line.includes(`// @${mark}`)) + 1;

const params = (mode: number): Param[] => [{ buffer: 0 }, { buffer: 1 }, { buffer: 2 }, { i32: mode }];
const spec = (mode: number, more: Partial<LaunchSpec> = {}): LaunchSpec => ({
  buffers: [new Uint8Array(1024), bytesOf(new Uint32Array(256).fill(10)), new Uint8Array(4)],
  params: params(mode),
  before: params(0),
  programmatic: true,
  threads: 64,
  sharedBytes: 64 + 96 * 16,
  findingCapacity: 256,
  ...more,
});

test('reads what the launch before left alone, waits, and then does what it likes', () => {
  for (const result of kernel.launches(spec(1), seeds(20))) {
    expect(result).toMatchObject({ status: Status.ok, findings: [] });
    expect([...wordsOf(result.buffers[0] as Uint8Array)]).toEqual(Array.from({ length: 256 }, (_, i) => 11 + (i % 4)));
  }
});

test.each([
  [2, 32, 'early-read', 'load', 'loadGlobal reads bytes '],
  [3, 32, 'early-read', 'cpAsync', 'cpAsync16 reads bytes '],
  [4, 1, 'early-read', 'bulkCopy', 'bulkCopy reads bytes 496 to 1007 of allocation 0, which the launch before wrote'],
  [5, 32, 'early-write', 'store', 'storeGlobal in a programmatic launch'],
  [6, 1, 'early-write', 'atomic', 'atomicIncrementWrap in a programmatic launch'],
  [7, 1, 'early-launch', 'launchDependents', 'launchDependents before waitForPrerequisites'],
  [8, 1, 'never-waited', undefined, 'has ended with no call of waitForPrerequisites'],
  [9, 32, 'early-read', 'load', 'its warp has not called waitForPrerequisites'],
])('mode %i: %i x %s, for every seed', (mode, count, kind, mark, message) => {
  for (const result of kernel.launches(spec(mode), seeds(20))) {
    expect(result).toMatchObject({ status: Status.ok, findingCount: count });
    for (const finding of result.findings) {
      expect(finding.kind).toBe(kind);
      expect(finding.message).toContain(message);
      if (mark !== undefined) expect(finding.message).toContain(`dependent.cu:${lineOf(mark)}: `);
    }
  }
});

test('a plain launch may do all of it', () => {
  for (const mode of [1, 2, 3, 4, 5, 6, 7, 8, 9]) expect(kernel.launch(spec(mode, { programmatic: false }), 1).findings).toEqual([]);
});

test('only what the launch just before wrote is forbidden', () => {
  for (const mode of [2, 3, 4, 9]) {
    const { before: _, ...alone } = spec(mode);
    expect(kernel.launch(alone, 1).findings).toEqual([]);
    expect(kernel.launch(spec(mode, { before: params(1) }), 1).findings).not.toEqual([]);
  }
});
