/**
 * The kernels that change page tables, `changeSequence` and `step`, against the model of the pool, test/spec/pageModel.ts,
 * up to numbers of pages. A writer on the host stands for the kernels that append: it marks the rows of new tokens.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  add, constant, divide, effectiveSpan, lengthBound, max, min, roundUp, span, type Expression,
} from '../../src/ir/affine.ts';
import type { LayerDefinition } from '../../src/ir/planDefinition.ts';
import type { Rule, SpanLimits } from '../../src/ir/rule.ts';
import { Device } from '../../src/runtime/device.ts';
import { randomOf } from '../random.ts';
import { planDecode, segmentWords, type DecodeSequence } from '../spec/decodePlan.ts';
import { PageModel, type Written } from '../spec/pageModel.ts';
import {
  decodeCut, loadPageKernels, PageSession, type PageKernels, type PagePlan, type PageTables, type StepTokens,
} from './pageSession.ts';

const limits: SpanLimits = { sink: 100, page: 64, minSpan: 128 };
const rule = (alpha: number, numerator = 0, denominator = 1): Rule => ({ kind: 'rule', alpha, numerator, denominator });
const dense = rule(0, 1);
const half = rule(-30, 1, 2);
const short = rule(200);

interface LayerSpec {
  readonly sink: number;
  readonly modelWindow?: number;
  /** The ring of each KV head. */
  readonly rings: readonly Expression[];
}

/** Two KV heads with two query heads each. */
function planOf(specs: readonly LayerSpec[], pageBytes: number): PagePlan {
  const expressions: Expression[] = [];
  const index = (expression: Expression): number => {
    const found = expressions.findIndex((known) => JSON.stringify(known) === JSON.stringify(expression));
    return found >= 0 ? found : expressions.push(expression) - 1;
  };
  const layers = specs.map(({ sink, rings, modelWindow = null }): LayerDefinition => {
    const unused = Math.ceil(sink / 64) * 64 - sink;
    const groups = rings.map((tokens, kvHead) => {
      const pages = divide(roundUp(add(tokens, constant(unused)), 64), 64);
      return { kvHeads: [kvHead], rules: [], span: index(tokens), pages: index(pages) };
    });
    return { modelWindow, sink, heads: [0, 1, 2, 1], rings: groups };
  });
  const shape = { layers: specs.length, queryHeads: 4, kvHeads: 2, headDim: 64 };
  const layout = { pageTokens: 64, pageBytes, cacheType: 'element' } as const;
  return { shape, limits, layout, rules: [dense, half, short], expressions, layers };
}

const wholePages = roundUp(max(lengthBound, constant(128)), 64);
const firstOfFour: LayerSpec = {
  sink: 100,
  rings: [constant(100 + 33), min(add(span(half, limits), constant(64)), wholePages)],
};

const plans = {
  'two layers': planOf(
    [
      { sink: 64, rings: [span(dense, limits), constant(64 + 77)] },
      {
        sink: 0,
        modelWindow: 150,
        rings: [effectiveSpan(dense, limits, 150), max(span(short, limits), span(half, limits))],
      },
    ],
    4096,
  ),
  'four layers of three classes': planOf(
    [
      firstOfFour,
      { sink: 0, rings: [constant(64), constant(201)] },
      { sink: 64, rings: [span(dense, limits), constant(64 + 65)] },
      firstOfFour,
    ],
    8192,
  ),
} as const;
type PlanName = keyof typeof plans;

const grids = [1, 3, 64] as const;

/** Kernels are built first, if they are not in the cache. */
const buildMs = 60_000;

let device: Device;
let kernels: PageKernels;
beforeAll(async () => {
  device = await Device.open('emulator', { seed: 11, multiprocessors: 4 });
  kernels = await loadPageKernels(device);
}, buildMs);
afterAll(() => device.dispose());

interface PairOptions {
  readonly pages: number;
  readonly slots: number;
  readonly seed: number;
  /** Of the plan; all by default. */
  readonly layers?: readonly number[];
  readonly longest?: number;
}

/** A session on the emulator and the model, which go the same way. */
class Pair {
  readonly session: PageSession;
  readonly model: PageModel;
  readonly random: () => number;
  readonly #bounds: (number | undefined)[];
  readonly #sharing: number[];
  readonly #ids = new Map<Written, number>();
  readonly #layers: readonly number[];
  readonly #plan: PagePlan;

