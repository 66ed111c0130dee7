import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as affine from '../../src/ir/affine.ts';
import type { Expression } from '../../src/ir/affine.ts';
import { parseRule } from './readHeadModule.ts';

const { add, ceilDivide, constant, divide, evaluate, lengthBound, max, min } = affine;
const { multiply, printExpression, product, roundUp, span, subtract, variable } = affine;
const limits = { sink: 64, minSpan: 128, page: 64 };

test.each<[Expression, string, number]>([
  [constant(-3), '-3', -3],
  [lengthBound, 'N', 1000],
  [add(variable('i'), constant(1)), '(i + 1)', 8],
  [subtract(constant(1), variable('i')), '(1 - i)', -6],
  [multiply(variable('i'), 3), '3*i', 21],
  [multiply(variable('i'), 1), 'i', 7],
  [product(variable('i'), add(variable('N'), constant(1))), 'i*(N + 1)', 7007],
  [ceilDivide(variable('N'), 64), 'roundUp(N, 64)/64', 16],
  [min(variable('i'), constant(4)), 'min(i, 4)', 4],
  [max(variable('i'), constant(4)), 'max(i, 4)', 7],
  [roundUp(variable('i'), 64), 'roundUp(i, 64)', 64],
  [roundUp(constant(128), 64), 'roundUp(128, 64)', 128],
  [divide(roundUp(variable('i'), 64), 64), 'roundUp(i, 64)/64', 1],
  [span(parseRule('1/2*N'), limits), 'span(1/2*N)', 512],
  [span(parseRule('-900 + N'), limits), 'span(-900 + N)', 128],
])('%# %j', (expression, text, value) => {
  expect(printExpression(expression)).toBe(text);
  expect(evaluate(expression, { N: 1000, i: 7 })).toBe(value);
});

test('an unbound variable, and a division with a remainder, are internal errors', () => {
  expect(() => evaluate(variable('j'), { i: 1 })).toThrow('internal error: variable j has no value');
  expect(() => evaluate(divide(constant(65), 64), {})).toThrow('internal error: 65/64 leaves a remainder');
});

test('roundUp gives the least multiple that is not below', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 40 }), fc.integer({ min: 1, max: 4096 }), (value, multiple) => {
      const rounded = evaluate(roundUp(constant(value), multiple), {});
      expect(rounded % multiple).toBe(0);
      expect(rounded - value).toBeGreaterThanOrEqual(0);
      expect(rounded - value).toBeLessThan(multiple);
    }),
  );
});
