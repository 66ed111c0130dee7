/** The specification of prefill's plan: every (sequence, head, block of rows) once, in sections, the longest first, the
 * shortest of all at the end. That the device's list is the same, test/emulator/prefillPlan.test.ts says. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sinkWindow } from '../../src/mask/sinkWindow.ts';
import { attends } from '../oracle/mask.ts';
import { countKeyPages } from './keyPages.ts';
import { prefillItemWords, prefillPlan, type PrefillBatch, type PrefillCut } from './prefillPlan.ts';

const cutOf = (part: Partial<PrefillCut>): PrefillCut => ({
  rows: 4,
  sink: 0,
  page: 2,
  sectionBytes: Infinity,
  tokenBytes: 1,
  blocks: 1000,
  byCost: true,
  splitPages: Infinity,
  splitShare: share(0, 1),
  fewest: 1,
  ...part,
});

const share = (numerator: number, denominator: number): PrefillCut['splitShare'] => ({ numerator, denominator });
const shareOf = ({ splitShare: { numerator, denominator } }: PrefillCut): number => numerator / denominator;

/** A batch whose rings have the window of the first head, one after the other in the page table. */
function batchOf(lengths: readonly number[], windows: readonly number[], cached = lengths.map(() => 0)): PrefillBatch {
  const cuSeqlens = [0];
  for (const length of lengths) cuSeqlens.push(cuSeqlens.at(-1)! + length);
  return { cuSeqlens, cached, rings: lengths.flatMap((_, sequence) => windows.flatMap((window, head) => [100 * sequence + head, window])), kvHeads: windows.length, windows: lengths.flatMap(() => windows) };
}

/** Pages that hold a key which a row attends: new tokens count from the first of them, cached ones lie in a ring. */
function brutePages(sink: number, page: number, window: number, cached: number, ringWindow: number, first: number, last: number): number {
  const pages = new Set<string>();
  for (let i = cached + first; i <= cached + last; i += 1) {
    for (let j = 0; j <= i; j += 1) {
      if (!attends({ sink, window }, i, j)) continue;
      if (j >= cached) pages.add(`new ${Math.floor((j - cached) / page)}`);
      else if (j < sink) pages.add(`sink ${Math.floor(j / page)}`);
      else pages.add(`window ${Math.floor(((j - sink) % ringWindow) / page)}`);
    }
  }
  return pages.size;
}

describe('pages of a block of rows', () => {
  test('are those with an allowed pair, for every small case', () => {
    for (const page of [1, 2, 4]) {
      for (const sink of [0, 1, 3, 4]) {
        for (const window of [1, 2, 5, 8]) {
          for (const ringWindow of [window, window + 3]) {
            for (const cached of [0, 1, 2, 4, 7, 13, 20]) {
              for (let first = 0; first < 7; first += 1) {
                for (let last = first; last < first + 5; last += 1) {
                  const found = countKeyPages(sinkWindow(sink), { sink, page }, window, { tokens: cached, ringWindow }, first, last);
                  const expected = brutePages(sink, page, window, cached, ringWindow, first, last);
                  if (found !== expected) expect.fail(`page ${page}, sink ${sink}, window ${window} of ${ringWindow}, ${cached} cached, rows ${first} to ${last}: ${found}, not ${expected}`);
                }
              }
            }
          }
        }
      }
    }
  });
});

/** How many of the first values have the sum `wanted` or more together; all when they do not. */
function countUpTo(values: readonly number[], wanted: number): number {
  let sum = 0;
  const found = values.findIndex((value) => (sum += value) >= wanted);
  return found < 0 ? values.length : found + 1;
}