  constructor(name: PlanName, options: PairOptions) {
    const plan = plans[name];
    const { pages, slots, seed, layers = [...plan.layers.keys()], longest = 700 } = options;
    this.#plan = plan;
    this.session = new PageSession(kernels, { device, plan, layers, slots, pages, longest });
    this.model = new PageModel(plan, layers, pages, slots);
    this.random = randomOf(seed);
    this.#bounds = Array.from({ length: slots }, () => undefined);
    this.#sharing = Array.from({ length: slots }, () => 0);
    this.#layers = layers;
  }

  below(count: number): number {
    return Math.floor(this.random() * count);
  }

  get grid(): number {
    return grids[this.below(grids.length)]!;
  }

  slotsThat(hold: boolean): number[] {
    return this.#bounds.flatMap((bound, slot) => ((bound !== undefined) === hold ? [slot] : []));
  }

  lengthOf(slot: number): number {
    return this.model.sequenceOf(slot).length;
  }

  boundOf(slot: number): number {
    return this.#bounds[slot]!;
  }

  add(slot: number, bound: number): void {
    this.model.add(slot, bound);
    this.session.sequence(this.grid, 'add', slot, { value: bound });
    this.#bounds[slot] = bound;
    this.#sharing[slot] = 0;
  }

  remove(slot: number): void {
    this.model.remove(slot);
    this.session.sequence(this.grid, 'remove', slot);
    this.#bounds[slot] = undefined;
    this.#sharing[slot] = 0;
  }

  fork(from: number, to: number): void {
    this.model.fork(from, to);
    this.session.sequence(this.grid, 'fork', from, { other: to });
    this.#bounds[to] = this.#bounds[from];
    this.#sharing[from] = this.#sharing[to] = 1;
  }

  truncate(slot: number, length: number): void {
    this.model.truncate(slot, length);
    this.session.sequence(this.grid, 'truncate', slot, { value: length });
    if (length === 0) this.#sharing[slot] = 0;
  }

  /** Pages that the pool needs for so many tokens of each slot, at most. */
  needed(added: Int32Array): number {
    let pages = 0;
    for (const slot of this.slotsThat(true)) {
      const { length, rings } = this.model.sequenceOf(slot);
      for (const ring of rings) {
        const pageAt = (position: number): number => this.model.pageOf(this.model.ringIndexOf(ring, position));
        for (const page of new Set(Array.from({ length: added[slot]! }, (_, n) => pageAt(length + n)))) {
          if (page >= ring.pages.length || this.model.holders[ring.pages[page]!]! > 1) pages += 1;
        }
      }
    }
    return pages;
  }

