/** How decode is cut: every page once, equal runs, and merges that find their partial results. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { DecodeSchedule } from '../../src/ir/nodes.ts';
import { decodeSegments, decodeSegmentWords, type RingUnit } from '../../src/passes/schedule/decodeSegments.ts';
import { readSegments } from './readSegments.ts';

const schedule = (minPages: number): DecodeSchedule => ({ kind: 'decodeSchedule', minPages });

/** Rings of so many pages each, with fields that tell them apart. */
const ringsOf = (pages: readonly number[]): RingUnit[] => pages.map((count, index) => ({ slot: index % 3, kvHead: index, tableOffset: 1000 * index, window: 64 * count - index, pages: count }));

/** Throws where a promise of `decodeSegments` is broken; plain comparisons, since it runs for every small case. */
function check(pages: readonly number[], blocks: number, minPages: number): void {
  const rings = ringsOf(pages);
  const result = decodeSegments(schedule(minPages), rings, blocks);
  const segments = readSegments(result);
  const must = (condition: boolean, what: string): void => {
    if (!condition) throw new Error(`${what}: ${JSON.stringify({ pages, blocks, minPages, segments, result })}`);
  };
  const total = pages.reduce((sum, count) => sum + count, 0);

  must(result.blocks >= 1 && result.blocks <= blocks, 'as many blocks as asked, or fewer');
  must(result.begins.length === result.blocks + 1 && result.begins[0] === 0, 'begins start at 0');
  must(result.begins[result.blocks]! * decodeSegmentWords === result.words.length && segments.length * decodeSegmentWords === result.words.length, 'begins end with the segments');

  const runs = Array.from({ length: result.blocks }, (_, block) => segments.filter((segment) => segment.block === block).reduce((sum, { begin, end }) => sum + end - begin, 0));
  must(Math.min(...runs) > 0, 'no block is empty');
  must(Math.max(...runs) - Math.min(...runs) <= 1, 'runs differ by at most a page');
  must(result.blocks === 1 || Math.min(...runs) >= minPages, 'a run has minPages');
  must(result.blocks === Math.max(1, Math.min(blocks, Math.floor(total / minPages))), 'as many blocks as minPages allows');

  let partials = 0;
  let tickets = 0;
  let at = 0;
  for (const ring of rings) {
    let next = 0;
    const mine = segments.filter(({ kvHead }) => kvHead === ring.kvHead);
    mine.forEach((segment, split) => {
      must(segment === segments[at], 'rings follow each other');
      at += 1;
      must(segment.slot === ring.slot && segment.tableOffset === ring.tableOffset && segment.window === ring.window, 'a segment is of its ring');
      must(segment.begin === next && segment.end > segment.begin, 'segments of a ring follow each other');
      must(segment.split === split && segment.splits === mine.length, 'splits are numbered and counted');
      must(split === 0 || segment.block === mine[split - 1]!.block + 1, 'a ring is cut only where a block ends');
      must(segment.partial === (mine.length > 1 ? partials : 0) && segment.ticket === (mine.length > 1 ? tickets : 0), 'partial results and tickets follow each other');
      next = segment.end;
    });
    must(next === ring.pages, 'every page is read');
    if (mine.length > 1) {
      partials += mine.length;
      tickets += 1;
    }
  }
  must(at === segments.length, 'every segment is of a ring');
  must(result.partials === partials && result.tickets === tickets, 'there is room for every partial result and ticket');
}

test('all rings of a small space, on 1 to 9 blocks', () => {
  const sizes = [1, 2, 3, 4, 5, 7];
  for (let blocks = 1; blocks <= 9; blocks += 1) {
    for (const minPages of [1, 2, 3]) {
      for (const a of sizes) {
        check([a], blocks, minPages);
        for (const b of sizes) {
          check([a, b], blocks, minPages);
          for (const c of sizes) check([a, b, c], blocks, minPages);
        }
      }
    }
  }
});

test('random batches on devices of any size', () => {
  const pages = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 60 });
  fc.assert(fc.property(pages, fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 8 }), check), { numRuns: 200 });
});

test('one page, and fewer pages than blocks', () => {
  expect(readSegments(decodeSegments(schedule(2), ringsOf([1]), 132))).toHaveLength(1);
  const few = decodeSegments(schedule(2), ringsOf([2, 3]), 132);
  expect(few.blocks).toBe(2);
  expect(readSegments(few).map(({ block, kvHead, begin, end, split, splits }) => [block, kvHead, begin, end, split, splits])).toEqual([
    [0, 0, 0, 2, 0, 1],
    [1, 1, 0, 3, 0, 1],
  ]);
});

test('no rings give one block with nothing to do', () => {
  expect(decodeSegments(schedule(2), [], 8)).toEqual({ words: new Int32Array(), begins: new Int32Array(2), blocks: 1, partials: 0, tickets: 0 });
});

test('the same rings give the same words', () => {
  const rings = ringsOf([5, 80, 3, 17]);
  expect(decodeSegments(schedule(2), rings, 13)).toEqual(decodeSegments(schedule(2), rings, 13));
});
