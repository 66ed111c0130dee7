/** Pairs (query, key) over the query heads of a layer: the unit of work. A pair takes `4 * headDim` floating-point operations. */
import { activePairs } from 'moa-compile/runtime';
import type { Scenario } from './scenarios.ts';

/** What the mask allows the new tokens of `scenario`, over heads with these windows. */
export function allowedPairs({ lengths, held }: Scenario, windows: ArrayLike<number>, sink: number): number {
  const until = (length: number): number => Array.from(windows).reduce((pairs, window) => pairs + activePairs(length, window, sink), 0);
  const before = held === 0 ? 0 : until(held);
  const known = new Map<number, number>();
  return lengths.reduce((sum, length) => {
    let pairs = known.get(length);
    if (pairs === undefined) known.set(length, (pairs = until(held + length) - before));
    return sum + pairs;
  }, 0);
}

/** TFLOP/s of so many pairs in `ms`. */
export const tflops = (pairs: number, headDim: number, ms: number): number => (4 * headDim * pairs) / ms / 1e9;
