import fc from 'fast-check';
import { expect, test } from 'vitest';
import { printCuda } from '../../src/emit/printCuda.ts';
import { add, constant, divide, evaluate, max, min, multiply } from '../../src/ir/affine.ts';
import { product, roundUp, subtract, variable, type Expression } from '../../src/ir/affine.ts';

const expressions: fc.Arbitrary<Expression> = fc.letrec<{ expression: Expression }>((tie) => {
  const small = fc.integer({ min: 0, max: 9 });
  const pair = (make: (left: Expression, right: Expression) => Expression): fc.Arbitrary<Expression> => fc.tuple(tie('expression'), tie('expression')).map(([left, right]) => make(left, right));
  return {
    expression: fc.oneof(
      { maxDepth: 5 },
      fc.oneof(small.map(constant), fc.constantFrom(variable('i'), variable('window'))),
      pair(add),
      pair(subtract),
      pair(min),
      pair(max),
      fc.tuple(tie('expression'), small).map(([operand, by]) => multiply(operand, by)),
      // Of lengths and positions: moa::ceilDivide is for operands that are not negative.
      fc.tuple(tie('expression'), fc.constantFrom(2, 64)).map(([operand, multiple]) => roundUp(max(operand, constant(0)), multiple)),
    ),
  };
}).expression;

/** What C++ makes of the text, for values that no operation of `int` overflows. */
function run(text: string, i: number, window: number): number {
  const moa = { minimum: Math.min, maximum: Math.max, ceilDivide: (a: number, b: number) => Math.trunc((a + b - 1) / b) };
  return (new Function('moa', 'i', 'window', `return ${text.replaceAll('::', '.')};`) as (...args: unknown[]) => number)(moa, i, window);
}

test('the text means the expression: + - * have one precedence in C++ and here', () => {
  fc.assert(
    fc.property(expressions, fc.integer({ min: 0, max: 300 }), fc.integer({ min: 1, max: 300 }), (expression, i, window) => {
      expect(run(printCuda(expression), i, window) + 0).toBe(evaluate(expression, { i, window }) + 0);
    }),
    { numRuns: 1000, seed: 7 },
  );
});

test.each([
  [subtract(add(variable('i'), constant(1)), variable('window')), 'i + 1 - window'],
  [subtract(variable('i'), subtract(constant(1), variable('window'))), 'i - (1 - window)'],
  [multiply(add(variable('i'), constant(1)), 2), '2 * (i + 1)'],
  [max(subtract(variable('i'), constant(1)), constant(0)), 'moa::maximum(i - 1, 0)'],
  [roundUp(variable('i'), 64), 'moa::ceilDivide(i, 64) * 64'],
])('%#: no more parentheses than a person would write', (expression, text) => {
  expect(printCuda(expression)).toBe(text);
});

test('what only the runtime evaluates is an internal error', () => {
  for (const expression of [divide(variable('N'), 64), product(variable('N'), variable('slots'))]) {
    expect(() => printCuda(expression)).toThrow(/internal error/);
  }
});
