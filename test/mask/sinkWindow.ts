/** The mask as docs/plan-format.md states it, for tests: `j <= i && (j < sink || i - j < window)`. */
export const attends = (sink: number, window: number, i: number, j: number): boolean => j >= 0 && j <= i && (j < sink || i - j < window);

export interface BruteTile {
  readonly tile: number;
  /** Whether every row attends every key of it. */
  readonly full: boolean;
}

/** The tiles that hold an allowed pair, from the last to the first, found by looking at every pair. */
export function bruteTiles(sink: number, window: number, firstRow: number, lastRow: number, columns: number): BruteTile[] {
  const tiles: BruteTile[] = [];
  for (let tile = Math.floor(lastRow / columns); tile >= 0; tile -= 1) {
    let allowed = 0;
    for (let i = firstRow; i <= lastRow; i += 1) {
      for (let j = tile * columns; j < (tile + 1) * columns; j += 1) allowed += attends(sink, window, i, j) ? 1 : 0;
    }
    if (allowed > 0) tiles.push({ tile, full: allowed === (lastRow - firstRow + 1) * columns });
  }
  return tiles;
}
