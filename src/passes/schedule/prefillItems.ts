import { prefillItemWords } from '../../ir/workItems.ts';
import type { MaskShape } from '../../mask/mask.ts';
import { countKeyPages, newestSlot, type KeyGeometry } from './keyPages.ts';

export interface PrefillCut extends KeyGeometry {
  /** Query rows of an item. */
  readonly rows: number;
  /** Keys and values of the heads that are worked on together take at most so many bytes, if it is not one head. */
  readonly sectionBytes: number;
  /** Of keys and values, for a token of one head. */
  readonly tokenBytes: number;
  /** Blocks that run at once. */
  readonly blocks: number;
  /** False: by the position of their rows alone, and none is cut. */
  readonly byCost: boolean;
  /**
   * An item of more pages than this, and than `splitShare` of what a block has to do for its sequence, is cut in two by its keys; Infinity where the
   * kernel can't.
   */
  readonly splitPages: number;
  readonly splitShare: number;
}

/** The sequences of a launch. */
export interface PrefillBatch {
  /** First new token of each sequence, and the end of the last: `sequences + 1` integers that never fall. */
  readonly cuSeqlens: ArrayLike<number>;
  /** Tokens of each sequence in the cache before. */
  readonly cached: ArrayLike<number>;
  /** `[sequence][kvHead]` pairs: offset in the page table, window in tokens of the ring. */
  readonly rings: ArrayLike<number>;
  readonly kvHeads: number;
  /** `[sequence][queryHead]` windows in tokens. */
  readonly windows: ArrayLike<number>;
}

export interface PrefillItems {
  /**
   * `prefillItemWords` words an item: first token, new tokens, query block, head, window, cached tokens, the ring's offset and window, first page and
   * number of pages of those that its rows visit, number of its part or -1, and the window slot of the ring's newest token, or 0.
   */
  readonly words: Int32Array;
  readonly count: number;
  /** Items that are one of two parts: part n and n + 1 for even n are the same rows. */
  readonly parts: number;
  /** Pages that all items visit together. */
  readonly pages: number;
}

interface Item {
  readonly cost: number;
  readonly block: number;
  /** Of what its rows visit, in pages. */
  readonly firstPage: number;
  /** Of the second of two parts. */
  readonly first?: Item;
  /** The words before those. */
  readonly place: readonly number[];
  readonly newest: number;
}

/** The query heads of one KV head of one sequence: they read the same keys and values. */
interface Unit {
  readonly items: readonly Item[];
  readonly cost: number;
  readonly bytes: number;
}

/**
 * The work items of one prefill launch, the dearest cut in two, in the order in which they are taken: in sections whose keys and values stay in the L2 cache, and which are no
 * longer than it takes to keep every block busy, so that memory is read all the time; the dearest heads first; in a section the dearest item first.
 * The cheapest items of all, enough to keep every block busy while one works on the dearest, come last: so all blocks end at about the same time,
 * whatever the sections are.
 */
export function prefillItems(cut: PrefillCut, mask: MaskShape, batch: PrefillBatch): PrefillItems {
  const sequences = unitsOf(cut, mask, batch);
  const items = cut.byCost
    ? inSections(sequences.flatMap((units) => splitDearest(units, cut)), cut)
    : sequences.flat().flatMap((unit) => unit.items).sort((a, b) => b.block - a.block);
  const words = new Int32Array(items.length * prefillItemWords);
  const parts = numberParts(items);
  items.forEach((item, index) => words.set([...item.place, item.firstPage, item.cost, parts.get(item) ?? -1, item.newest], index * prefillItemWords));
  return { words, count: items.length, parts: parts.size, pages: pagesOf(items) };
}

const pagesOf = (items: readonly { readonly cost: number }[]): number => items.reduce((sum, { cost }) => sum + cost, 0);

/**
 * Items of a sequence that are a large part of what a block has to do for it become two of half the keys, so that blocks can end together. The first has
 * whole tiles of two pages. Other sequences have no say: a sequence's results are the same in every batch.
 */
function splitDearest(units: readonly Unit[], { splitPages, splitShare, blocks }: PrefillCut): Unit[] {
  const longest = Math.max(2, splitPages, (splitShare * pagesOf(units)) / blocks);
  const splitItem = (item: Item): Item[] => {
    if (item.cost <= longest) return [item];
    const cost = 2 * Math.ceil(item.cost / 4);
    const first = { ...item, cost };
    return [first, { ...item, cost: item.cost - cost, firstPage: cost, first }];
  };
  return units.map((unit) => ({ ...unit, items: unit.items.flatMap(splitItem) }));
}

