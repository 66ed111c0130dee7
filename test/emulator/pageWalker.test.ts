/** What walkers of decode's pages say of each page, against what a plan means. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pagesInUse, planDecode, segmentWords, type DecodeUnit } from '../spec/decodePlan.ts';
import { bytesOf, Kernel, unwritten } from './harness.ts';

const kernel = new Kernel('pageWalker', ['-Wno-unknown-pragmas']);
const flags = { first: 1, last: 2, final: 4, empty: 8, opens: 16, closes: 32 } as const;
const capacity = 1800;

interface Case {
  readonly groups: number;
  readonly blocks: number;
  readonly minPages: number;
  readonly segmentPages: number;
  readonly sink: number;
  /** Of each sequence, before the step. With several of them blocks have runs of pieces. */
  readonly lengths: readonly number[];
  readonly windows: readonly number[];
}

const cases: fc.Arbitrary<Case> = fc.integer({ min: 1, max: 3 }).chain((groups) =>
  fc.record({
    groups: fc.constant(groups),
    blocks: fc.constantFrom(1, 5, 12),
    minPages: fc.integer({ min: Math.max(2, groups), max: 4 }),
    segmentPages: fc.integer({ min: 0, max: 6 }),
    sink: fc.constantFrom(0, 4, 64, 100),
    lengths: fc.array(fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 3000 })), { minLength: 1, maxLength: 12 }),
    windows: fc.array(fc.oneof(fc.integer({ min: 28, max: 300 }), fc.integer({ min: 28, max: 3000 })), { minLength: 1, maxLength: 3 }),
  }),
);

const rowsOf = (page: number, length: number, sink: number, window: number): number => {
  const sinkPages = Math.ceil(sink / 64);
  const left = page < sinkPages ? Math.min(sink, length) - page * 64 : Math.min(length - sink, window) - (page - sinkPages) * 64;
  return Math.max(0, Math.min(64, left));
};

const tableOf = (slot: number, kvHead: number): number => 1000 * slot + 160 * kvHead + 3;
/** Entry n of the page table. */
const numberAt = (entry: number): number => 7 * entry + 1;

/** Where the pieces of a segment begin, and its end: exact quotients, no running sum. */
function bordersOf(words: readonly number[]): number[] {
  const [begin, end, firstEnd, step, fraction] = [words[4]!, words[5]!, words[13]!, words[14]!, words[15]!];
  const [pieces, remainder, rest] = [fraction & 1023, (fraction >> 10) & 1023, fraction >> 20];
  const borders = [begin];
  // Behind n steps, pages are lacking by n remainders, of which `rest` pieces of a page are there at first.
  for (let n = 0; ; n += 1) {
    const border = firstEnd + n * step + Math.max(0, Math.ceil((n * remainder - rest) / pieces));
    if (border >= end) return [...borders, end];
    borders.push(border);
  }
}

/** The items of a segment, in the order in which groups take turns. */
function itemsOf(words: readonly number[], { groups, sink, lengths }: Case, isLast: boolean): number[][] {
  const length = lengths[words[0]!]! + 1;
  const borders = bordersOf(words);
  const [begin, end] = [borders[0]!, borders.at(-1)!];
  const from = Math.floor(begin / groups) * groups;
  const pieceOf = (at: number): number => Math.max(0, borders.slice(0, -1).findLastIndex((border) => border <= at));
  const lastBegin = borders.length === 2 ? from : borders.at(-2)!;
  const to = Math.ceil(Math.max(end, lastBegin + groups) / groups) * groups;
  const places = Array.from({ length: to - from }, (_, n) => from + n);
  return places.map((at) => {
    const own = places.filter((other) => other % groups === at % groups && pieceOf(other) === pieceOf(at));
    const closes = pieceOf(at) === borders.length - 2;
    const last = at === own.at(-1);
    const isEmpty = at < begin || at >= end;
    const said =
      (at === own[0] ? flags.first : 0) | (last ? flags.last : 0) | (last && closes && isLast ? flags.final : 0) |
      (isEmpty ? flags.empty : 0) | (pieceOf(at) === 0 ? flags.opens : 0) | (closes ? flags.closes : 0);
    return [at, said, isEmpty ? -1 : rowsOf(at, length, sink, words[3]!), isEmpty ? -1 : numberAt(words[2]! + at)];
  });
}

test('walkers come by every page once, and say where pieces begin and end', () => {
  fc.assert(
    fc.property(cases, (each) => {
      const { groups, blocks, minPages, segmentPages, sink, windows } = each;
      const sequences = each.lengths.map((length, slot) => ({
        slot,
        row: slot,
        units: windows.map((window, kvHead): DecodeUnit => ({ kvHead, firstRow: 0, tableOffset: tableOf(slot, kvHead), window, pages: pagesInUse(length + 1, sink, window) })),
      }));
      const { words } = planDecode({ blocks, minPages, segmentPages }, sequences);
      const result = kernel.launch(
        {
          buffers: [
            bytesOf(words),
            bytesOf(Int32Array.from({ length: tableOf(each.lengths.length, 0) }, (_, entry) => numberAt(entry))),
            bytesOf(Int32Array.from(each.lengths)),
            unwritten(blocks * (groups + 1) * capacity * 16),
            unwritten(blocks * (groups + 1) * 4),
          ],
          params: [...[0, 1, 2, 3, 4].map((buffer) => ({ buffer })), ...[groups, sink, capacity].map((i32) => ({ i32 }))],
          grid: blocks,
          threads: 128,
          sharedBytes: 4 * 64,
        },
        1,
      );
      expect(result).toMatchObject({ status: 0, findings: [] });
      const [items, counts] = [3, 4].map((buffer) => new Int32Array(Uint8Array.from(result.buffers[buffer]!).buffer));
      for (let block = 0; block < blocks; block += 1) {
        const segments: number[][] = [];
        for (let at = block; at >= 0; at = words[at * segmentWords + 12]!) segments.push([...words.subarray(at * segmentWords, (at + 1) * segmentWords)]);
        const expected = segments.flatMap((segment, n) => itemsOf(segment, each, n === segments.length - 1));
        for (let list = 0; list <= groups; list += 1) {
          const number = block * (groups + 1) + list;
          const found = Array.from({ length: counts![number]! }, (_, n) => [...items!.subarray((number * capacity + n) * 4, (number * capacity + n + 1) * 4)]);
          expect(found).toEqual(list === groups ? expected : expected.filter(([at]) => at! % groups === list));
        }
      }
    }),
    { numRuns: 100 },
  );
}, 60_000);
