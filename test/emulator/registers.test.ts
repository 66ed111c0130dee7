import { readFileSync } from 'node:fs';

import { expect, test } from 'vitest';

import { Kernel, seeds, Status, type LaunchSpec } from './harness.ts';

const kernel = new Kernel('registers');
const lines = readFileSync(new URL('fixtures/registers.cu', import.meta.url), 'utf8').split('\n');
const lineOf = (mark: string): number => lines.findIndex((line) => line.includes(`// @${mark}`)) + 1;
const spec = (i32: number): LaunchSpec => ({ buffers: [], params: [{ i32 }], threads: 384 });

test.each([0, 1])('mode %i: as many registers as there are', (mode) => {
  for (const result of kernel.launches(spec(mode), seeds(5))) expect(result).toMatchObject({ status: Status.ok, findings: [] });
});

test.each([
  [2, 'tooMany', "the block's threads end with 66560 registers; it has 65536"],
  [3, 'notAll', 'the four warps from warp 0 on do not end with the same number of registers: warp 0 has called for 24, warp 2 for 0 (0: never)'],
  [4, 'one', 'the four warps from warp 8 on do not end with the same number of registers: warp 8 has called for 0, warp 9 for 24'],
  [5, 'lowerRaises', 'lowerRegisters to 176, and its threads have 168'],
  [6, 'raiseLowers', 'raiseRegisters to 160, and its threads have 168'],
])('mode %i, at @%s', (mode, mark, message) => {
  for (const result of kernel.launches(spec(mode), seeds(10))) {
    expect(result.findings[0]?.kind).toBe('registers');
    expect(result.findings[0]?.message).toContain(`registers.cu:${lineOf(mark)}: block 0 thread `);
    expect(result.findings[0]?.message).toContain(message);
  }
});

test('part of a warp cannot change them', () => {
  for (const result of kernel.launches(spec(7), seeds(10))) expect(result.findings.map(({ kind }) => kind)).toEqual(['divergence']);
});
