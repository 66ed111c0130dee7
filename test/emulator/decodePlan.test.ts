/** The device's plan of decode against its specification, word for word, and what the specification promises. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutSequence, pagesInUse, planDecode, segmentWords, type DecodeCut, type DecodePlan, type DecodeSequence, type DecodeUnit } from '../spec/decodePlan.ts';
import { bytesOf, Kernel, unwritten } from './harness.ts';

const kernel = new Kernel('decodePlan', ['-Wno-unknown-pragmas']);
const sharedBytes = 11 * 1024 * 4;

interface Case {
  readonly cut: DecodeCut;
  readonly sink: number;
  readonly kvHeads: number;
  readonly tiles: number;
  /** Window of each KV head, of each slot. */
  readonly windows: readonly (readonly number[])[];
  /** -1 for a slot without a sequence. */
  readonly lengths: readonly number[];
  readonly added: readonly number[];
  readonly fewest: number;
  /** New tokens of every sequence, where rows are not packed. */
  readonly each: number | undefined;
  readonly most: number;
}

const ringOf = (slot: number, kvHead: number): number => 1000 * slot + 7 * kvHead;

function sequencesOf({ sink, tiles, windows, lengths, added, fewest, most, each }: Case): DecodeSequence[] {
  return lengths.flatMap((length, slot) => {
    const more = each ?? added[slot]!;
    if (length < 0 || more < Math.max(1, fewest) || more > most) return [];
    const units = windows[slot]!.flatMap((window, kvHead) =>
      Array.from({ length: tiles }, (_, tile): DecodeUnit => ({ kvHead, firstRow: tile * 16, tableOffset: ringOf(slot, kvHead), window, pages: pagesInUse(length + more, sink, window) })),
    );
    const row = each === undefined ? added.slice(0, slot).reduce((sum, tokens) => sum + tokens, 0) : slot;
    return [{ slot, row, units }];
  });
}

/** Slots that have rows, but no new token. */
function idleOf(each: Case): number[] {
  if (each.each === undefined) return [];
  const busy = new Set(sequencesOf(each).map(({ slot }) => slot));
  return [...each.lengths.keys()].filter((slot) => !busy.has(slot));
}

function planOnDevice(each: Case): Int32Array {
  const { cut, sink, kvHeads, tiles, windows, lengths, added, fewest, most } = each;
  const slots = lengths.length;
  const cuSeqlens = new Int32Array(slots + 1);
  added.forEach((tokens, slot) => (cuSeqlens[slot + 1] = cuSeqlens[slot]! + tokens));
  const rings = Int32Array.from(windows.flatMap((own, slot) => own.flatMap((window, kvHead) => [ringOf(slot, kvHead), window])));
  const units = kvHeads * tiles;
  const result = kernel.launch(
    {
      buffers: [Int32Array.from(lengths), cuSeqlens, rings].map(bytesOf).concat([unwritten((cut.blocks + slots * units) * segmentWords * 4), unwritten(slots * (6 + units) * 4)]),
      params: [
        ...[0, 1, 2, 3, 4].map((buffer) => ({ buffer })),
        ...[each.each ?? 1, fewest, most, sink, cut.blocks, cut.minPages, cut.segmentPages, slots, kvHeads, tiles, 16, each.each === undefined ? 1 : 0].map((i32) => ({ i32 })),
      ],
      threads: 128,
      sharedBytes,
    },
    1,
  );
  expect(result).toMatchObject({ status: 0, findings: [] });
  return new Int32Array(Uint8Array.from(result.buffers[3]!).buffer);
}

const cases: fc.Arbitrary<Case> = fc
  .record({ slots: fc.integer({ min: 1, max: 12 }), kvHeads: fc.constantFrom(1, 2, 5, 8, 40), tiles: fc.constantFrom(1, 1, 3), sink: fc.constantFrom(0, 4, 64, 100) })
  .chain(({ slots, kvHeads, tiles, sink }) =>
    fc.record({
      cut: fc.record({ blocks: fc.constantFrom(1, 2, 3, 7, 64, 132, 300, 1100), minPages: fc.constantFrom(2, 3, 5), segmentPages: fc.integer({ min: 0, max: 6 }) }),
      sink: fc.constant(sink),
      kvHeads: fc.constant(kvHeads),
      tiles: fc.constant(tiles),
      windows: fc.array(fc.array(fc.oneof(fc.integer({ min: 28, max: 300 }), fc.integer({ min: 28, max: 20_000 })), { minLength: kvHeads, maxLength: kvHeads }), { minLength: slots, maxLength: slots }),
      lengths: fc.array(fc.oneof(fc.constant(-1), fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 30_000 })), { minLength: slots, maxLength: slots }),
      added: fc.array(fc.oneof(fc.constant(1), fc.integer({ min: 0, max: 3 })), { minLength: slots, maxLength: slots }),
      fewest: fc.constantFrom(1, 1, 2),
      each: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
      most: fc.constantFrom(1, 3, 1000),
    }),
  );

/** More blocks than the planner has threads, and more than one segment in some of all of them. */
const manyBlocks: Case = {
  cut: { blocks: 300, minPages: 2, segmentPages: 1 },
  sink: 64,
  kvHeads: 8,
  tiles: 1,
  windows: Array.from({ length: 12 }, () => Array.from({ length: 8 }, () => 20_000)),
  lengths: Array.from({ length: 12 }, () => 3000),
  added: Array.from({ length: 12 }, () => 1),
  fewest: 1,
  each: 1,
  most: 1,
};

