/** How prefill is cut: every (sequence, head, block of rows) once, the longest first. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { PrefillSchedule } from '../../src/ir/nodes.ts';
import { sinkWindow } from '../../src/mask/sinkWindow.ts';
import { prefillItems, prefillItemWords } from '../../src/passes/schedule/prefillItems.ts';
import { bruteTiles } from '../mask/sinkWindow.ts';

function check(rows: number, columns: number, sink: number, lengths: readonly number[], windows: readonly number[]): void {
  const schedule: PrefillSchedule = { kind: 'prefillSchedule', rows, columns };
  const cuSeqlens = [0];
  for (const length of lengths) cuSeqlens.push(cuSeqlens.at(-1)! + length);
  const { words, count, tiles } = prefillItems(schedule, sinkWindow(sink), Int32Array.from(cuSeqlens), Int32Array.from(windows));

  const expected = lengths.flatMap((length, sequence) =>
    windows.flatMap((window, head) => Array.from({ length: Math.ceil(length / rows) }, (_, block) => [cuSeqlens[sequence], length, block, head, window, 0, 0, 0].join())),
  );
  const items = Array.from({ length: count }, (_, index) => [...words.subarray(index * prefillItemWords, (index + 1) * prefillItemWords)]);
  expect(words.length).toBe(count * prefillItemWords);
  expect(items.map((item) => item.join()).toSorted()).toEqual(expected.toSorted());

  const costs = items.map(([, length, block, , window]) => bruteTiles(sink, window!, block! * rows, Math.min((block! + 1) * rows, length!) - 1, columns).length);
  expect(costs).toEqual(costs.toSorted((a, b) => b - a));
  expect(tiles).toBe(costs.reduce((sum, cost) => sum + cost, 0));
}

test('small batches, with sequences without tokens', () => {
  for (const a of [0, 1, 3, 4, 5, 9]) {
    for (const b of [0, 1, 4, 8, 11]) {
      check(4, 2, 3, [a, b], [1, 5]);
      check(2, 4, 0, [a, 0, b], [3]);
    }
  }
});

test('random batches', () => {
  const lengths = fc.array(fc.nat(40), { minLength: 1, maxLength: 4 });
  const windows = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.constantFrom(1, 4, 8), fc.constantFrom(1, 2, 4), fc.nat(6), lengths, windows, (rows, columns, sink, some, widths) => check(rows, columns, sink, some, widths)),
    { numRuns: 60 },
  );
});

test('no sequences, and only empty ones, give no items', () => {
  for (const cuSeqlens of [[0], [0, 0], [0, 0, 0]]) {
    expect(prefillItems({ kind: 'prefillSchedule', rows: 128, columns: 64 }, sinkWindow(64), cuSeqlens, [64, 128])).toEqual({ words: new Int32Array(), count: 0, tiles: 0 });
  }
});

test('items of one cost stand in the order of sequences, heads and blocks, so that the same input gives the same list', () => {
  const { words } = prefillItems({ kind: 'prefillSchedule', rows: 4, columns: 4 }, sinkWindow(4), [0, 4, 8], [8, 8]);
  expect([...words].filter((_, index) => index % prefillItemWords === 0 || index % prefillItemWords === 3)).toEqual([0, 0, 0, 1, 4, 0, 4, 1]);
});
