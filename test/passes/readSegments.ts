/** Decode segments as records, for tests: the fields of `DecodeSegment` in templates/include/moa/decode/segment.cuh, in their order. */
import { decodeSegmentWords } from '../../src/ir/workItems.ts';
import type { DecodeSegments } from '../../src/passes/schedule/decodeSegments.ts';

export interface Segment {
  readonly block: number;
  readonly slot: number;
  readonly kvHead: number;
  readonly tableOffset: number;
  readonly window: number;
  readonly begin: number;
  readonly end: number;
  readonly split: number;
  readonly splits: number;
  readonly partial: number;
  readonly ticket: number;
}

/** The segments in the order of the blocks that read them. */
export function readSegments({ words, blocks }: DecodeSegments): Segment[] {
  const segments: Segment[] = [];
  for (let block = 0; block < blocks && words.length > 0; block += 1) {
    for (let index = block; index >= 0; ) {
      const [slot, kvHead, tableOffset, window, begin, end, split, splits, partial, ticket, next] = [...words.subarray(index * decodeSegmentWords, (index + 1) * decodeSegmentWords)] as Fields;
      segments.push({ block, slot, kvHead, tableOffset, window, begin, end, split, splits, partial, ticket });
      index = next;
    }
  }
  return segments;
}

type Fields = [number, number, number, number, number, number, number, number, number, number, number];
