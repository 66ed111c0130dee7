import type { Expression } from '../ir/affine.ts';
import type { MaskShape } from '../mask/mask.ts';
import { assertNever } from '../util/invariant.ts';

/** `expression` as a C++ expression over variables of the same names, in `int` arithmetic. */
export function printCuda(expression: Expression): string {
  switch (expression.kind) {
    case 'constant':
      return String(expression.value);
    case 'variable':
      return expression.name;
    case 'add':
      return `${printCuda(expression.left)} + ${operand(expression.right)}`;
    case 'subtract':
      return `${printCuda(expression.left)} - ${operand(expression.right)}`;
    case 'multiply':
      return `${expression.by} * ${operand(expression.operand)}`;
    case 'product':
    case 'span':
    case 'divide':
      throw new Error(`internal error: ${expression.kind} is evaluated by the runtime, not in kernels`);
    case 'min':
      return `moa::minimum(${printCuda(expression.left)}, ${printCuda(expression.right)})`;
    case 'max':
      return `moa::maximum(${printCuda(expression.left)}, ${printCuda(expression.right)})`;
    case 'roundUp':
      return `moa::ceilDivide(${printCuda(expression.operand)}, ${expression.multiple}) * ${expression.multiple}`;
    default:
      return assertNever(expression);
  }
}

/** A sum on the right of an operator needs parentheses; on the left of + and - it has none, which means the same in `int`. */
const operand = (expression: Expression): string =>
  expression.kind === 'add' || expression.kind === 'subtract' ? `(${printCuda(expression)})` : printCuda(expression);

/** What the mask partial needs. */
export interface MaskContext {
  readonly maskDescription: string;
  readonly maskIntervals: number;
  readonly maskBounds: readonly { readonly interval: number; readonly begin: string; readonly end: string }[];
}

export function maskContext(mask: MaskShape): MaskContext {
  return {
    maskDescription: mask.description,
    maskIntervals: mask.intervals.length,
    maskBounds: mask.intervals.map(({ begin, end }, interval) => ({ interval, begin: printCuda(begin), end: printCuda(end) })),
  };
}
