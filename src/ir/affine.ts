/**
 * Integer expressions over named variables: the one form in which spans, page counts, mask bounds, sizes of buffers and
 * grids are stated. They are evaluated here, printed into CUDA by `emit/printCuda`, and packages carry them.
 */
import { assertNever } from '../util/invariant.ts';
import type { Rule, SpanLimits } from './rule.ts';

export type Expression =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'add'; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'subtract'; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'multiply'; readonly operand: Expression; readonly by: number }
  | { readonly kind: 'product'; readonly left: Expression; readonly right: Expression }
  /** `span(N)` of a rule, in tokens, before a window of the model's own cuts it: docs/plan-format.md. */
  | { readonly kind: 'span'; readonly rule: Rule; readonly limits: SpanLimits }
  /** Division without remainder. */
  | { readonly kind: 'divide'; readonly operand: Expression; readonly by: number }
  | { readonly kind: 'min'; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'max'; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'roundUp'; readonly operand: Expression; readonly multiple: number };

export const constant = (value: number): Expression => ({ kind: 'constant', value });
export const variable = (name: string): Expression => ({ kind: 'variable', name });
export const add = (left: Expression, right: Expression): Expression => ({ kind: 'add', left, right });
export const subtract = (left: Expression, right: Expression): Expression => ({ kind: 'subtract', left, right });
export const multiply = (operand: Expression, by: number): Expression => ({ kind: 'multiply', operand, by });
export const product = (left: Expression, right: Expression): Expression => ({ kind: 'product', left, right });
export const min = (left: Expression, right: Expression): Expression => ({ kind: 'min', left, right });
export const max = (left: Expression, right: Expression): Expression => ({ kind: 'max', left, right });
export const span = (rule: Rule, limits: SpanLimits): Expression => ({ kind: 'span', rule, limits });
export const divide = (operand: Expression, by: number): Expression => ({ kind: 'divide', operand, by });
export const roundUp = (operand: Expression, multiple: number): Expression => ({ kind: 'roundUp', operand, multiple });
export const ceilDivide = (operand: Expression, by: number): Expression => divide(roundUp(operand, by), by);

/** The length bound of a sequence, in tokens. */
export const lengthBound: Expression = variable('N');


/** The value of `expression`. Exact for all integers below 2^53; throws an internal error for an unbound variable. */
export function evaluate(expression: Expression, variables: Readonly<Record<string, number>>): number {
  switch (expression.kind) {
    case 'constant':
      return expression.value;
    case 'variable': {
      const value = variables[expression.name];
      if (value === undefined) throw new Error(`internal error: variable ${expression.name} has no value`);
      return value;
    }
    case 'add':
      return evaluate(expression.left, variables) + evaluate(expression.right, variables);
    case 'subtract':
      return evaluate(expression.left, variables) - evaluate(expression.right, variables);
    case 'multiply':
      return evaluate(expression.operand, variables) * expression.by;
    case 'product':
      return evaluate(expression.left, variables) * evaluate(expression.right, variables);
    case 'span':
      return spanOf(expression.rule, expression.limits, evaluate(lengthBound, variables), null);
    case 'divide': {
      const quotient = evaluate(expression.operand, variables) / expression.by;
      if (!Number.isInteger(quotient)) throw new Error(`internal error: ${printExpression(expression)} leaves a remainder`);
      return quotient;
    }
    case 'min':
      return Math.min(evaluate(expression.left, variables), evaluate(expression.right, variables));
    case 'max':
      return Math.max(evaluate(expression.left, variables), evaluate(expression.right, variables));
    case 'roundUp':
      return Math.ceil(evaluate(expression.operand, variables) / expression.multiple) * expression.multiple;
    default:
      return assertNever(expression);
  }
}

/**
 * The tokens that `rule` keeps of a sequence bounded by `bound` tokens, in a layer whose own sliding window in the model
 * is `modelWindow` (null: the layer attends everything): `roundUp(max(min(trunc(alpha + beta * bound), bound), minSpan),
 * page)`, cut at the model's window.
 */
export function spanOf(
  rule: Rule,
  limits: SpanLimits,
  bound: number,
  modelWindow: number | null,
): number {
  const kept = Math.max(Math.min(evaluateRule(rule, bound), bound), limits.minSpan);
  const whole = Math.ceil(kept / limits.page) * limits.page;
  return Math.min(whole, modelWindow ?? Infinity);
}