function check(cut: PrefillCut, lengths: readonly number[], windows: readonly number[], cached: readonly number[]): void {
  const batch = batchOf(lengths, windows, [...cached]);
  const { words, count, parts, pages } = prefillPlan(cut, sinkWindow(cut.sink), batch);
  const expected = lengths.flatMap((length, sequence) =>
    windows.flatMap((window, head) =>
      Array.from({ length: Math.ceil(length / cut.rows) }, (_, block) => {
        const tokens = cached[sequence]!;
        const visited = brutePages(cut.sink, cut.page, window, tokens, window, block * cut.rows, Math.min((block + 1) * cut.rows, length) - 1);
        const newest = tokens > cut.sink ? (tokens - 1 - cut.sink) % window : 0;
        return [batch.cuSeqlens[sequence], length, block, head, window, tokens, 100 * sequence + head, window, 0, visited, -1, newest].join();
      }),
    ),
  );
  expect(parts).toBe(0);
  const items = Array.from({ length: count }, (_, index) => [...words.subarray(index * prefillItemWords, (index + 1) * prefillItemWords)]);
  expect(words.length).toBe(count * prefillItemWords);
  expect(items.map((item) => item.join()).toSorted()).toEqual(expected.toSorted());

  const costs = items.map(([, length, block, , window, tokens]) => brutePages(cut.sink, cut.page, window!, tokens!, window!, block! * cut.rows, Math.min((block! + 1) * cut.rows, length!) - 1));
  expect(pages).toBe(costs.reduce((sum, cost) => sum + cost, 0));
  // In one section all items stand in the order of their cost; in several, the cheapest that keep all blocks busy still come last.
  if (cut.sectionBytes === Infinity && cut.blocks === 1000) expect(costs).toEqual(costs.toSorted((a, b) => b - a));
  // The longest tail of falling costs has all the cheapest items that keep every block busy as long as one works on the most expensive.
  const rising = costs.toSorted((a, b) => a - b);
  const tail = costs.slice(costs.length - Math.max(1, countUpTo(rising, cut.blocks * (rising.at(-1) ?? 0))));
  expect(tail).toEqual(rising.slice(0, tail.length).toReversed());
}

test('small batches, with sequences without tokens', () => {
  for (const a of [0, 1, 3, 4, 5, 9]) {
    for (const b of [0, 1, 4, 8, 11]) {
      check(cutOf({ rows: 4, page: 2, sink: 3 }), [a, b], [1, 5], [0, 0]);
      check(cutOf({ rows: 2, page: 4, sink: 0 }), [a, 0, b], [3], [0, 2, 9]);
    }
  }
});

test('random batches, in sections', () => {
  const lengths = fc.array(fc.nat(40), { minLength: 1, maxLength: 4 });
  const windows = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 4 });
  const cut = fc.record({ rows: fc.constantFrom(1, 4, 8), page: fc.constantFrom(1, 2, 4), sink: fc.nat(6), sectionBytes: fc.constantFrom(1, 30, 80, Infinity), blocks: fc.constantFrom(1, 3, 5, 1000) });
  fc.assert(
    fc.property(cut, lengths, windows, fc.nat(30), (part, some, widths, held) => check(cutOf(part), some, widths, some.map((_, n) => (n % 2 === 0 ? held : 0)))),
    { numRuns: 80 },
  );
});

/** Items of four heads of 32 tokens, 8 items each: of 2, 4 ... 16 pages. */
function itemsOfFourHeads(part: Partial<PrefillCut>): { readonly block: number; readonly head: number }[] {
  const { words, count } = prefillPlan(cutOf({ rows: 4, page: 2, ...part }), sinkWindow(0), batchOf([32], [32, 32, 32, 32]));
  return Array.from({ length: count }, (_, index) => ({ block: words[index * prefillItemWords + 2]!, head: words[index * prefillItemWords + 3]! }));
}

test('a section holds the heads that fit, and the cheapest items of all come last', () => {
  // Two heads fit. On 9 blocks the most expensive item, of 16 pages, takes as long as 144 pages of cheap ones: blocks 0 to 4, and 5 of the second section.
  const items = itemsOfFourHeads({ sectionBytes: 64, blocks: 9 });
  expect(items.slice(10).map(({ block }) => block)).toEqual([5, 5, 4, 4, 4, 4, 3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0]);
  expect(items.slice(0, 10).map(({ block, head }) => `${block} of ${head}`)).toEqual(['7 of 0', '7 of 1', '6 of 0', '6 of 1', '5 of 0', '5 of 1', '7 of 2', '7 of 3', '6 of 2', '6 of 3']);
});

test('a section holds no more heads than keep every block busy', () => {
  const items = itemsOfFourHeads({ blocks: 1 });
  expect(items.slice(0, 6).map(({ head }) => head)).toEqual([0, 0, 0, 0, 0, 0]);
  expect(items.slice(0, 6).map(({ block }) => block)).toEqual([7, 6, 5, 4, 3, 2]);
});

