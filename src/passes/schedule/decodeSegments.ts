import type { DecodeSchedule } from '../../ir/nodes.ts';
import { decodeSegmentWords } from '../../ir/workItems.ts';
import { invariant } from '../../util/invariant.ts';

/** The word that is `next`. */
const nextWord = 10;

/** The ring of one (sequence, KV head), as decode sees it. */
export interface RingUnit {
  readonly slot: number;
  readonly kvHead: number;
  /** Of the ring's first page in the page table. */
  readonly tableOffset: number;
  /** Tokens. */
  readonly window: number;
  /** When full. */
  readonly pages: number;
  /** Of its rows of queries, which of several tokens may be more than one segment takes; 0 by default. */
  readonly firstRow?: number;
}

export interface DecodeSegments {
  /**
   * `decodeSegmentWords` words a segment. Segment b, for b < `blocks`, is the first of block b; the others follow, each named by the `next` of the one
   * before it in its block.
   */
  readonly words: Int32Array;
  readonly blocks: number;
  /** Partial results to make room for. */
  readonly partials: number;
  readonly tickets: number;
}

/** Pages of a ring, counted in `rings`, that one block reads. */
interface Piece {
  readonly ring: number;
  readonly begin: number;
  readonly end: number;
  readonly block: number;
}

interface Segment {
  readonly block: number;
  /** Where `next` is not known yet. */
  readonly words: readonly number[];
}

/**
 * Cuts the pages of all rings, laid end to end, into runs of equal cost, one for each block. A page costs 1 and a segment `schedule.segmentPages`
 * more, since a block that goes from one ring to the next merges one and begins the other meanwhile. The costliest block costs as little as it can, and
 * no other costs more than 1 less, but the last, and one that ends with a ring because the next is not worth beginning. A ring that is cut is merged by the block
 * that finishes it last, in the order of its splits. Made once, for full rings; while rings fill, kernels skip the pages that hold no token yet.
 * @param blocks the most blocks that run at once on the device
 */
export function decodeSegments(schedule: DecodeSchedule, rings: readonly RingUnit[], blocks: number): DecodeSegments {
  if (!schedule.balanced) return equalSplits(rings, blocks);
  const total = rings.reduce((sum, ring) => sum + ring.pages, 0);
  const most = Math.max(1, Math.min(blocks, Math.floor(total / schedule.minPages)));
  const pages = rings.map((ring) => ring.pages);
  const { segmentPages } = schedule;
  const fits = (cost: number, full: number): boolean => cut(pages, segmentPages, cost, full) <= most;
  const cost = smallest(segmentPages + 1, segmentPages * Math.max(1, rings.length) + Math.max(1, total), (value) => fits(value, most));
  const full = smallest(0, most, (value) => fits(cost, value));

  const pieces: Piece[] = [];
  cut(pages, segmentPages, cost, full, (ring, begin, end, block) => pieces.push({ ring, begin, end, block }));
  const splitsOf = new Int32Array(rings.length);
  for (const { ring } of pieces) splitsOf[ring]! += 1;
  let [partials, tickets] = [0, 0];
  let [split, partial, ticket] = [0, 0, 0];
  const segments = pieces.map(({ ring: index, begin, end, block }): Segment => {
    const ring = rings[index]!;
    const splits = splitsOf[index]!;
    split = begin === 0 ? 0 : split + 1;
    if (begin === 0) {
      [partial, ticket] = splits > 1 ? [partials, tickets] : [0, 0];
      if (splits > 1) {
        partials += splits;
        tickets += 1;
      }
    }
    return { block, words: [ring.slot, ring.kvHead, ring.tableOffset, ring.window, begin, end, split, splits, partial, ticket, -1, ring.firstRow ?? 0] };
  });
  const used = (pieces.at(-1)?.block ?? -1) + 1;
  invariant(used <= blocks || total === 0, 'the runs fit the blocks');
  const count = Math.max(1, used);
  return { words: linkSegments(segments, count), blocks: count, partials, tickets };
}

