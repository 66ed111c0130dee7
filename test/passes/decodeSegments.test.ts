/** How decode is cut: every page once, runs of equal cost, and merges that find their partial results. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DecodeSchedule } from '../../src/ir/nodes.ts';
import { decodeSegmentWords } from '../../src/ir/workItems.ts';
import { decodeSegments, idleSegments, type DecodeSegments, type RingUnit } from '../../src/passes/schedule/decodeSegments.ts';
import { readSegments, type Segment } from './readSegments.ts';

const schedule = (minPages: number, segmentPages: number): DecodeSchedule => ({ kind: 'decodeSchedule', minPages, segmentPages, balanced: true });
const unbalanced: DecodeSchedule = { ...schedule(2, 3), balanced: false };

/** Rings of so many pages each, with fields that tell them apart. */
const ringsOf = (pages: readonly number[]): RingUnit[] => pages.map((count, index) => ({ slot: index % 3, kvHead: index, tableOffset: 1000 * index, window: 64 * count - index, pages: count }));

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

type Must = (condition: boolean, what: string) => void;

/** Throws where a promise is broken; plain comparisons, since it runs for every small case. */
const mustOf = (details: unknown): Must => (condition, what) => {
  if (!condition) throw new Error(`${what}: ${JSON.stringify(details)}`);
};

/** What holds for any cut: every page once, in order, and room for what is merged. */
function checkRings(rings: readonly RingUnit[], result: DecodeSegments, segments: readonly Segment[], must: Must): void {
  must(segments.length * decodeSegmentWords === result.words.length, 'every segment belongs to a block');
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

function check(pages: readonly number[], blocks: number, minPages: number, segmentPages: number): number {
  const rings = ringsOf(pages);
  const result = decodeSegments(schedule(minPages, segmentPages), rings, blocks);
  const segments = readSegments(result);
  const must = mustOf({ pages, blocks, minPages, segmentPages, segments, result });
  checkRings(rings, result, segments, must);

  const most = Math.max(1, Math.min(blocks, Math.floor(sumOf(pages) / minPages)));
  must(result.blocks >= 1 && result.blocks <= most, 'as many blocks as minPages allows, or fewer');
  const ofBlock = Array.from({ length: result.blocks }, (_, block) => segments.filter((segment) => segment.block === block));
  must(ofBlock.every((own) => own.length > 0), 'no block is empty');
  const costs = ofBlock.map((own) => sumOf(own.map(({ begin, end }) => segmentPages + end - begin)));
  const largest = Math.max(...costs);
  costs.slice(0, -1).forEach((cost, block) => {
    const last = ofBlock[block]!.at(-1)!;
    const endsWithRing = last.split === last.splits - 1;
    must(cost >= largest - 1 || (endsWithRing && largest - cost <= segmentPages + 1), 'a block costs at most 1 less than another, or ends with a ring');
  });
  return largest;
}

/** The least that the costliest of `blocks` blocks can cost: of every way to cut the line of pages. */
function leastCost(pages: readonly number[], blocks: number, segmentPages: number): number {
  const ringOfPage = pages.flatMap((count, ring) => Array.from({ length: count }, () => ring));
  const total = ringOfPage.length;
  let least = Array.from({ length: total + 1 }, (_, end) => (end === 0 ? 0 : Infinity));
  for (let block = 0; block < blocks; block += 1) {
    least = least.map((_, end) => {
      let best = least[end]!;
      for (let begin = end - 1; begin >= 0; begin -= 1) {
        const pieces = new Set(ringOfPage.slice(begin, end)).size;
        best = Math.min(best, Math.max(least[begin]!, end - begin + segmentPages * pieces));
      }
      return best;
    });
  }
  return least[total]!;
}

const sizes = [1, 2, 3, 4, 5, 7];

/** One to three rings of few pages. */
function* smallRings(): Generator<readonly number[]> {
  for (const a of sizes) {
    yield [a];
    for (const b of sizes) {
      yield [a, b];
      for (const c of sizes) yield [a, b, c];
    }
  }
}

test('all rings of a small space, on 1 to 9 blocks', () => {
  for (const pages of smallRings()) {
    for (let blocks = 1; blocks <= 9; blocks += 1) {
      for (const minPages of [1, 2, 3]) {
        for (const segmentPages of [0, 1, 3]) check(pages, blocks, minPages, segmentPages);
      }
    }
  }
});

test('the costliest block costs as little as it can: against every cut', () => {
  for (const pages of smallRings()) {
    for (const blocks of [1, 2, 3, 5, 8]) {
      for (const segmentPages of [0, 1, 3]) {
        const most = Math.max(1, Math.min(blocks, Math.floor(sumOf(pages) / 2)));
        expect(check(pages, blocks, 2, segmentPages), JSON.stringify({ pages, blocks, segmentPages })).toBe(leastCost(pages, most, segmentPages));
      }
    }
  }
});

test('random batches on devices of any size', () => {
  const pages = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 60 });
  fc.assert(fc.property(pages, fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 8 }), fc.integer({ min: 0, max: 12 }), (...given) => void check(...given)), { numRuns: 200 });
});

