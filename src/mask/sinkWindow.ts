import { add, constant, max, min, subtract, variable } from '../ir/affine.ts';
import type { MaskShape } from './mask.ts';

/**
 * MoA's mask: the first `sink` tokens, and the `window` newest ones, the query's own included:
 * `j <= i && (j < sink || i - j < window)` (arXiv 2406.14909, section 3; DESIGN.md section 3).
 */
export function sinkWindow(sink: number): MaskShape {
  const i = variable('i');
  const next = add(i, constant(1));
  return {
    kind: 'mask',
    name: 'sinkWindow',
    description: `the first ${sink} tokens and the last \`window\` tokens, the query's own included`,
    intervals: [
      { begin: constant(0), end: min(next, constant(sink)) },
      { begin: max(subtract(next, variable('window')), constant(0)), end: next },
    ],
  };
}
