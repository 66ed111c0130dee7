import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { spanOf } from '../../src/ir/affine.ts';
import { candidateGrid, type Grid } from '../../src/search/candidates.ts';
import { given } from './tinyProblems.ts';

const limits = { sink: 64, page: 64, minSpan: 128 };
const moa: Grid = { profiled: [2048, 4096, 8192], lengths: [2048, 4096, 8192, 16384], limits };

/** MoA's grid by its own words (scripts/pipeline/elastic_generate.py): alpha and beta of each valid rule. */
function validRules({ profiled, lengths, alphaStep, betas = 9 }: Grid): [number, number][] {
  const [shortest, longest, longestProfiled] = [Math.min(...lengths), Math.max(...lengths), Math.max(...profiled)];
  const step = alphaStep ?? longestProfiled / 8;
  const valid: [number, number][] = [];
  for (let n = -1000; n <= 1000; n += 1) {
    const alpha = n * step;
    if (alpha < -shortest || alpha > longestProfiled) continue;
    for (let i = 0; i < betas; i += 1) {
      const beta = i / Math.max(betas - 1, 1);
      if (alpha + beta * longestProfiled <= longestProfiled && alpha + beta * longest <= longest && alpha + beta * shortest > 0) valid.push([alpha, beta]);
    }
  }
  return valid;
}

const spansOf = ({ lengths }: Grid, alpha: number, beta: number): string => lengths.map((length) => Math.ceil(Math.max(Math.min(Math.trunc(alpha + beta * length), length), 128) / 64) * 64).join();

function check(grid: Grid): number {
  const rules = candidateGrid(grid);
  const valid = validRules(grid);
  const spans = rules.map((rule) => grid.lengths.map((length) => spanOf(rule, grid.limits, length, null)));
  // Each valid rule is there, or one with the same spans; and nothing else.
  expect(new Set(spans.map((row) => row.join()))).toEqual(new Set(valid.map(([alpha, beta]) => spansOf(grid, alpha, beta))));
  expect(new Set(spans.map((row) => row.join())).size).toBe(rules.length);
  for (const { alpha, numerator, denominator } of rules) expect(valid.some(([a, b]) => Math.trunc(a) === alpha && b === numerator / denominator)).toBe(true);
  for (const row of spans) {
    row.forEach((span, n) => {
      expect(span % 64).toBe(0);
      expect(span).toBeGreaterThanOrEqual(128);
      expect(span).toBeLessThanOrEqual(grid.lengths[n]!);
    });
  }
  const fromLongest = spans.map((row) => row.toReversed());
  for (let i = 1; i < fromLongest.length; i += 1) {
    const differs = fromLongest[i]!.findIndex((span, n) => span !== fromLongest[i - 1]![n]);
    expect(fromLongest[i]![differs]!).toBeGreaterThan(fromLongest[i - 1]![differs]!);
  }
  return rules.length;
}

describe("MoA's grid", () => {
  test.each([
    ['as it is', moa, 48],
    ['finer alphas', { ...moa, alphaStep: 512 }, 92],
    ['finer betas', { ...moa, betas: 17 }, 88],
  ] as const)('%s', (_, grid, count) => {
    expect(validRules(grid)).toHaveLength(count);
    expect(check(grid)).toBe(count);
  });

  test('at the profiled lengths alone, many are one', () => {
    expect(check({ ...moa, lengths: moa.profiled })).toBeLessThan(validRules({ ...moa, lengths: moa.profiled }).length);
  });

  test('holds a dense rule and the shortest', () => {
    const spans = candidateGrid(moa).map((rule) => moa.lengths.map((length) => spanOf(rule, limits, length, null)));
    expect(spans.at(-1)).toEqual(moa.lengths);
    expect(spans[0]).toEqual([1024, 1024, 1024, 1024]);
  });
});

test('any lengths', () => {
  const lengths = fc.uniqueArray(fc.integer({ min: 2, max: 200 }), { minLength: 1, maxLength: 4 }).map((pages) => pages.sort((a, b) => a - b).map((count) => 64 * count));
  const grids = fc.record({ lengths, profiledOf: fc.integer({ min: 1, max: 4 }), step: fc.option(fc.integer({ min: 1, max: 40 }).map((n) => 64 * n)), betas: fc.option(fc.integer({ min: 1, max: 20 })) });
  fc.assert(
    fc.property(grids, ({ lengths: all, profiledOf, step, betas }) => {
      const profiled = all.slice(0, profiledOf);
      check({ profiled, lengths: all, limits, alphaStep: step ?? Math.max(64, profiled.at(-1)! / 8), ...(betas === null ? {} : { betas }) });
    }),
    given(100),
  );
});
