import { add, constant, max, min, subtract, variable } from '../ir/affine.ts';
import type { MaskShape } from './mask.ts';

/**
 * MoA's mask: the first `sink` tokens, and the `window` newest ones, the query's own included:
 * `j <= i && (j < sink || i - j < window)` (arXiv 2406.14909, section 3; docs/plan-format.md).
 */
export function sinkWindow(sink: number): MaskShape {
  const i = variable('i');
  const next = add(i, constant(1));
  return {
    kind: 'mask',
    name: 'sinkWindow',
    description: `${sink === 0 ? '' : `the first ${sink} tokens and `}the last \`window\` tokens, the query's own included`,
    intervals: [
      { begin: constant(0), end: min(next, constant(sink)) },
      { begin: max(subtract(next, variable('window')), constant(0)), end: next },
    ],
  };
}

/** Pairs (query, key) that the mask allows in a sequence of `length` tokens. */
export function activePairs(length: number, window: number, sink: number): number {
  return triangle(length, window) + triangle(length - window, sink);
}

/** The sum of `min(limit, i)` for i from 1 to `count`. */
function triangle(count: number, limit: number): number {
  if (count <= 0) return 0;
  const rising = Math.min(count, limit);
  return (rising * (rising + 1)) / 2 + (count - rising) * limit;
}
