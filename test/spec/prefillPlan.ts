/**
 * The specification of prefill's plan (templates/include/moa/plan/prefillPlan.cuh): the work items of a launch and
 * their order. The device's list is held equal to it, word for word.
 *
 * Items of sections whose keys and values stay in the L2 cache, and which are no longer than it takes to keep every
 * block busy, come together, so that memory is read all the time: the most expensive heads first, in a section the most
 * expensive item first. The cheapest items of all, enough to keep every block busy while one works on the most
 * expensive, come last: so all blocks end at about the same time, whatever the sections are.
 */
import type { MaskShape } from '../../src/mask/mask.ts';
import { countKeyPages, newestSlot, type KeyGeometry } from './keyPages.ts';

/** 32-bit words of a `PrefillItem` (templates/include/moa/prefill/items.cuh). */
export const prefillItemWords = 12;

export interface PrefillCut extends KeyGeometry {
  /** Query rows of an item. */
  readonly rows: number;
  /** Keys and values of the heads that are worked on together take at most so many bytes, if it is not one head. */
  readonly sectionBytes: number;
  /** Of keys and values, for a token of one head. */
  readonly tokenBytes: number;
  /** Blocks that run at once. */
  readonly blocks: number;
  /** False: by the position of their rows alone, and none is split. */
  readonly byCost: boolean;
  /**
   * An item of more pages than this, and than `splitShare` of what a block has to do for its sequence, is split in two;
   * Infinity where the kernel can't.
   */
  readonly splitPages: number;
  readonly splitShare: { readonly numerator: number; readonly denominator: number };
  /** Sequences with fewer new tokens than this have no items. */
  readonly fewest: number;
}

/** The slots of a launch. */
export interface PrefillBatch {
  /** First new token of each slot, and the end of the last: `slots + 1` integers that never fall. */
  readonly cuSeqlens: ArrayLike<number>;
  /** Tokens of each slot's sequence in the cache before; -1 where there is no sequence. */
  readonly cached: ArrayLike<number>;
  /** `[slot][kvHead]` pairs: offset in the page table, window in tokens of the ring. */
  readonly rings: ArrayLike<number>;
  readonly kvHeads: number;
  /** `[slot][queryHead]` windows in tokens. */
  readonly windows: ArrayLike<number>;
}

export interface PrefillList {
  /**
   * `prefillItemWords` words an item: first token, new tokens, query block, head, window, cached tokens, the ring's
   * offset and window, first page and number of pages of those that its rows visit, number of its part or -1, and the
   * window slot of the ring's newest token, or 0.
   */
  readonly words: Int32Array;
  readonly count: number;
  /** Items that are one of two parts: parts 2n and 2n + 1 are the same rows. */
  readonly parts: number;
  /** Pages that all items visit together. */
  readonly pages: number;
}

/** The query heads of one KV head of one sequence: they read the same keys and values. */
interface Unit {
  /** Number of its sequence, counted without those that have no items. */
  readonly sequence: number;
  /** Whose keys and values it reads. */
  readonly tokens: number;
}

interface Item {
  readonly unit: number;
  readonly block: number;
  /** Pages that it visits, from page `firstPage` on of those of its rows. */
  readonly cost: number;
  readonly firstPage: number;
  readonly part: number;
  /** The words before those. */
  readonly place: readonly number[];
  readonly newest: number;
}

interface Work {
  readonly units: readonly Unit[];
  /** In the order of sequences, heads, and blocks of rows. */
  readonly items: readonly Item[];
}

export function prefillPlan(cut: PrefillCut, mask: MaskShape, batch: PrefillBatch): PrefillList {
  const work = workOf(cut, mask, batch);
  const items = cut.byCost ? inOrder(cut, work) : work.items.toSorted((a, b) => b.block - a.block);
  const words = items.flatMap((item) => [...item.place, item.firstPage, item.cost, item.part, item.newest]);
  const parts = items.filter(({ part }) => part >= 0).length;
  return { words: Int32Array.from(words), count: items.length, parts, pages: pagesOf(items) };
}

/** Pages that prefill visits in this batch: what its kernels compute. */
export const computedPages = (cut: PrefillCut, mask: MaskShape, batch: PrefillBatch): number =>
  pagesOf(workOf(cut, mask, batch).items);

/** Tokens of which keys and values of one head fit in a section. */
export const sectionTokens = ({ sectionBytes, tokenBytes }: PrefillCut): number =>
  Math.min(2 ** 20, Math.floor(sectionBytes / tokenBytes));

const pagesOf = (items: readonly Item[]): number => items.reduce((sum, { cost }) => sum + cost, 0);

