import type { PrefillSchedule } from '../../ir/nodes.ts';
import { countTiles } from '../../mask/classifyTiles.ts';
import type { MaskShape } from '../../mask/mask.ts';

/** 32-bit words of a `PrefillItem` (templates/include/moa/prefill.cuh). */
export const prefillItemWords = 8;

export interface PrefillItems {
  /** `prefillItemWords` words an item: first token, length, query block, head, window, and three zeros. */
  readonly words: Int32Array;
  readonly count: number;
  /** Tiles that all items visit together. */
  readonly tiles: number;
}

/**
 * The work items of one prefill launch, the longest first: blocks start in this order, so the last ones to run are short.
 * @param cuSeqlens first token of each sequence, and the end of the last: `sequences + 1` rising integers
 * @param windows window in tokens of each query head
 */
export function prefillItems(schedule: PrefillSchedule, mask: MaskShape, cuSeqlens: ArrayLike<number>, windows: ArrayLike<number>): PrefillItems {
  const { rows, columns } = schedule;
  const costs = new Map<string, number[]>();
  const items: { cost: number; words: number[] }[] = [];
  let tiles = 0;
  for (let sequence = 0; sequence + 1 < cuSeqlens.length; sequence += 1) {
    const firstToken = cuSeqlens[sequence]!;
    const length = cuSeqlens[sequence + 1]! - firstToken;
    for (let head = 0; head < windows.length; head += 1) {
      const window = windows[head]!;
      const key = `${length} ${window}`;
      let blocks = costs.get(key);
      if (blocks === undefined) costs.set(key, (blocks = blockCosts(mask, rows, columns, length, window)));
      for (let block = 0; block < blocks.length; block += 1) {
        const cost = blocks[block]!;
        tiles += cost;
        items.push({ cost, words: [firstToken, length, block, head, window, 0, 0, 0] });
      }
    }
  }
  items.sort((a, b) => b.cost - a.cost);
  const words = new Int32Array(items.length * prefillItemWords);
  items.forEach((item, index) => words.set(item.words, index * prefillItemWords));
  return { words, count: items.length, tiles };
}

/** Tiles of each block of `rows` query rows of a sequence. */
function blockCosts(mask: MaskShape, rows: number, columns: number, length: number, window: number): number[] {
  return Array.from({ length: Math.ceil(length / rows) }, (_, block) =>
    countTiles(mask, block * rows, Math.min((block + 1) * rows, length) - 1, columns, window),
  );
}
