import { invariant } from '../../src/util/invariant.ts';
import { keysOfRow, type MaskShape } from '../../src/mask/mask.ts';

export interface TileClass {
  /** Keys `columns * tile` to `columns * (tile + 1) - 1`. */
  readonly tile: number;
  /** Whether one interval covers it for every row, so that it needs no mask. */
  readonly full: boolean;
}

/**
 * The tiles of `columns` keys that hold an allowed pair for query rows `firstRow` to `lastRow`, in the order in which prefill visits them:
 * from the diagonal to the left. Tests hold this equal to the brute-force answer and to what the kernels visit.
 */
export function classifyTiles(shape: MaskShape, firstRow: number, lastRow: number, columns: number, window: number): TileClass[] {
  invariant(firstRow <= lastRow && columns > 0, 'a block of rows has a row and a tile has a key');
  const first = keysOfRow(shape, firstRow, window);
  const last = keysOfRow(shape, lastRow, window);
  const tiles: TileClass[] = [];
  let limit = Infinity;
  for (let n = shape.intervals.length - 1; n >= 0; n -= 1) {
    const begin = Math.floor(first[n]!.begin / columns);
    const end = Math.min(limit, Math.ceil(last[n]!.end / columns));
    for (let tile = end - 1; tile >= begin; tile -= 1) {
      const keys = { begin: tile * columns, end: (tile + 1) * columns };
      const full = shape.intervals.some((_, k) => last[k]!.begin <= keys.begin && keys.end <= first[k]!.end);
      tiles.push({ tile, full });
    }
    limit = Math.min(limit, begin);
  }
  return tiles;
}

/** How many tiles `classifyTiles` lists, without the list: the cost of a work item. Tiles count from key `origin` on; keys before it do not count. */
export function countTiles(shape: MaskShape, firstRow: number, lastRow: number, columns: number, window: number, origin = 0): number {
  const first = keysOfRow(shape, firstRow, window);
  const last = keysOfRow(shape, lastRow, window);
  const from = (key: number): number => Math.max(0, key - origin);
  let count = 0;
  let limit = Infinity;
  for (let n = shape.intervals.length - 1; n >= 0; n -= 1) {
    const begin = Math.floor(from(first[n]!.begin) / columns);
    count += Math.max(0, Math.min(limit, Math.ceil(from(last[n]!.end) / columns)) - begin);
    limit = Math.min(limit, begin);
  }
  return count;
}