test('where a segment costs nothing, runs differ by at most a page', () => {
  const segments = readSegments(decodeSegments(schedule(2, 0), ringsOf([5, 80, 3, 17]), 13));
  const runs = Array.from({ length: 13 }, (_, block) => sumOf(segments.filter((segment) => segment.block === block).map(({ begin, end }) => end - begin)));
  expect(Math.max(...runs) - Math.min(...runs)).toBeLessThanOrEqual(1);
});

test('one page, and fewer pages than blocks', () => {
  expect(readSegments(decodeSegments(schedule(2, 3), ringsOf([1]), 132))).toHaveLength(1);
  const few = decodeSegments(schedule(2, 3), ringsOf([2, 3]), 132);
  expect(few.blocks).toBe(2);
  expect(readSegments(few).map(({ block, kvHead, begin, end, split, splits }) => [block, kvHead, begin, end, split, splits])).toEqual([
    [0, 0, 0, 2, 0, 1],
    [1, 1, 0, 3, 0, 1],
  ]);
});

test('a block that begins no further ring pays for what it leaves', () => {
  // Two segments cost 2 x 3 pages: 10 + 10 pages on three blocks are cut as 8 + 2, 2 + 3, 7 of cost 11, 11, 10, and not in three equal runs.
  const blocks = readSegments(decodeSegments(schedule(2, 3), ringsOf([10, 10]), 3)).map(({ block, begin, end }) => [block, end - begin]);
  expect(blocks).toEqual([[0, 8], [1, 2], [1, 3], [2, 7]]);
});

test('no rings give one block with nothing to do', () => {
  for (const given of [schedule(2, 3), unbalanced]) expect(decodeSegments(given, [], 8)).toEqual({ words: new Int32Array(), blocks: 1, partials: 0, tickets: 0 });
});

test('with idle blocks every block has a segment, and the rings have those that they had', () => {
  for (const pages of [[], [5], [10, 10], [5, 80, 3, 17], [1, 1, 1, 1, 1, 1]]) {
    for (const blocks of [1, 2, 3, 13, 40]) {
      const made = decodeSegments(schedule(2, 3), ringsOf(pages), blocks);
      const all = readSegments({ ...made, words: idleSegments(made, blocks), blocks });
      expect(all.filter(({ splits }) => splits > 0)).toEqual(readSegments(made));
      const idle = all.filter(({ splits }) => splits === 0);
      expect(idle.map(({ begin, end }) => end - begin)).toEqual(idle.map(() => 0));
      expect(new Set(all.map(({ block }) => block)).size).toBe(blocks);
      expect(all).toHaveLength(readSegments(made).length + idle.length);
      // What a session makes room for, whoever is there.
      expect(all.length).toBeLessThanOrEqual(pages.length + blocks);
      expect(made.partials).toBeLessThanOrEqual(2 * blocks);
      expect(made.tickets).toBeLessThanOrEqual(blocks);
    }
  }
});

test('the same rings give the same words', () => {
  const rings = ringsOf([5, 80, 3, 17]);
  expect(decodeSegments(schedule(2, 3), rings, 13)).toEqual(decodeSegments(schedule(2, 3), rings, 13));
});

describe('not balanced', () => {
  const cut = (pages: readonly number[], blocks: number): Segment[] => {
    const result = decodeSegments(unbalanced, ringsOf(pages), blocks);
    const segments = readSegments(result);
    checkRings(ringsOf(pages), result, segments, mustOf({ pages, blocks, segments, result }));
    return segments;
  };

  test('every ring is cut into as many pieces as any other, each of a block of its own', () => {
    const segments = cut([40, 4, 12], 12);
    expect(segments.map(({ block }) => block)).toEqual(segments.map((_, index) => index));
    expect([0, 1, 2].map((ring) => segments.filter(({ kvHead }) => kvHead === ring).map(({ begin, end }) => end - begin))).toEqual([[10, 10, 10, 10], [1, 1, 1, 1], [3, 3, 3, 3]]);
  });

  test('all rings of a small space', () => {
    for (const pages of smallRings()) {
      for (let blocks = 1; blocks <= 9; blocks += 1) {
        const pieces = pages.map((_, ring) => cut(pages, blocks).filter(({ kvHead }) => kvHead === ring).length);
        expect(Math.max(...pieces)).toBeLessThanOrEqual(Math.ceil(blocks / pages.length));
      }
    }
  });
});