interface Segment {
  readonly words: readonly number[];
  readonly block: number;
}

/** Of all blocks in the order of rings and pages; without those of no ring. */
function segmentsOf({ words }: Pick<DecodePlan, 'words'>, blocks: number): Segment[] {
  const segments: Segment[] = [];
  for (let block = 0; block < blocks; block += 1) {
    for (let at = block; at >= 0; at = words[at * segmentWords + 12]!) {
      const own = [...words.subarray(at * segmentWords, (at + 1) * segmentWords)];
      if (own[7]! > 0) segments.push({ words: own, block });
    }
  }
  return segments;
}

/** Slots whose rows are to become 0, rising. */
function idleSlots({ words }: Pick<DecodePlan, 'words'>, blocks: number): number[] {
  const slots: number[] = [];
  for (let block = 0; block < blocks; block += 1) {
    for (let at = block; at >= 0; at = words[at * segmentWords + 12]!) if (words[at * segmentWords + 7] === 0 && words[at * segmentWords + 9]! > 0) slots.push(words[at * segmentWords]!);
  }
  return slots.sort((a, b) => a - b);
}

/** Pages where the pieces of a segment end, as kernels walk them. */
function endsOf({ words }: Segment): number[] {
  const [pageEnd, step, fraction] = [words[5]!, words[14]!, words[15]!];
  const [pieces, remainder] = [fraction & 1023, (fraction >> 10) & 1023];
  let [end, rest] = [words[13]!, fraction >> 20];
  const ends: number[] = [];
  while (end < pageEnd) {
    ends.push(end);
    rest -= remainder;
    end += step + (rest < 0 ? 1 : 0);
    if (rest < 0) rest += pieces;
  }
  return [...ends, pageEnd];
}

test('the plan on the device is the one of the specification', () => {
  fc.assert(
    fc.property(cases, (each) => {
      const { words } = planDecode(each.cut, sequencesOf(each), idleOf(each));
      expect([...planOnDevice(each).subarray(0, words.length)]).toEqual([...words]);
    }),
    { numRuns: 60, examples: [[manyBlocks]] },
  );
});

test('every page of every ring once, in pieces that its own sequence alone decides, with partial results and counters of their own', () => {
  fc.assert(
    fc.property(cases, (each) => {
      const sequences = sequencesOf(each);
      const plan = planDecode(each.cut, sequences, idleOf(each));
      expect(idleSlots(plan, each.cut.blocks)).toEqual(idleOf(each));
      const segments = segmentsOf(plan, each.cut.blocks);
      const partials = new Set<number>();
      const alone = (sequence: DecodeSequence): string => piecesText(segmentsOf(planDecode(each.cut, [sequence]), each.cut.blocks), sequence.slot);
      for (const sequence of sequences) {
        expect(piecesText(segments, sequence.slot)).toBe(alone(sequence));
        for (const { kvHead, firstRow, pages } of sequence.units) {
          const own = segments.filter(({ words }) => words[0] === sequence.slot && words[1] === kvHead && words[10] === firstRow);
          let page = 0;
          let split = 0;
          for (const segment of own) {
            expect(segment.words.slice(4, 5)).toEqual([page]);
            expect(segment.words[6]).toBe(split);
            expect(segment.words[9]).toBe(own.length);
            for (const end of endsOf(segment)) {
              // A piece that another one follows has a page for each group of warps.
              expect(end).toBeGreaterThanOrEqual(Math.min(page + each.cut.minPages, pages));
              if (segment.words[7]! > 1) expect(partials.has(segment.words[8]! + split)).toBe(false);
              if (segment.words[7]! > 1) partials.add(segment.words[8]! + split);
              page = end;
              split += 1;
            }
          }
          expect(page).toBe(pages);
          expect(own.every(({ words }) => words[7] === split)).toBe(true);
        }
      }
      expect(Math.max(-1, ...partials)).toBeLessThan(plan.partials);
    }),
    { numRuns: 150 },
  );
});

/** Of a slot, where the pieces of each ring end. */
function piecesText(segments: readonly Segment[], slot: number): string {
  const ends = new Map<string, number[]>();
  for (const segment of segments.filter(({ words }) => words[0] === slot)) {
    const ring = `${segment.words[1]}.${segment.words[10]}`;
    ends.set(ring, [...(ends.get(ring) ?? []), ...endsOf(segment)]);
  }
  return [...ends].map(([ring, own]) => `${ring}: ${own.join(' ')}`).sort().join('; ');
}

test('no block costs more than its share and one part more', () => {
  fc.assert(
    fc.property(cases, (each) => {
      const sequences = sequencesOf(each);
      if (sequences.length === 0) return;
      const plan = planDecode(each.cut, sequences);
      const { segmentPages, blocks } = each.cut;
      const cuts = sequences.map(({ units }) => cutSequence(each.cut, units));
      const costs = cuts.map(({ length, pieces }) => Math.ceil(length / pieces) + segmentPages);
      const total = cuts.reduce((sum, { pieces }, index) => sum + pieces * costs[index]!, 0);
      const used = Math.min(blocks, cuts.reduce((sum, { pieces }) => sum + pieces, 0));
      const pages = new Float64Array(blocks);
      for (const { words, block } of segmentsOf(plan, blocks)) pages[block]! += words[5]! - words[4]!;
      expect(Math.max(...pages)).toBeLessThanOrEqual(Math.ceil(total / used) + Math.max(...costs) + 1);
    }),
    { numRuns: 150 },
  );
});