function workOf(cut: PrefillCut, mask: MaskShape, batch: PrefillBatch): Work {
  const { cuSeqlens, cached, rings, kvHeads, windows } = batch;
  const queryHeads = windows.length / (cuSeqlens.length - 1);
  const units: Unit[] = [];
  const items: Item[] = [];
  for (let slot = 0; slot + 1 < cuSeqlens.length; slot += 1) {
    const firstToken = cuSeqlens[slot]!;
    const length = cuSeqlens[slot + 1]! - firstToken;
    const tokens = cached[slot]!;
    if (tokens < 0 || length < Math.max(1, cut.fewest)) continue;
    const sequence = units.length / kvHeads;
    for (let head = 0; head < queryHeads; head += 1) {
      const kvHead = Math.floor(head / (queryHeads / kvHeads));
      const ring = 2 * (slot * kvHeads + kvHead);
      const [tableOffset, ringWindow] = [rings[ring]!, rings[ring + 1]!];
      const unit = sequence * kvHeads + kvHead;
      units[unit] = { sequence, tokens: length + Math.min(tokens, cut.sink + ringWindow) };
      const window = windows[slot * queryHeads + head]!;
      const newest = tokens > cut.sink ? newestSlot(cut, { tokens, ringWindow }) : 0;
      for (let block = 0; block * cut.rows < length; block += 1) {
        const lastRow = Math.min((block + 1) * cut.rows, length) - 1;
        const cost = countKeyPages(mask, cut, window, { tokens, ringWindow }, block * cut.rows, lastRow);
        const place = [firstToken, length, block, head, window, tokens, tableOffset, ringWindow];
        items.push({ unit, block, cost, firstPage: 0, part: -1, place, newest });
      }
    }
  }
  return { units, items };
}

function inOrder(cut: PrefillCut, work: Work): Item[] {
  const sections = sectionsOf(cut, work);
  const largest = largestOf(work.items.map(({ cost }) => cost));
  const byCost = byFallingKey(splitLargest(cut, work), ({ cost }) => cost, largest);
  const end = byCost.length - tailOf(byCost, cut.blocks);
  const front = byCost.slice(0, end).toSorted((a, b) => sections[a.unit]! - sections[b.unit]!);
  return [...front, ...byCost.slice(end)];
}

const largestOf = (values: readonly number[]): number => values.reduce((most, value) => Math.max(most, value), 0);

/** By as many uppermost bits of `valueOf` as are 8 bits of the largest; equal ones stay in their order. */
function byFallingKey<T>(values: readonly T[], valueOf: (value: T) => number, largest: number): T[] {
  const step = 2 ** Math.max(0, bitsOf(largest) - 8);
  const keyOf = (value: T): number => Math.floor(valueOf(value) / step);
  return values.toSorted((a, b) => keyOf(b) - keyOf(a));
}

const bitsOf = (value: number): number => (value === 0 ? 0 : value.toString(2).length);

/**
 * Items that are a large part of what a block has to do for their sequence become two of half the pages, so that blocks
 * can end together. The first has whole tiles of two pages. Other sequences have no say: a sequence's results are the
 * same in every batch. Parts have numbers in the order of items; second parts stand behind all items.
 */
function splitLargest({ splitPages, splitShare, blocks }: PrefillCut, { units, items }: Work): Item[] {
  const pages: number[] = [];
  for (const { unit, cost } of items) pages[units[unit]!.sequence] = (pages[units[unit]!.sequence] ?? 0) + cost;
  const { numerator, denominator } = splitShare;
  const longest = pages.map((all) => Math.max(2, splitPages, Math.floor((numerator * all) / (blocks * denominator))));
  const seconds: Item[] = [];
  const firsts = items.map((item): Item => {
    if (item.cost <= longest[units[item.unit]!.sequence]!) return item;
    const cost = 2 * Math.ceil(item.cost / 4);
    const part = 2 * seconds.length;
    seconds.push({ ...item, cost: item.cost - cost, firstPage: cost, part: part + 1 });
    return { ...item, cost, part };
  });
  return [...firsts, ...seconds];
}

/**
 * The section of each unit. Sections are runs of the units, the most expensive first: as many as keep every block busy,
 * and no more than fit. No more items than blocks are one section: they all run at once.
 */
function sectionsOf(cut: PrefillCut, { units, items }: Work): number[] {
  if (items.length <= cut.blocks) return units.map(() => 0);
  const limit = sectionTokens(cut);
  const costs = units.map(() => 0);
  const counts = units.map(() => 0);
  for (const { unit, cost } of items) {
    costs[unit]! += cost;
    counts[unit]! += 1;
  }
  const sections: number[] = [];
  let [section, heldTokens, heldItems] = [-1, 0, 0];
  for (const unit of byFallingKey([...units.keys()], (number) => costs[number]!, largestOf(costs))) {
    const { tokens } = units[unit]!;
    if (section < 0 || heldItems >= cut.blocks || heldTokens + tokens > limit) {
      section += 1;
      [heldTokens, heldItems] = [0, 0];
    }
    sections[unit] = section;
    heldTokens += tokens;
    heldItems += counts[unit]!;
  }
  return sections;
}

/** How many of the last items take as long together, on all blocks, as the first takes on one. */
function tailOf(byCost: readonly Item[], blocks: number): number {
  let missing = blocks * (byCost[0]?.cost ?? 0);
  let tail = 0;
  while (tail < byCost.length && missing > 0) {
    tail += 1;
    missing -= byCost.at(-tail)!.cost;
  }
  return tail;
}
