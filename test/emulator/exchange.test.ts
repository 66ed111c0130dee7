import { execFileSync } from 'node:child_process';

import { expect, test } from 'vitest';

import { Kernel, seeds, unwritten, wordsOf } from './harness.ts';

const kernel = new Kernel('exchange');

test('positions, shuffles and votes', () => {
  const grid = 3;
  const spec = { buffers: [unwritten(grid * 64 * 48)], params: [{ buffer: 0 }], threads: 64, grid, sharedBytes: 64 };
  for (const result of kernel.launches(spec, seeds(10))) {
    expect(result).toMatchObject({ status: 0, findings: [], counters: { blocks: grid } });
    const words = wordsOf(result.buffers[0] as Uint8Array);
    for (let block = 0; block < grid; block++) {
      for (let thread = 0; thread < 64; thread++) {
        const lane = thread % 32;
        const values = [...words.subarray((block * 64 + thread) * 12, (block * 64 + thread + 1) * 12)];
        const base = values.pop() as number;
        expect(values).toEqual([thread, lane, thread >> 5, block, grid, lane ^ 5, (31 - lane) * 3, 1, 0, 1, 0]);
        expect(base).toBeGreaterThan(0);
        expect(base % 1024).toBe(0);
      }
    }
  }
});

test('a library exports its entry and nothing else', () => {
  const symbols = execFileSync('nm', ['-D', '--defined-only', kernel.library]).toString('utf8').trim().split('\n');
  expect(symbols.map((line) => line.split(' ').at(-1))).toEqual(['exchange_emulate']);
});
