/** `spanOf` against docs/plan-format.md: a table, exact arithmetic, and the plain formula in floats for the plans at hand. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { effectiveMask, effectiveSpan, evaluate, isCutByModel, sinkOf, spanOf, windowOf } from '../../src/ir/affine.ts';
import { compareRules, type Rule, type SpanLimits } from '../../src/ir/rule.ts';
import { ruleOf } from '../../src/plan/spanRule.ts';
import { arbitraryBound, arbitraryLimits, arbitraryRule } from '../passes/arbitraryModule.ts';
import { parseRule } from './readHeadModule.ts';

const limits: SpanLimits = { sink: 64, minSpan: 128, page: 64 };

test.each([
  // rule, N, span
  ['N', 1, 128],
  ['N', 128, 128],
  ['N', 129, 192],
  ['N', 4096, 4096],
  ['1/8*N', 1024, 128],
  ['1/8*N', 1031, 128],
  ['1/8*N', 1032, 192],
  ['1/8*N', 4096, 512],
  ['-1024 + N', 1000, 128],
  ['-1024 + N', 1152, 128],
  ['-1024 + N', 1153, 192],
  ['-1024 + N', 4096, 3072],
  ['3072 + 3/8*N', 4000, 4032],
  ['3072 + 3/8*N', 4096, 4096],
  ['3072 + 3/8*N', 8192, 6144],
  ['3072 + 3/8*N', 4916, 4928],
  ['256', 100, 128],
  ['256', 200, 256],
  ['256', 10000, 256],
  ['-5', 10000, 128],
  ['129', 10000, 192],
  ['1/3*N', 388, 192],
  ['1/3*N', 386, 128],
  ['16777216 + N', 64, 128],
])('span(%s) at N = %i is %i', (rule, N, span) => {
  expect(spanOf(parseRule(rule), limits, N, null)).toBe(span);
  expect(windowOf(parseRule(rule), limits, N, null)).toBe(span - 64);
});

test.each([
  // rule, the model's window, N, window without a sink, whether the model's is the smaller one
  ['384', 128, 1024, 128, true],
  ['320', 128, 1024, 128, true],
  ['384', 4096, 1024, 384, false],
  ['N', 128, 1024, 128, true],
  ['N', 128, 128, 128, false],
  ['N', 128, 129, 128, true],
  ['N', 192, 129, 192, false],
  ['N', 64, 10, 64, false],
  ['128', 64, 1024, 64, true],
  ['1/8*N', 256, 2048, 256, false],
  ['1/8*N', 256, 2056, 256, true],
  ['1/8*N', 256, 1024, 128, false],
  ['-1024 + N', 512, 1100, 128, false],
])('within a window of the model: %s, %i at N = %i', (text, modelWindow, N, window, cut) => {
  const rule = parseRule(text);
  expect(effectiveMask(rule, limits, N, modelWindow)).toEqual({ sink: 0, window });
  expect(spanOf(rule, limits, N, modelWindow)).toBe(window);
  expect(windowOf(rule, limits, N, modelWindow)).toBe(window);
  expect(evaluate(effectiveSpan(rule, limits, modelWindow), { N })).toBe(window);
  expect(isCutByModel(rule, limits, N, modelWindow)).toBe(cut);
  expect(isCutByModel(rule, limits, N, null)).toBe(false);
  expect([sinkOf(limits, modelWindow), sinkOf(limits, null)]).toEqual([0, 64]);
});

/** The same in arbitrary precision. */
function exactSpan({ alpha, numerator, denominator }: Rule, { minSpan, page }: SpanLimits, bound: number): bigint {
  const [N, floor, unit] = [BigInt(bound), BigInt(minSpan), BigInt(page)];
  let kept = (BigInt(alpha) * BigInt(denominator) + BigInt(numerator) * N) / BigInt(denominator);
  if (kept > N) kept = N;
  if (kept < floor) kept = floor;
  return ((kept + unit - 1n) / unit) * unit;
}

