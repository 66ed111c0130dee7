/** Decode segments as records, for tests: the fields of `DecodeSegment` in templates/include/moa/decode.cuh, in their order. */
import { decodeSegmentWords, type DecodeSegments } from '../../src/passes/schedule/decodeSegments.ts';

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
export function readSegments({ words, begins, blocks }: DecodeSegments): Segment[] {
  const segments: Segment[] = [];
  for (let block = 0; block < blocks; block += 1) {
    for (let index = begins[block]!; index < begins[block + 1]!; index += 1) {
      const [slot, kvHead, tableOffset, window, begin, end, split, splits, partial, ticket] = words.subarray(index * decodeSegmentWords) as unknown as [number, number, number, number, number, number, number, number, number, number];
      segments.push({ block, slot, kvHead, tableOffset, window, begin, end, split, splits, partial, ticket });
    }
  }
  return segments;
}