describe('cut in two', () => {
  const itemsOf = ({ words, count }: { readonly words: Int32Array; readonly count: number }): number[][] =>
    Array.from({ length: count }, (_, index) => [...words.subarray(index * prefillItemWords, (index + 1) * prefillItemWords)]);
  const rowsOf = (item: readonly number[]): string => [...item.slice(0, 8), item[11]].join();

  test('the pages of rows go to one item, or to two: whole tiles first', () => {
    const batches = fc.record({
      facts: fc.record({ rows: fc.constantFrom(2, 4), page: fc.constantFrom(1, 2), sink: fc.nat(6), blocks: fc.constantFrom(1, 7, 1000), splitPages: fc.nat(9), splitShare: fc.constantFrom(share(0, 1), share(1, 5), share(1, 1)) }),
      lengths: fc.array(fc.nat(40), { minLength: 1, maxLength: 3 }),
      windows: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 3 }),
      held: fc.nat(30),
    });
    fc.assert(
      fc.property(batches, ({ facts, lengths, windows, held }) => {
        const [cut, batch] = [cutOf(facts), batchOf(lengths, windows, lengths.map((_, n) => (n % 2) * held))];
        const whole = itemsOf(prefillPlan({ ...cut, splitPages: Infinity }, sinkWindow(cut.sink), batch));
        const built = prefillPlan(cut, sinkWindow(cut.sink), batch);
        const items = itemsOf(built);
        const partsOf = (item: readonly number[]): number[][] => items.filter((other) => rowsOf(other) === rowsOf(item)).toSorted((a, b) => a[8]! - b[8]!);
        expect(new Set(items.map(rowsOf)).size).toBe(whole.length);
        for (const item of whole) {
          const pages = item[9]!;
          const ofSequence = whole.filter(([first, length]) => first === item[0] && length === item[1]).reduce((sum, other) => sum + other[9]!, 0);
          const parts = partsOf(item);
          if (pages <= Math.max(2, cut.splitPages, (shareOf(cut) * ofSequence) / cut.blocks)) {
            expect(parts).toEqual([item]);
          } else {
            const first = 2 * Math.ceil(pages / 4);
            expect(parts.map((part) => part.slice(8, 10))).toEqual([[0, first], [first, pages - first]]);
            expect(parts[1]![10]).toBe(parts[0]![10]! + 1);
          }
        }
        const numbers = items.map((item) => item[10]!).filter((part) => part >= 0);
        expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: built.parts }, (_, part) => part));
        expect(built.pages).toBe(whole.reduce((sum, item) => sum + item[9]!, 0));
      }),
      { numRuns: 150 },
    );
  });

  test('where one sequence is cut does not depend on the others', () => {
    const cut = cutOf({ rows: 4, page: 2, blocks: 4, splitPages: 3, splitShare: share(1, 2) });
    const cutsOf = (lengths: number[]): string[] => itemsOf(prefillPlan(cut, sinkWindow(0), batchOf(lengths, [32, 9]))).filter((item) => item[0] === 0 && item[1] === 32).map((item) => [item[2], item[3], item[8], item[9]].join()).toSorted();
    expect(cutsOf([32, 200, 3])).toEqual(cutsOf([32]));
  });

  test('not without costs', () => {
    expect(prefillPlan(cutOf({ rows: 4, page: 2, byCost: false, splitPages: 3 }), sinkWindow(0), batchOf([32], [32])).parts).toBe(0);
  });
});

test('no sequences, and only empty ones, give no items', () => {
  for (const lengths of [[], [0], [0, 0]]) {
    expect(prefillPlan(cutOf({ rows: 128, page: 64, sink: 64 }), sinkWindow(64), batchOf(lengths, [64, 128]))).toEqual({ words: new Int32Array(), count: 0, parts: 0, pages: 0 });
  }
});

test('items of one cost stand in the order of sequences, heads and blocks, so that the same input gives the same list', () => {
  const { words } = prefillPlan(cutOf({ rows: 4, page: 4, sink: 4 }), sinkWindow(4), batchOf([4, 4], [8, 8]));
  expect([...words].filter((_, index) => index % prefillItemWords === 0 || index % prefillItemWords === 3)).toEqual([0, 0, 0, 1, 4, 0, 4, 1]);
});

test('without costs the last rows of all heads come first', () => {
  const { words, count } = prefillPlan(cutOf({ rows: 4, page: 2, byCost: false }), sinkWindow(0), batchOf([8, 4], [2, 8]));
  expect(Array.from({ length: count }, (_, index) => [words[index * prefillItemWords + 2], words[index * prefillItemWords], words[index * prefillItemWords + 3]].join())).toEqual(['1,0,0', '1,0,1', '0,0,0', '0,0,1', '0,8,0', '0,8,1']);
});