describe('exactness', () => {
  test('spanOf is exact for numbers of any size', () => {
    const bound = fc.oneof(arbitraryBound, fc.integer({ min: 1, max: 2 ** 48 }));
    fc.assert(fc.property(arbitraryRule, arbitraryLimits, bound, (rule, some, N) => void expect(BigInt(spanOf(rule, some, N))).toBe(exactSpan(rule, some, N))), { numRuns: 3000 });
  });

  test('spanOf is exact where the sum is just below, at and above an integer, up to the largest safe one', () => {
    // numerator * N = k * denominator + rest with rest -1, 0, 1: the quotient is as near to k as it can be.
    const denominator = 2 ** 23 - 15;
    for (const numerator of [1, 3, denominator - 1]) {
      for (const k of [128, 2 ** 20, 2 ** 28, 2 ** 29 + 63]) {
        for (const step of [-1, 0, 1]) {
          const N = Math.floor((k * denominator) / numerator) + step;
          const rule: Rule = { kind: 'rule', alpha: 0, numerator, denominator };
          expect(BigInt(spanOf(rule, limits, N)), `${numerator} * ${N}`).toBe(exactSpan(rule, limits, N));
        }
      }
    }
  });

  test('spans never fall as N grows, and are whole pages of at least minSpan', () => {
    fc.assert(
      fc.property(arbitraryRule, arbitraryLimits, arbitraryBound, fc.nat(200), (rule, some, N, more) => {
        const span = spanOf(rule, some, N);
        expect(spanOf(rule, some, N + more)).toBeGreaterThanOrEqual(span);
        expect(span % some.page).toBe(0);
        expect(span).toBeGreaterThanOrEqual(some.minSpan);
        expect(span).toBeLessThanOrEqual(Math.max(Math.ceil(N / some.page) * some.page, some.minSpan));
        expect(windowOf(rule, some, N)).toBeGreaterThanOrEqual(1);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('compareRules', () => {
  test('is zero only for equal rules, also for slopes that are one number in floats', () => {
    const steep = (denominator: number): Rule => ({ kind: 'rule', alpha: 0, numerator: denominator - 1, denominator });
    const [a, b] = [steep(2 ** 30), steep(2 ** 30 - 1)];
    expect(a.numerator / a.denominator).toBe(b.numerator / b.denominator);
    expect(compareRules(a, b)).toBeLessThan(0);
    expect(compareRules(b, a)).toBeGreaterThan(0);
  });

  test('is a total order', () => {
    fc.assert(
      fc.property(arbitraryRule, arbitraryRule, arbitraryRule, (a, b, c) => {
        expect(Math.sign(compareRules(a, b))).toBe(0 - Math.sign(compareRules(b, a)));
        expect(compareRules(a, b) === 0).toBe(JSON.stringify(a) === JSON.stringify(b));
        if (compareRules(a, b) <= 0 && compareRules(b, c) <= 0) expect(compareRules(a, c)).toBeLessThanOrEqual(0);
      }),
      { numRuns: 2000 },
    );
  });
});

/** `docs/plan-format.md` as one would write it in floats; exact for plans whose betas are eighths. */
const inFloats = (alpha: number, beta: number, N: number): number => Math.ceil(Math.max(Math.min(Math.trunc(alpha + beta * N), N), 128) / 64) * 64;

describe.each(['lmsys--vicuna-7b-v1.5-16k', 'gradientai--Llama-3-8B-Instruct-262k', 'meta-llama--Llama-3.2-1B-Instruct'])('the plan %s', (name) => {
  const path = fileURLToPath(new URL(`../../../shared/plans/${name}.json`, import.meta.url));

  test.skipIf(!existsSync(path))('has the spans of the formula in floats, for N up to 4096 and samples up to a million', () => {
    const { alphas, betas } = JSON.parse(readFileSync(path, 'utf8')) as { alphas: number[][]; betas: number[][] };
    const pairs = new Map(alphas.flatMap((row, layer) => row.map((alpha, head) => [`${alpha} ${betas[layer]![head]!}`, [alpha, betas[layer]![head]!] as const])));
    const bounds = [...Array.from({ length: 4096 }, (_, index) => index + 1), ...Array.from({ length: 2000 }, (_, index) => 4096 + index * 499), 131072, 262144, 999_999, 1_000_000];
    for (const [alpha, beta] of pairs.values()) {
      const rule = ruleOf(alpha, beta);
      const wrong = bounds.filter((N) => spanOf(rule, limits, N) !== inFloats(alpha, beta, N));
      expect(wrong, `alpha ${alpha}, beta ${beta}`).toEqual([]);
    }
  });
});