  /**
   * A step of `added` tokens of each slot that holds a sequence, which `tokens` says to the device.
   * @param most decode is planned too, of sequences with at most so many new tokens; 0: it is not
   */
  step(added: Int32Array, tokens: StepTokens, most = this.below(3) * (1 + this.below(3))): void {
    const before = this.slotsThat(true).map((slot) => ({ slot, from: this.lengthOf(slot) }));
    for (const { slot } of before) this.model.write(slot, added[slot]!);
    const layer = this.below(this.#layers.length);
    this.session.step(this.grid, tokens, layer, most);
    if (most > 0) this.#checkDecode(added, tokens, most);
    if (this.below(8) === 0) {
      const once = this.session.read();
      device.resetCounters();
      this.session.step(this.grid, tokens, layer);
      expect(this.session.read()).toEqual(once);
      expect(device.counters).toMatchObject({ atomics: 0, globalStoreBytes: 0 });
    }
    const tables = this.session.read();
    for (const { slot, from } of before) {
      this.model.sequenceOf(slot).rings.forEach((ring, index) => {
        for (let position = from; position < this.lengthOf(slot); position += 1) {
          const place = this.model.ringIndexOf(ring, position);
          this.#row(tables, slot, index, place).fill(this.#tag(ring.alone[place]!, index));
        }
      });
    }
    this.session.writePool();
    const { lengthStride } = this.session;
    for (let n = 0; n < this.#layers.length; n += 1) {
      for (const { slot } of before) tables.lengths[n * lengthStride + slot] = this.lengthOf(slot);
    }
    this.session.writeLengths(tables.lengths);
  }

  /** The device's tables are the model's, but for the numbers of pages. */
  check(): void {
    this.model.check();
    const tables = this.session.read();
    const { slots, pages } = this.session.options;
    const { queryHeads, kvHeads } = this.#plan.shape;
    const held = Array.from({ length: slots }, (_, slot) => this.model.sequences[slot]);
    expect(Array.from(tables.bounds)).toEqual(held.map((sequence) => sequence?.bound ?? 0));
    // Tokens that need no other pages may be left out.
    held.forEach((sequence, slot) => {
      const reserved = tables.reserved[slot]!;
      expect(reserved).toBeLessThanOrEqual(sequence?.length ?? 0);
      for (const ring of sequence?.rings ?? []) expect(this.model.pagesInUse(ring, reserved)).toBe(this.model.pagesInUse(ring, sequence!.length));
    });
    expect(Array.from(tables.sharing)).toEqual(this.#sharing);
    for (let n = 0; n < this.#layers.length; n += 1) {
      const first = n * this.session.lengthStride;
      const lengths = Array.from(tables.lengths.subarray(first, first + slots));
      expect(lengths).toEqual(held.map((sequence) => sequence?.length ?? -1));
    }
    held.forEach((sequence, slot) => {
      if (sequence === undefined) return;
      this.session.windowsAt(sequence.bound).forEach(({ heads, rings }, classIndex) => {
        const row = classIndex * slots + slot;
        expect(Array.from(tables.windows.subarray(row * queryHeads, (row + 1) * queryHeads))).toEqual(heads);
        expect(rings.map((_, kvHead) => tables.rings[(row * kvHeads + kvHead) * 2 + 1])).toEqual(rings);
      });
    });

    /** The device's page of each page of the model. */
    const names = new Map<number, number>();
    const used = new Set<number>();
    const refs = new Int32Array(pages);
    let entries = 0;
    held.forEach((sequence, slot) => {
      sequence?.rings.forEach((ring, index) => {
        const first = this.#firstEntry(tables, slot, index);
        ring.pages.forEach((modelPage, page) => {
          const found = tables.pageTable[first + page]!;
          const known = names.get(modelPage);
          if (known === undefined) {
            names.set(modelPage, found);
            expect(used.has(found), `page ${found} is held twice`).toBe(false);
            used.add(found);
            refs[found] = this.model.holders[modelPage]!;
          } else {
            expect(found).toBe(known);
          }
        });
        entries += ring.pages.length;
        for (let position = 0; position < sequence.length; position += 1) {
          const wanted = this.#tag(this.model.read(ring, position)!, index);
          const row = this.#row(tables, slot, index, this.model.ringIndexOf(ring, position));
          if (row.every((word) => word === wanted)) continue;
          expect.fail(`token ${position} of slot ${slot}, ring ${index}: ${row.join()}, not ${wanted}`);
        }
      });
    });
    expect(tables.pageTable.filter((page) => page !== -1).length).toBe(entries);
    expect(tables.refs).toEqual(refs);
    expect(tables.freeCount[0]).toBe(this.model.free);
    const free = Array.from(tables.freePages.subarray(0, this.model.free)).sort((a, b) => a - b);
    expect(free).toEqual(Array.from(refs.keys()).filter((page) => refs[page] === 0));
    expect([tables.error[0], tables.ticket[0]]).toEqual([0, 0]);
  }

  dispose(): void {
    this.session.dispose();
  }

  /** The plan of decode is the specification's, in each class, for the step that the model has done. */
  #checkDecode(added: Int32Array, { cuSeqlens }: StepTokens, most: number): void {
    const tables = this.session.read();
    const { kvHeads } = this.#plan.shape;
    this.session.planClasses.forEach((_, classIndex) => {
      const layer = this.session.pagedLayers.findIndex((paged) => paged.classIndex === classIndex);
      const sequences = this.slotsThat(true).flatMap((slot): DecodeSequence[] => {
        if (added[slot]! < 1 || added[slot]! > most) return [];
        const { rings, length } = this.model.sequenceOf(slot);
        const units = Array.from({ length: kvHeads }, (_head, kvHead) => {
          const ring = rings.find((own) => own.layer === this.#layers[layer] && own.kvHead === kvHead)!;
          const placed = this.session.ringOf(tables, classIndex, slot, kvHead);
          return { kvHead, firstRow: 0, ...placed, pages: this.model.pagesInUse(ring, length) };
        });
        return [{ slot, row: cuSeqlens?.[slot] ?? slot, units }];
      });
      const planned = new Set(sequences.map(({ slot }) => slot));
      // Without packed rows a slot that gets no token has rows all the same.
      const idle = cuSeqlens === undefined ? Array.from(added.keys()).filter((slot) => !planned.has(slot)) : [];
      const { words } = planDecode(decodeCut, sequences, idle);
      const first = classIndex * this.session.segmentStride * segmentWords;
      expect(tables.segments.subarray(first, first + words.length)).toEqual(words);
    });
  }

  /** Where the pages of a model's ring begin on the device. */
  #firstEntry(tables: PageTables, slot: number, index: number): number {
    const { layer, kvHead } = this.model.sequenceOf(slot).rings[index]!;
    return this.session.firstEntry(tables, this.#layers.indexOf(layer), slot, kvHead);
  }

  /** The row of a slot of a ring, in 32-bit words. */
  #row(tables: PageTables, slot: number, index: number, place: number): Uint32Array {
    const words = this.#plan.layout.pageBytes / 4;
    const page = tables.pageTable[this.#firstEntry(tables, slot, index) + this.model.pageOf(place)]!;
    const row = page * words + (place % 64) * (words / 64);
    return this.session.pool.subarray(row, row + words / 64);
  }

  /** What the writer marks a token with, in each ring. */
  #tag(token: Written, ring: number): number {
    let id = this.#ids.get(token);
    if (id === undefined) this.#ids.set(token, (id = this.#ids.size));
    return id * 16 + ring;
  }
}

/** `cuSeqlens` of so many tokens of each slot. */
function endsOf(added: Int32Array): Int32Array {
  const ends = new Int32Array(added.length + 1);
  added.forEach((count, slot) => (ends[slot + 1] = ends[slot]! + count));
  return ends;
}

/** A random operation; false where it was not possible. */
function operate(pair: Pair): boolean {
  const [held, free] = [pair.slotsThat(true), pair.slotsThat(false)];
  const pick = (of: readonly number[]): number => of[pair.below(of.length)]!;
  const kind = pair.below(20);
  if (kind < 3) {
    if (free.length === 0) return false;
    pair.add(pick(free), 1 + pair.below(pair.session.options.longest));
  } else if (held.length === 0) {
    return false;
  } else if (kind < 5) {
    pair.remove(pick(held));
  } else if (kind < 8) {
    if (free.length === 0) return false;
    pair.fork(pick(held), pick(free));
  } else if (kind < 11) {
    const slot = pick(held);
    const back = pair.below(4) === 0 ? pair.lengthOf(slot) : pair.below(pair.below(3) === 0 ? 300 : 5);
    pair.truncate(slot, Math.max(0, pair.lengthOf(slot) - back));
  } else {
    return stepOf(pair, held, kind);
  }
  return true;
}

/** A step of the same number for all, of one for each that goes on, or of any numbers. */
function stepOf(pair: Pair, held: readonly number[], kind: number): boolean {
  const { slots } = pair.session.options;
  const room = (slot: number): number => pair.boundOf(slot) - pair.lengthOf(slot);
  const added = new Int32Array(slots);
  if (kind < 13) {
    const tokens = pair.below(4) === 0 ? pair.below(100) : 1;
    if (held.some((slot) => room(slot) < tokens)) return false;
    for (const slot of held) added[slot] = tokens;
    if (pair.needed(added) > pair.model.free) return false;
    pair.step(added, { tokens });
    return true;
  }
  const many = [0, 1, 2, 70, 300, 700];
  for (const slot of held) added[slot] = Math.min(room(slot), pair.below(many[pair.below(kind < 17 ? 3 : 6)]! + 1));
  if (pair.needed(added) > pair.model.free) return false;
  // Rows of slots without a sequence, and of a sequence behind its count, are no tokens.
  const rows = added.map((count, slot) => count + (held.includes(slot) ? 0 : pair.below(3)));
  const counted = pair.below(4);
  if (counted < 2) pair.step(added, { cuSeqlens: endsOf(rows) });
  else if (counted < 3) pair.step(added, { cuSeqlens: endsOf(rows.map((count) => count + pair.below(90))), counts: rows });
  else pair.step(added, { tokens: Math.max(...rows) + pair.below(3), counts: rows });
  return true;
}

describe.each(Object.keys(plans) as PlanName[])('%s', (name) => {
  test.each([
    { seed: 1, slots: 5, pages: 90 },
    { seed: 2, slots: 7, pages: 260 },
    { seed: 3, slots: 2, pages: 60 },
  ])('a history of random operations: %j', (shape) => {
    const pair = new Pair(name, shape);
    const most = 120;
    for (let done = 0, tries = 0; done < most && tries < 10 * most; tries += 1) {
      if (!operate(pair)) continue;
      pair.check();
      done += 1;
    }
    for (const slot of pair.slotsThat(true)) pair.remove(slot);
    pair.check();
    expect(pair.model.free).toBe(shape.pages);
    pair.dispose();
  });

  test('beams: all slots share a sequence, write the same step, and are truncated and forked again', () => {
    const pair = new Pair(name, { seed: 5, slots: 6, pages: 400 });
    pair.add(0, 600);
    pair.step(Int32Array.of(333, 0, 0, 0, 0, 0), { cuSeqlens: Int32Array.of(0, 333, 333, 333, 333, 333, 333) });
    for (let round = 0; round < 6; round += 1) {
      for (let slot = 1; slot < 6; slot += 1) pair.fork(pair.below(slot), slot);
      pair.check();
      // More than some rings keep, and so many that the last one lies in the page of the first, round the ring.
      for (const tokens of [[1, 1, 35], [20, 61], [59, 3], [1, 43]][round % 4]!) {
        pair.step(new Int32Array(6).fill(tokens), { tokens });
        pair.check();
      }
      pair.truncate(0, pair.lengthOf(0) - 36);
      pair.check();
      for (let slot = 1; slot < 6; slot += 1) pair.remove(slot);
    }
    pair.check();
    pair.dispose();
  });
});

test('more slots than a block has threads', () => {
  const pair = new Pair('two layers', { seed: 9, slots: 600, pages: 500 });
  const held = [0, 3, 255, 256, 300, 511, 512, 599];
  for (const slot of held) pair.add(slot, 128 + (slot % 100));
  const added = new Int32Array(600);
  for (const slot of held) added[slot] = 1 + (slot % 90);
  pair.step(added, { cuSeqlens: endsOf(added) });
  pair.check();
  pair.fork(512, 17);
  pair.fork(3, 513);
  pair.step(new Int32Array(600).fill(1), { tokens: 1 });
  pair.check();
  pair.dispose();
});

test('more pages than a warp gives up at once', () => {
  const pair = new Pair('two layers', { seed: 15, slots: 3, pages: 900, longest: 20_000 });
  pair.add(0, 20_000);
  pair.step(Int32Array.of(17_000, 0, 0), { cuSeqlens: Int32Array.of(0, 17_000, 17_000, 17_000) });
  pair.check();
  pair.fork(0, 2);
  pair.step(Int32Array.of(1000, 0, 300), { cuSeqlens: Int32Array.of(0, 1000, 1000, 1300) });
  pair.check();
  pair.remove(0);
  pair.check();
  pair.truncate(2, 5);
  pair.check();
  pair.dispose();
});

test('decode is planned again for another sequence that is as long', () => {
  const pair = new Pair('two layers', { seed: 16, slots: 2, pages: 60 });
  for (const bound of [700, 400]) {
    pair.add(1, bound);
    pair.step(Int32Array.of(0, 330), { tokens: 330 }, 0);
    pair.step(Int32Array.of(0, 1), { tokens: 1 }, 1);
    pair.remove(1);
  }
  pair.dispose();
});

test('decode is planned again for rows by slot behind packed ones, of sequences that come to no other page', () => {
  const pair = new Pair('two layers', { seed: 18, slots: 2, pages: 60 });
  pair.add(1, 400);
  pair.step(Int32Array.of(0, 1), { cuSeqlens: Int32Array.of(0, 0, 1) }, 1);
  pair.step(Int32Array.of(0, 1), { tokens: 1 }, 1);
  pair.step(Int32Array.of(0, 1), { cuSeqlens: Int32Array.of(0, 0, 1) }, 1);
  pair.dispose();
});

test.each([63, 64, 65, 99, 100, 101])('who forks at token %i, about the end of a sink, copies the pages that it writes and no other', (length) => {
  const pair = new Pair('four layers of three classes', { seed: 17, slots: 2, pages: 60 });
  pair.add(0, 400);
  pair.step(Int32Array.of(length, 0), { cuSeqlens: Int32Array.of(0, length, length) });
  pair.fork(0, 1);
  pair.step(Int32Array.of(1, 2), { cuSeqlens: Int32Array.of(0, 1, 3) });
  pair.check();
  pair.dispose();
});

test('a session of some layers of a plan knows which of its classes they are', () => {
  const pair = new Pair('four layers of three classes', { seed: 10, slots: 3, pages: 100, layers: [2, 3] });
  expect(pair.session.planClasses).toEqual([2, 0]);
  pair.add(1, 500);
  pair.step(Int32Array.of(0, 150, 0), { tokens: 150 });
  pair.fork(1, 2);
  pair.step(Int32Array.of(0, 30, 30), { tokens: 30 });
  pair.check();
  pair.dispose();
});

test('a step of decode in which no token begins a page is a look at slots', () => {
  const pair = new Pair('two layers', { seed: 12, slots: 32, pages: 400 });
  for (let slot = 0; slot < 32; slot += 1) pair.add(slot, 300);
  pair.step(new Int32Array(32).fill(70), { tokens: 70 });
  device.resetCounters();
  pair.session.step(4, { tokens: 1 });
  // Length, reserved and sharing of each slot in each block, and for each of them two sinks.
  const globalLoadBytes = 4 * 32 * 12 + 4 * 32 * 2 * 4;
  expect(device.counters).toMatchObject({ blocks: 4, globalLoadBytes, globalStoreBytes: 0, atomics: 0 });
  pair.dispose();
});

describe('where the pool has too few pages', () => {
  /** Every page is held by those whose tables name it, or free once. */
  function checkConsistent(tables: PageTables): void {
    const counts = new Int32Array(tables.refs.length);
    for (const page of tables.pageTable) if (page >= 0) counts[page]! += 1;
    expect(tables.refs).toEqual(counts);
    const free = Array.from(tables.freePages.subarray(0, tables.freeCount[0])).sort((a, b) => a - b);
    expect(free).toEqual(Array.from(counts.keys()).filter((page) => counts[page] === 0));
  }

  test.each(grids)('new pages: an error, and entries without a page (grid %i)', (grid) => {
    const pair = new Pair('two layers', { seed: 13, slots: 3, pages: 11 });
    for (let slot = 0; slot < 3; slot += 1) pair.add(slot, 400);
    pair.session.step(grid, { tokens: 200 });
    const tables = pair.session.read();
    expect([tables.error[0], tables.freeCount[0]]).toEqual([1, 0]);
    expect(tables.pageTable.filter((page) => page >= 0).length).toBe(11);
    expect(Array.from(tables.reserved)).toEqual([200, 200, 200]);
    checkConsistent(tables);
    pair.dispose();
  });

  test.each(grids)('copies: an error, and pages that stay shared (grid %i)', (grid) => {
    const pair = new Pair('two layers', { seed: 14, slots: 4, pages: 10 });
    pair.add(0, 400);
    pair.step(Int32Array.of(70, 0, 0, 0), { cuSeqlens: Int32Array.of(0, 70, 70, 70, 70) });
    expect(pair.model.free).toBe(2);
    for (let slot = 1; slot < 4; slot += 1) pair.fork(0, slot);
    pair.session.step(grid, { tokens: 1 });
    const tables = pair.session.read();
    expect([tables.error[0], tables.freeCount[0]]).toEqual([1, 0]);
    // Two copies were made, for any two of the slots and rings.
    expect(tables.pageTable.filter((page) => page >= 0).length).toBe(4 * 8);
    expect(tables.refs.filter((count) => count === 1).length).toBe(2);
    checkConsistent(tables);
    pair.dispose();
  });
});