/** The words of `segments` for a launch of `blocks` blocks: those that have no run get a segment of no ring (`splits` 0), without pages. */
export function idleSegments({ words, blocks: used }: Pick<DecodeSegments, 'words' | 'blocks'>, blocks: number): Int32Array {
  const firsts = words.length === 0 ? 0 : used;
  const idle = blocks - firsts;
  const all = new Int32Array(words.length + idle * decodeSegmentWords);
  all.set(words.subarray(0, firsts * decodeSegmentWords));
  all.set(words.subarray(firsts * decodeSegmentWords), blocks * decodeSegmentWords);
  // With a window, since kernels ask at once where in it the new token would be.
  const idleWords = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, -1, 0];
  for (let block = firsts; block < blocks; block += 1) all.set(idleWords, block * decodeSegmentWords);
  for (let at = nextWord; at < all.length; at += decodeSegmentWords) if (all[at]! >= 0) all[at]! += idle;
  return all;
}

/** Cuts every ring into as many pieces as any other, each for a block of its own: what a kernel does that knows nothing of its rings. */
function equalSplits(rings: readonly RingUnit[], blocks: number): DecodeSegments {
  const wanted = Math.max(1, Math.ceil(blocks / Math.max(1, rings.length)));
  const words: number[] = [];
  let partials = 0;
  let tickets = 0;
  for (const { slot, kvHead, tableOffset, window, pages, firstRow = 0 } of rings) {
    const length = Math.ceil(pages / wanted);
    const splits = Math.ceil(pages / length);
    for (let split = 0; split < splits; split += 1) {
      words.push(slot, kvHead, tableOffset, window, split * length, Math.min(pages, (split + 1) * length), split, splits, splits > 1 ? partials : 0, splits > 1 ? tickets : 0, -1, firstRow);
    }
    if (splits > 1) {
      partials += splits;
      tickets += 1;
    }
  }
  return { words: Int32Array.from(words), blocks: Math.max(1, words.length / decodeSegmentWords), partials, tickets };
}

/** The smallest integer in [low, high] for which `holds`, which holds for `high` and all above the smallest. */
function smallest(low: number, high: number, holds: (value: number) => boolean): number {
  let [from, to] = [low, high];
  while (from < to) {
    const middle = Math.floor((from + to) / 2);
    if (holds(middle)) to = middle;
    else from = middle + 1;
  }
  return from;
}

/**
 * Fills blocks one after the other, the first `full` up to `cost`, the others up to one less, and calls `take` for each piece of a ring: its pages, and the block
 * that it falls to. Returns how many blocks that takes.
 */
function cut(pages: readonly number[], segmentPages: number, cost: number, full: number, take?: (ring: number, begin: number, end: number, block: number) => void): number {
  let block = 0;
  let room = full > 0 ? cost : cost - 1;
  for (let ring = 0; ring < pages.length; ring += 1) {
    const count = pages[ring]!;
    for (let page = 0; page < count; ) {
      if (room <= segmentPages) {
        block += 1;
        room = Math.max(block < full ? cost : cost - 1, segmentPages + 1);
      }
      const taken = Math.min(count - page, room - segmentPages);
      take?.(ring, page, page + taken, block);
      room -= segmentPages + taken;
      page += taken;
    }
  }
  return pages.length === 0 ? 0 : block + 1;
}

/** Puts the first segment of each block at the block's number, and links the others behind. `segments` come block after block. */
function linkSegments(segments: readonly Segment[], blocks: number): Int32Array {
  const words = new Int32Array(segments.length * decodeSegmentWords);
  let free = blocks;
  segments.forEach(({ block, words: own }, index) => {
    const place = index === 0 || segments[index - 1]!.block !== block ? block : free - 1;
    const next = segments[index + 1]?.block === block ? free++ : -1;
    words.set(own, place * decodeSegmentWords);
    words[place * decodeSegmentWords + nextWord] = next;
  });
  return words;
}
