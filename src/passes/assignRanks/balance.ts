/**
 * How uneven a layer is: the most loaded rank beside the mean, since ranks meet after each layer and wait for the slowest. Compared in this order: pages
 * at the worst length, pages at all lengths, then the same of prefill's tiles.
 */
import type { HeadCost } from './headCosts.ts';

/** A cost as one vector: pages at each length, then tiles at each length. */
export type CostVector = readonly number[];

export const costVector = ({ pages, tiles }: HeadCost): CostVector => [...pages, ...tiles];

/** Ratios of the most loaded rank and the mean, 1 where all are even: worst and sum for pages, worst and sum for tiles. */
export type Unevenness = readonly [number, number, number, number];

/** @param most of each dimension, the load of the rank that has most of it */
export function unevenness(most: ArrayLike<number>, totals: CostVector, ranks: number): Unevenness {
  const half = totals.length / 2;
  let [worstPages, pages, worstTiles, tiles] = [0, 0, 0, 0];
  for (let at = 0; at < half; at += 1) {
    const ofPages = (most[at]! * ranks) / totals[at]!;
    const ofTiles = (most[at + half]! * ranks) / totals[at + half]!;
    pages += ofPages;
    tiles += ofTiles;
    if (ofPages > worstPages) worstPages = ofPages;
    if (ofTiles > worstTiles) worstTiles = ofTiles;
  }
  return [worstPages, pages, worstTiles, tiles];
}

/** Below zero when `a` is more even. */
export function compareUnevenness(a: Unevenness, b: Unevenness): number {
  for (let at = 0; at < a.length; at += 1) if (a[at] !== b[at]) return a[at]! - b[at]!;
  return 0;
}