/** The tokens at the start that a layer always attends: none where the model itself does not, since it has a window. */
export function sinkOf(limits: SpanLimits, modelWindow: number | null): number {
  return typeof modelWindow === 'number' ? 0 : limits.sink;
}

/** The window in tokens: the span without the sink. Always at least 1, since `sink < minSpan`. */
export function windowOf(
  rule: Rule,
  limits: SpanLimits,
  bound: number,
  modelWindow: number | null,
): number {
  return spanOf(rule, limits, bound, modelWindow) - sinkOf(limits, modelWindow);
}

/** What a query head attends: the first `sink` tokens and the last `window` tokens. */
export interface EffectiveMask {
  readonly sink: number;
  readonly window: number;
}

/**
 * The mask of a head in a sequence bounded by `bound` tokens: the plan's and the model's together. Everything that masks,
 * counts or stores keys takes it from here or from the functions above.
 */
export function effectiveMask(
  rule: Rule,
  limits: SpanLimits,
  bound: number,
  modelWindow: number | null,
): EffectiveMask {
  return {
    sink: sinkOf(limits, modelWindow),
    window: windowOf(rule, limits, bound, modelWindow),
  };
}

/** Whether the model's own window keeps less of a sequence of `bound` tokens than the plan alone would. */
export function isCutByModel(
  rule: Rule,
  limits: SpanLimits,
  bound: number,
  modelWindow: number | null,
): boolean {
  return modelWindow !== null && modelWindow < Math.min(bound, spanOf(rule, limits, bound, null));
}

/** `spanOf` as a function of N. */
export function effectiveSpan(
  rule: Rule,
  limits: SpanLimits,
  modelWindow: number | null,
): Expression {
  const whole = span(rule, limits);
  // A constant is its own longest span.
  const longest = rule.numerator === 0 ? spanOf(rule, limits, Number.MAX_SAFE_INTEGER, null) : Infinity;
  return longest <= (modelWindow ?? Infinity) ? whole : min(whole, constant(modelWindow!));
}

/** `trunc(alpha + numerator * bound / denominator)`, exact. */
function evaluateRule({ alpha, numerator, denominator }: Rule, bound: number): number {
  const scaled = numerator * bound;
  const offset = alpha * denominator;
  if (Number.isSafeInteger(scaled) && Number.isSafeInteger(offset) && Number.isSafeInteger(scaled + offset)) {
    return Math.trunc((scaled + offset) / denominator);
  }
  return Number((BigInt(alpha) * BigInt(denominator) + BigInt(numerator) * BigInt(bound)) / BigInt(denominator));
}

/** One line of text; the form of IR dumps. */
export function printExpression(expression: Expression): string {
  switch (expression.kind) {
    case 'constant':
      return String(expression.value);
    case 'variable':
      return expression.name;
    case 'add':
      return `(${printExpression(expression.left)} + ${printExpression(expression.right)})`;
    case 'subtract':
      return `(${printExpression(expression.left)} - ${printExpression(expression.right)})`;
    case 'multiply':
      return expression.by === 1 ? printExpression(expression.operand) : `${expression.by}*${printExpression(expression.operand)}`;
    case 'product':
      return `${printExpression(expression.left)}*${printExpression(expression.right)}`;
    case 'span':
      return `span(${printRule(expression.rule)})`;
    case 'divide':
      return `${printExpression(expression.operand)}/${expression.by}`;
    case 'min':
      return `min(${printExpression(expression.left)}, ${printExpression(expression.right)})`;
    case 'max':
      return `max(${printExpression(expression.left)}, ${printExpression(expression.right)})`;
    case 'roundUp':
      return `roundUp(${printExpression(expression.operand)}, ${expression.multiple})`;
    default:
      return assertNever(expression);
  }
}

/** `-1024 + N`, `3072 + 3/8*N`, `1024`. */
export function printRule(rule: Rule): string {
  const { alpha, numerator, denominator } = rule;
  if (numerator === 0) return String(alpha);
  const fraction = denominator === 1 ? String(numerator) : `${numerator}/${denominator}`;
  const slope = fraction === '1' ? 'N' : `${fraction}*N`;
  return alpha === 0 ? slope : `${alpha} + ${slope}`;
}
