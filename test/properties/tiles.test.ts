/** The compiler's mask data against the oracle's pair-by-pair mask, over every small case. No device. */
import { describe, expect, test } from 'vitest';
import { effectiveMask, spanOf, windowOf } from '../../src/ir/affine.ts';
import { classifyTiles, countTiles } from '../spec/classifyTiles.ts';
import { allows } from '../../src/mask/mask.ts';
import { sinkWindow } from '../../src/mask/sinkWindow.ts';
import fc from 'fast-check';
import { attends, newestKept, oracleMask, oracleSpan, tilesWithPairs } from '../oracle/mask.ts';

describe('masks and tiles', () => {
  test('a row attends what the oracle says', () => {
    for (const sink of [0, 1, 4, 7]) {
      const shape = sinkWindow(sink);
      for (let window = 1; window <= 12; window += 1) {
        for (let i = 0; i < 30; i += 1) {
          for (let j = 0; j < 32; j += 1) {
            if (allows(shape, i, j, window) !== attends({ sink, window }, i, j)) expect.fail(`sink ${sink}, window ${window}, row ${i}, key ${j}`);
          }
        }
      }
    }
  });

  test('tiles are those with an allowed pair, and full ones are full', { timeout: 120_000 }, () => {
    for (const [rows, columns] of [[1, 1], [2, 3], [4, 2], [3, 4], [8, 4]] as const) {
      for (const sink of [0, 1, 4, 5]) {
        const shape = sinkWindow(sink);
        for (let window = 1; window <= 13; window += 1) {
          const mask = { sink, window };
          for (let length = 1; length <= 32; length += 1) {
            // Only the last block of a length is new.
            const first = Math.floor((length - 1) / rows) * rows;
            const found = classifyTiles(shape, first, length - 1, columns, window);
            const where = `${rows} x ${columns}, sink ${sink}, window ${window}, rows ${first} to ${length - 1}`;
            const expected = tilesWithPairs(mask, first, length - 1, columns).reverse();
            if (found.map(({ tile }) => tile).join() !== expected.join()) expect.fail(`${where}: visits ${found.map(({ tile }) => tile).join()}, not ${expected.join()}`);
            if (countTiles(shape, first, length - 1, columns, window) !== expected.length) expect.fail(`${where}: counted wrongly`);
            for (const { tile, full } of found) {
              let all = true;
              for (let i = first; i < length; i += 1) for (let j = tile * columns; j < (tile + 1) * columns; j += 1) all &&= attends(mask, i, j);
              // A tile that two intervals cover together may be masked for nothing, never the other way round.
              if (full && !all) expect.fail(`${where}: tile ${tile} is not full`);
              if (all && !full && tile * columns >= sink) expect.fail(`${where}: tile ${tile} is full`);
            }
          }
        }
      }
    }
  });

  test('the effective mask is what the plan\'s rule and the model\'s window both allow, pair by pair', () => {
    const limits = { minSpan: 128, page: 64, sink: 64 };
    for (const [alpha, numerator, denominator] of [[0, 1, 1], [128, 0, 1], [0, 1, 2], [-100, 1, 1]] as const) {
      for (const modelWindow of [64, 128, 192, 640]) {
        for (const bound of [1, 63, 128, 200, 400]) {
          const rule = { kind: 'rule' as const, alpha, numerator, denominator };
          const { sink, window } = effectiveMask(rule, limits, bound, modelWindow);
          const oracle = oracleMask(rule, limits, bound, modelWindow);
          for (let i = 0; i < bound; i += 1) {
            for (let j = 0; j < bound; j += 1) {
              if (allows(sinkWindow(sink), i, j, window) !== attends(oracle, i, j)) expect.fail(`${modelWindow} at ${bound}: row ${i}, key ${j}`);
            }
          }
        }
      }
    }
  });

  test('spans and windows of random rules, within windows of the model too', () => {
    const rule = fc.record({ alpha: fc.integer({ min: -(2 ** 24), max: 2 ** 24 }), denominator: fc.integer({ min: 1, max: 2 ** 30 }), share: fc.double({ min: 0, max: 1, noNaN: true }) });
    const limits = fc.record({ minSpan: fc.constantFrom(128, 192, 256), page: fc.constant(64), sink: fc.integer({ min: 0, max: 127 }) });
    fc.assert(
      fc.property(rule, limits, fc.integer({ min: 1, max: 2 ** 27 }), fc.integer({ min: 1, max: 2 ** 24 }), ({ alpha, denominator, share }, limit, bound, modelWindow) => {
        const made = { kind: 'rule' as const, alpha, numerator: Math.floor(share * denominator), denominator };
        expect(spanOf(made, limit, bound, null)).toBe(oracleSpan(made, limit, bound));
        expect(windowOf(made, limit, bound, null)).toBe(oracleMask(made, limit, bound).window);
        const oracle = oracleMask(made, limit, bound, modelWindow);
        expect(effectiveMask(made, limit, bound, modelWindow)).toEqual({ sink: 0, window: newestKept(oracle) });
      }),
      { seed: 20261124, numRuns: 5000 },
    );
  });
});
