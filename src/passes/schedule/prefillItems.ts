import type { MaskShape } from '../../mask/mask.ts';
import { countKeyPages, type KeyGeometry } from './keyPages.ts';

/** 32-bit words of a `PrefillItem` (templates/include/moa/prefill/items.cuh). */
export const prefillItemWords = 8;

export interface PrefillCut extends KeyGeometry {
  /** Query rows of an item. */
  readonly rows: number;
  /** Keys and values of the heads that are worked on together take at most so many bytes, if it is not one head. */
  readonly sectionBytes: number;
  /** Of keys and values, for a token of one head. */
  readonly tokenBytes: number;
  /** Blocks that run at once. */
  readonly blocks: number;
  /** False: by the position of their rows alone. */
  readonly byCost: boolean;
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
  /** Window in tokens of each query head. */
  readonly windows: ArrayLike<number>;
}

export interface PrefillItems {
  /** `prefillItemWords` words an item: first token, new tokens, query block, head, window, cached tokens, the ring's offset and window. */
  readonly words: Int32Array;
  readonly count: number;
  /** Pages that all items visit together. */
  readonly pages: number;
}

interface Item {
  readonly cost: number;
  readonly block: number;
  readonly words: readonly number[];
}

/** The query heads of one KV head of one sequence: they read the same keys and values. */
interface Unit {
  readonly items: readonly Item[];
  readonly cost: number;
  readonly bytes: number;
}

/**
 * The work items of one prefill launch, in the order in which they are taken: in sections whose keys and values stay in the L2 cache, and which are no
 * longer than it takes to keep every block busy, so that memory is read all the time; the dearest heads first; in a section the dearest item first.
 * The cheapest items of all, enough to keep every block busy while one works on the dearest, come last: so all blocks end at about the same time,
 * whatever the sections are.
 */
export function prefillItems(cut: PrefillCut, mask: MaskShape, batch: PrefillBatch): PrefillItems {
  const units = unitsOf(cut, mask, batch);
  const items = cut.byCost ? inSections(units, cut) : units.flatMap((unit) => unit.items).sort((a, b) => b.block - a.block);
  const words = new Int32Array(items.length * prefillItemWords);
  items.forEach((item, index) => words.set(item.words, index * prefillItemWords));
  return { words, count: items.length, pages: items.reduce((sum, { cost }) => sum + cost, 0) };
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

function unitsOf(cut: PrefillCut, mask: MaskShape, { cuSeqlens, cached, rings, kvHeads, windows }: PrefillBatch): Unit[] {
  const groupSize = windows.length / kvHeads;
  const costs = new Map<string, readonly number[]>();
  const costsOf = (length: number, window: number, tokens: number, ringWindow: number): readonly number[] => {
    const key = `${length} ${window} ${tokens} ${ringWindow}`;
    let blocks = costs.get(key);
    if (blocks === undefined) costs.set(key, (blocks = blockCosts(cut, mask, length, window, tokens, ringWindow)));
    return blocks;
  };
  const units: Unit[] = [];
  for (let sequence = 0; sequence + 1 < cuSeqlens.length; sequence += 1) {
    const firstToken = cuSeqlens[sequence]!;
    const length = cuSeqlens[sequence + 1]! - firstToken;
    if (length === 0) continue;
    const tokens = cached[sequence]!;
    for (let kvHead = 0; kvHead < kvHeads; kvHead += 1) {
      const ring = 2 * (sequence * kvHeads + kvHead);
      const [tableOffset, ringWindow] = [rings[ring]!, rings[ring + 1]!];
      const items: Item[] = [];
      for (let head = kvHead * groupSize; head < (kvHead + 1) * groupSize; head += 1) {
        const window = windows[head]!;
        costsOf(length, window, tokens, ringWindow).forEach((cost, block) => {
          items.push({ cost, block, words: [firstToken, length, block, head, window, tokens, tableOffset, ringWindow] });
        });
      }
      units.push({ items, cost: items.reduce((sum, item) => sum + item.cost, 0), bytes: (length + Math.min(tokens, cut.sink + ringWindow)) * cut.tokenBytes });
    }
  }
  return units;
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
