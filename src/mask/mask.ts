/**
 * A mask shape as data: for the query at position i, the keys it attends, as half-open intervals in rising order. Bounds are
 * expressions over `i` (the query's position) and `window` (the head's window in tokens), and never fall as i grows; so the keys of a block of rows
 * are the same intervals from its first row's beginnings to its last row's ends. Kernels get the bounds printed (`emit/printCuda`).
 */
import { evaluate, type Expression } from '../ir/affine.ts';

export interface MaskInterval {
  readonly begin: Expression;
  readonly end: Expression;
}

export interface MaskShape {
  readonly kind: 'mask';
  readonly name: string;
  /** One sentence, printed above the mask in kernels. */
  readonly description: string;
  readonly intervals: readonly MaskInterval[];
}

/** The masks of one kind, each made for a sink in tokens: layers of one plan may have different sinks. */
export type MaskFamily = (sink: number) => MaskShape;

/** Half-open range of key positions. */
export interface KeyRange {
  readonly begin: number;
  readonly end: number;
}

/** The keys that the query at position `i` attends under `shape`, in rising order; ranges may be empty. */
export function keysOfRow(shape: MaskShape, i: number, window: number): KeyRange[] {
  const variables = { i, window };
  return shape.intervals.map(({ begin, end }) => ({ begin: evaluate(begin, variables), end: evaluate(end, variables) }));
}

/** Whether the query at position `i` attends the key at position `j`. */
export function allows(shape: MaskShape, i: number, j: number, window: number): boolean {
  return keysOfRow(shape, i, window).some(({ begin, end }) => begin <= j && j < end);
}
