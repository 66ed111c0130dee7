/** The tiles that prefill visits, against every pair of a small space. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { classifyTiles, countTiles } from './classifyTiles.ts';
import { sinkWindow } from '../../src/mask/sinkWindow.ts';
import { bruteTiles } from '../mask/sinkWindow.ts';

function check(sink: number, window: number, firstRow: number, lastRow: number, columns: number): void {
  const mask = sinkWindow(sink);
  const tiles = classifyTiles(mask, firstRow, lastRow, columns, window);
  const brute = bruteTiles(sink, window, firstRow, lastRow, columns);
  const where = { sink, window, firstRow, lastRow, columns };
  const same = tiles.length === brute.length && tiles.every(({ tile }, index) => tile === brute[index]!.tile);
  if (!same) expect.fail(`${JSON.stringify(where)} visits ${JSON.stringify(tiles)}, not ${JSON.stringify(brute)}`);
  // Sink and window together may cover a tile that neither covers alone: it is masked without need, but only where the sink ends in it.
  const exact = sink % columns === 0;
  const fullness = tiles.every(({ full }, index) => (exact ? full === brute[index]!.full : !full || brute[index]!.full));
  if (!fullness) expect.fail(`${JSON.stringify(where)} is full where ${JSON.stringify(tiles)} says, not ${JSON.stringify(brute)}`);
  if (countTiles(mask, firstRow, lastRow, columns, window) !== brute.length) expect.fail(`${JSON.stringify(where)} counts other tiles`);
}

test('all sinks, windows, blocks of rows and tile widths of a small space', () => {
  for (let sink = 0; sink <= 5; sink += 1) {
    for (let window = 1; window <= 9; window += 1) {
      for (const columns of [1, 2, 3, 4]) {
        for (let firstRow = 0; firstRow <= 14; firstRow += 1) {
          for (let lastRow = firstRow; lastRow <= firstRow + 5; lastRow += 1) check(sink, window, firstRow, lastRow, columns);
        }
      }
    }
  }
});

test('the sizes of kernels', () => {
  const size = fc.constantFrom(1, 63, 64, 65, 127, 128, 192, 320);
  const row = fc.constantFrom(0, 1, 63, 64, 128, 191, 256, 383, 640);
  fc.assert(
    fc.property(fc.constantFrom(0, 1, 32, 64, 100), size, row, fc.constantFrom(0, 1, 62, 63, 127), (sink, window, firstRow, rows) => {
      check(sink, window, firstRow, firstRow + rows, 64);
    }),
    { numRuns: 150 },
  );
});

test('the cost of a block does not grow beyond sink and window', () => {
  const tiles = (i: number): number => countTiles(sinkWindow(64), i, i + 127, 64, 256);
  expect([0, 128, 256, 384, 512, 12800, 1280000].map(tiles)).toEqual([2, 4, 6, 7, 7, 7, 7]);
});

test('a block without rows and a tile without keys are internal errors', () => {
  expect(() => classifyTiles(sinkWindow(64), 5, 4, 64, 64)).toThrow('internal error');
  expect(() => classifyTiles(sinkWindow(64), 0, 4, 0, 64)).toThrow('internal error');
});
