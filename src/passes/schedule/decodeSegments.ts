import type { DecodeSchedule } from '../../ir/nodes.ts';
import { invariant } from '../../util/invariant.ts';

/** 32-bit words of a `DecodeSegment` (templates/include/moa/decode.cuh). */
export const decodeSegmentWords = 12;

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
}

export interface DecodeSegments {
  /** `decodeSegmentWords` words a segment, in the order of the blocks that read them. */
  readonly words: Int32Array;
  /** Block b reads segments `begins[b]` to `begins[b + 1] - 1`. */
  readonly begins: Int32Array;
  readonly blocks: number;
  /** Partial results to make room for. */
  readonly partials: number;
  readonly tickets: number;
}

/**
 * Cuts the pages of all rings, laid end to end, into equal runs, one for each block: no block reads more than one page more than another.
 * A ring that is cut is merged by the block that finishes it last, in the order of its splits. Made once, for full rings; while rings
 * fill, kernels skip the pages that hold no token yet.
 * @param blocks the most blocks that run at once on the device
 */
export function decodeSegments(schedule: DecodeSchedule, rings: readonly RingUnit[], blocks: number): DecodeSegments {
  const total = rings.reduce((sum, ring) => sum + ring.pages, 0);
  const used = Math.max(1, Math.min(blocks, Math.floor(total / schedule.minPages)));
  const bound = (block: number): number => Math.floor((block * total) / used);

  const words: number[] = [];
  const begins = new Int32Array(used + 1);
  let block = 0;
  let firstPage = 0;
  let partials = 0;
  let tickets = 0;
  for (const ring of rings) {
    // The ring is cut where a block's run ends inside it.
    const endPage = firstPage + ring.pages;
    const cuts = [firstPage];
    for (let page = firstPage; page < endPage; ) {
      page = Math.min(endPage, bound(block + 1));
      cuts.push(page);
      if (page === bound(block + 1)) {
        block += 1;
        begins[block] = words.length / decodeSegmentWords + cuts.length - 1;
      }
    }
    const splits = cuts.length - 1;
    const [partial, ticket] = splits > 1 ? [partials, tickets] : [0, 0];
    for (let split = 0; split < splits; split += 1) {
      const [begin, end] = [cuts[split]! - firstPage, cuts[split + 1]! - firstPage];
      words.push(ring.slot, ring.kvHead, ring.tableOffset, ring.window, begin, end, split, splits, partial, ticket, 0, 0);
    }
    if (splits > 1) {
      partials += splits;
      tickets += 1;
    }
    firstPage = endPage;
  }
  invariant(block === used || total === 0, 'every block has a run of pages');
  return { words: Int32Array.from(words), begins, blocks: used, partials, tickets };
}