/** Numbers of the items that are parts: even for the first of two, and the next one for the second. */
function numberParts(items: readonly Item[]): ReadonlyMap<Item, number> {
  const numbers = new Map<Item, number>();
  for (const item of items) {
    if (item.first === undefined) continue;
    numbers.set(item.first, numbers.size);
    numbers.set(item, numbers.size);
  }
  return numbers;
}

function inSections(units: readonly Unit[], cut: PrefillCut): Item[] {
  const sections = sectionsOf(units, cut).map((section) => section.flatMap(({ items }) => items).sort(dearestFirst));
  const all = sections.flat();
  const last = cheapest(all, cut.blocks);
  return [...all.filter((item) => !last.has(item)), ...all.filter((item) => last.has(item)).sort(dearestFirst)];
}

const dearestFirst = (a: Item, b: Item): number => b.cost - a.cost;

/** The cheapest items, of equal ones the last: so many that they take as long, on all blocks, as the dearest item takes on one. */
function cheapest(items: readonly Item[], blocks: number): ReadonlySet<Item> {
  const rising = items.toReversed().sort((a, b) => a.cost - b.cost);
  const chosen = new Set<Item>();
  let left = blocks * (rising.at(-1)?.cost ?? 0);
  for (const item of rising) {
    if (left <= 0) break;
    chosen.add(item);
    left -= item.cost;
  }
  return chosen;
}

/** Of each sequence with tokens. */
function unitsOf(cut: PrefillCut, mask: MaskShape, { cuSeqlens, cached, rings, kvHeads, windows }: PrefillBatch): Unit[][] {
  const queryHeads = windows.length / (cuSeqlens.length - 1);
  const groupSize = queryHeads / kvHeads;
  const costs = new Map<string, readonly number[]>();
  const costsOf = (length: number, window: number, tokens: number, ringWindow: number): readonly number[] => {
    const key = `${length} ${window} ${tokens} ${ringWindow}`;
    let blocks = costs.get(key);
    if (blocks === undefined) costs.set(key, (blocks = blockCosts(cut, mask, length, window, tokens, ringWindow)));
    return blocks;
  };
  const sequences: Unit[][] = [];
  for (let sequence = 0; sequence + 1 < cuSeqlens.length; sequence += 1) {
    const firstToken = cuSeqlens[sequence]!;
    const length = cuSeqlens[sequence + 1]! - firstToken;
    if (length === 0) continue;
    const tokens = cached[sequence]!;
    const units: Unit[] = [];
    sequences.push(units);
    for (let kvHead = 0; kvHead < kvHeads; kvHead += 1) {
      const ring = 2 * (sequence * kvHeads + kvHead);
      const [tableOffset, ringWindow] = [rings[ring]!, rings[ring + 1]!];
      const newest = tokens > cut.sink ? newestSlot(cut, { tokens, ringWindow }) : 0;
      const items: Item[] = [];
      for (let head = kvHead * groupSize; head < (kvHead + 1) * groupSize; head += 1) {
        const window = windows[sequence * queryHeads + head]!;
        costsOf(length, window, tokens, ringWindow).forEach((cost, block) => {
          items.push({ cost, block, firstPage: 0, newest, place: [firstToken, length, block, head, window, tokens, tableOffset, ringWindow] });
        });
      }
      units.push({ items, cost: pagesOf(items), bytes: (length + Math.min(tokens, cut.sink + ringWindow)) * cut.tokenBytes });
    }
  }
  return sequences;
}

/** Runs of the units, the dearest first: as many as keep every block busy, and no more than fit. */
function sectionsOf(units: readonly Unit[], { sectionBytes, blocks }: PrefillCut): Unit[][] {
  const sections: Unit[][] = [];
  let [bytes, items] = [0, 0];
  for (const unit of units.toSorted((a, b) => b.cost - a.cost)) {
    if (sections.length === 0 || items >= blocks || bytes + unit.bytes > sectionBytes) {
      sections.push([]);
      [bytes, items] = [0, 0];
    }
    sections.at(-1)!.push(unit);
    bytes += unit.bytes;
    items += unit.items.length;
  }
  return sections;
}

/** Pages of each block of query rows of a sequence. */
function blockCosts(cut: PrefillCut, mask: MaskShape, length: number, window: number, tokens: number, ringWindow: number): number[] {
  return Array.from({ length: Math.ceil(length / cut.rows) }, (_, block) =>
    countKeyPages(mask, cut, window, { tokens, ringWindow }, block * cut.rows, Math.min((block + 1) * cut.rows, length) - 1),
  );
}
