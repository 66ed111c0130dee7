/**
 * The specification of decode's plan (templates/include/moa/plan/decodePlan.cuh): which block reads which pages of which ring, and where the pages of a ring are cut
 * into pieces. The device's plan is held equal to it, word for word.
 */
import { invariant } from '../../src/util/invariant.ts';

/** 32-bit words of a `PlannedSegment` (templates/include/moa/decode/segment.cuh). */
export const segmentWords = 16;
/** Most pieces of a sequence. */
const mostPieces = 1023;

export interface DecodeCut {
  /** A sequence has at least so many pages for each of its parts, and a ring for each of its pieces but the last: no group of warps is without one. */
  readonly minPages: number;
  /** What it costs to begin and end a ring, in pages. */
  readonly segmentPages: number;
  /** Blocks of the launch. */
  readonly blocks: number;
}

/** A ring, or where its rows of queries fill several tiles, one of them. */
export interface DecodeUnit {
  readonly kvHead: number;
  readonly firstRow: number;
  readonly tableOffset: number;
  /** Tokens. */
  readonly window: number;
  /** In use, the new tokens' among them; at least 1. */
  readonly pages: number;
}

/** Pages of a ring that hold a token of a sequence of this length. All in tokens. */
export const pagesInUse = (length: number, sink: number, window: number): number =>
  length <= sink ? Math.ceil(length / 64) : Math.ceil(sink / 64) + Math.ceil(Math.min(length - sink, window) / 64);

/** A sequence that decodes, in a slot. */
export interface DecodeSequence {
  readonly slot: number;
  /** Of its new token among those of all. */
  readonly row: number;
  readonly units: readonly DecodeUnit[];
}

export interface DecodePlan {
  /** `segmentWords` words a segment; segment b is the first of block b, the others follow in the order of blocks, named by `next`. */
  readonly words: Int32Array;
  /** Partial results to make room for. */
  readonly partials: number;
}

/**
 * How a sequence is cut: the pages of its rings are laid end to end, each ring's behind those that it costs to begin and end one, in `pieces` parts of equal length. It says
 * nothing of others.
 */
export interface SequenceCut {
  /** Pages. */
  readonly length: number;
  readonly pieces: number;
  /** Where each unit's first page lies. */
  readonly places: readonly number[];
}

export function cutSequence({ minPages, segmentPages, blocks }: DecodeCut, units: readonly DecodeUnit[]): SequenceCut {
  let length = 0;
  let pages = 0;
  const places = units.map((unit) => {
    const place = length + segmentPages;
    length = place + unit.pages;
    pages += unit.pages;
    return place;
  });
  const pieces = Math.max(1, Math.min(Math.floor(pages / minPages), blocks, mostPieces));
  return { length, pieces, places };
}

/** Where part k of a sequence begins. Rounded up: the last block of a launch starts last, and gets one of the shorter parts. */
const beginOf = ({ length, pieces }: SequenceCut, k: number): number => Math.ceil((k * length) / pieces);

/** A run of pages of a ring, of one part of its sequence. */
interface Piece {
  readonly part: number;
  readonly begin: number;
  readonly end: number;
}

/** A ring is cut where a part begins inside it, behind its first pages. Parts of its pieces follow each other. */
function piecesOf(cut: SequenceCut, minPages: number, place: number, pages: number): readonly Piece[] {
  const parts = Array.from({ length: cut.pieces }, (_, part) => part);
  const pageOf = (part: number): number => beginOf(cut, part) - place;
  const fewest = Math.min(minPages, pages);
  const cuts = parts.filter((part) => pageOf(part) >= fewest && pageOf(part) < pages);
  const first = parts.findLast((part) => pageOf(part) < fewest)!;
  return [first, ...cuts].map((part, index) => ({
    part,
    begin: index === 0 ? 0 : pageOf(part),
    end: index < cuts.length ? pageOf(cuts[index]!) : pages,
  }));
}

/** Of each block the segments, in order. Parts of sequences, each as costly as its sequence's costliest, are dealt out in their order: every block gets as much of the sum as any other, to a part. */
export function planDecode(cut: DecodeCut, sequences: readonly DecodeSequence[], idle: readonly number[] = []): DecodePlan {
  const cuts = sequences.map(({ units }) => cutSequence(cut, units));
  const costs = cuts.map(({ length, pieces }) => Math.ceil(length / pieces) + cut.segmentPages);
  const total = cuts.reduce((sum, { pieces }, index) => sum + pieces * costs[index]!, 0);
  const parts = cuts.reduce((sum, { pieces }) => sum + pieces, 0);
  const used = Math.min(cut.blocks, parts);
  const byBlock: number[][][] = Array.from({ length: cut.blocks }, () => []);
  let before = 0;
  let partials = 0;
  sequences.forEach(({ slot, row, units }, index) => {
    const own = cuts[index]!;
    const cost = costs[index]!;
    const offset = before;
    const blockOf = (part: number): number => Number((BigInt(offset + part * cost + Math.floor(cost / 2)) * BigInt(used)) / BigInt(total));
    units.forEach((unit, number) => {
      const place = own.places[number]!;
      const pieces = piecesOf(own, cut.minPages, place, unit.pages);
      const blocks = pieces.map(({ part }) => blockOf(part));
      const runs = new Set(blocks).size;
      // Numbers of partial results rise from piece to piece and from ring to ring.
      const firstPartial = partials + pieces[0]!.part + number;
      for (let from = 0; from < pieces.length; ) {
        let to = from;
        while (blocks[to + 1] === blocks[from]) to += 1;
        const next = pieces[from + 1]?.part ?? 0;
        const rest = (own.pieces - ((next * own.length) % own.pieces)) % own.pieces;
        byBlock[blocks[from]!]!.push([
          slot, unit.kvHead, unit.tableOffset, unit.window, pieces[from]!.begin, pieces[to]!.end, from, pieces.length, firstPartial, runs, unit.firstRow, row,
          -1, pieces[from]!.end, Math.floor(own.length / own.pieces), own.pieces | (own.length % own.pieces << 10) | (rest << 20),
        ]);
        from = to + 1;
      }
    });
    before += own.pieces * cost;
    partials += own.pieces + units.length;
  });
  // Slots without new tokens come first, those of blocks without other work before others.
  idle.forEach((slot, rank) => byBlock[cut.blocks - 1 - (rank % cut.blocks)]!.splice(Math.floor(rank / cut.blocks), 0, idleSegment(slot)));
  return { words: placeSegments(byBlock), partials };
}

/** Of no ring, with a window, since kernels ask at once where in it the new token would be: for a slot whose rows become 0, or -1 for a block without work. */
const idleSegment = (slot: number): number[] => [Math.max(0, slot), 0, 0, 1, 0, 0, 0, 0, 0, slot < 0 ? 0 : 1, 0, Math.max(0, slot), -1, 0, 0, 1];

function placeSegments(byBlock: readonly (readonly (readonly number[])[])[]): Int32Array {
  const rest = byBlock.reduce((sum, segments) => sum + Math.max(0, segments.length - 1), 0);
  const words = new Int32Array((byBlock.length + rest) * segmentWords);
  let free = byBlock.length;
  byBlock.forEach((segments, block) => {
    (segments.length === 0 ? [idleSegment(-1)] : segments).forEach((segment, index, all) => {
      invariant(segment.length === segmentWords, 'a segment has its words');
      const place = index === 0 ? block : free++;
      words.set(segment, place * segmentWords);
      words[place * segmentWords + 12] = index + 1 < all.length ? free : -1;
    });
  });
  return words;
}
