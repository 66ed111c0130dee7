import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Problem } from '../../src/search/solve/problem.ts';
import { DEFAULT_EXACT, solve, type SolveResult } from '../../src/search/solve/solve.ts';
import { arbitraryProblem, bruteForce, close, given, problemOfShape, sums, withRoom } from './tinyProblems.ts';

type Solved = Extract<SolveResult, { kind: 'solved' }>;

const exactly = { gap: 0, exact: DEFAULT_EXACT } as const;

/** What a result says of itself is so. */
function checkSolved(problem: Problem, result: Solved): void {
  const { value, use, rules } = sums(problem, result.incumbent.assignment);
  expect(close(result.incumbent.value, value)).toBe(true);
  problem.resources.forEach(({ limit }, k) => expect(use[k]!).toBeLessThanOrEqual(withRoom(limit)));
  if (problem.maxRules > 0) expect(rules).toBeLessThanOrEqual(problem.maxRules);
  expect(result.bound).toBeLessThanOrEqual(result.incumbent.value);
  expect(result.lagrangianBound).toBeLessThanOrEqual(result.bound + 1e-9 * Math.abs(result.bound) + 1e-12);
  expect(result.multipliers.every((multiplier) => multiplier >= 0)).toBe(true);
  expect(result.gap).toBeCloseTo(result.incumbent.value === 0 ? 0 : (result.incumbent.value - result.bound) / result.incumbent.value, 12);
}

describe('every assignment tried', () => {
  test('exactly: the optimum, or that there is none', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(arbitraryProblem(), arbitraryProblem({ layers: 5, heads: 2, candidates: 4, resources: 3 })), async (problem) => {
        const optimum = bruteForce(problem);
        const result = await solve(problem, exactly);
        if (result.kind === 'infeasible') {
          expect(optimum.value).toBe(Infinity);
          expect(result.proven).toBe(true);
          return;
        }
        expect(optimum.atLeast).toBeLessThan(Infinity);
        checkSolved(problem, result);
        expect(result.failure).toBeUndefined();
        expect(result.incumbent.value).toBeLessThanOrEqual(optimum.value * (1 + 1e-9) + 1e-12);
        expect(result.incumbent.value).toBeGreaterThanOrEqual(optimum.atLeast * (1 - 1e-9) - 1e-12);
        expect(result.bound).toBeLessThanOrEqual(optimum.value * (1 + 1e-8) + 1e-12);
      }),
      given(60),
    );
  });

  test('by exchanges: bound <= optimum <= value', async () => {
    let answered = 0;
    let possible = 0;
    await fc.assert(
      fc.asyncProperty(arbitraryProblem(), async (problem) => {
        const optimum = bruteForce(problem);
        const result = await solve(problem, { gap: 0 });
        if (optimum.value < Infinity) possible += 1;
        if (result.kind === 'infeasible') {
          if (result.proven) expect(optimum.value).toBe(Infinity);
          return;
        }
        answered += 1;
        checkSolved(problem, result);
        expect(result.incumbent.value).toBeGreaterThanOrEqual(optimum.atLeast * (1 - 1e-9) - 1e-12);
        expect(result.bound).toBeLessThanOrEqual(optimum.value * (1 + 1e-9) + 1e-12);
      }),
      given(400),
    );
    // Limits here are so tight that exchanges may well find nothing; mostly they do.
    expect(answered).toBeGreaterThan(0.9 * possible);
  });
});

/** With enough heads that exchanges leave a gap. */
const larger = (seed: number): Problem =>
  problemOfShape({ layers: 6, heads: 6, candidates: 8, maxRules: 2, ordered: true, integers: 0, resources: [{ perHead: false, tightness: 0.4 }, { perHead: true, tightness: 0.4 }], seed });

test('a unit of costs does not matter', async () => {
  // Limits far below 1: room for rounding is relative to them.
  const problem = larger(1);
  const [plain, small] = await Promise.all([1, 2 ** -30].map(async (unit) => solved(await solve({ ...problem, resources: problem.resources.map((resource) => ({ ...resource, limit: resource.limit * unit, cost: resource.cost.map((one) => one * unit) })) }, { gap: 1e-6, exact: DEFAULT_EXACT }))));
  expect(small!.incumbent).toEqual(plain!.incumbent);
  expect(small!.incumbent.value).toBeGreaterThan(small!.lagrangianBound);
});

describe('the exact step', () => {
  test('closes the gap that exchanges leave', async () => {
    const quick = solved(await solve(larger(1), { gap: 0 }));
    const exact = solved(await solve(larger(1), { gap: 1e-6, exact: DEFAULT_EXACT }));
    checkSolved(larger(1), exact);
    expect(quick.gap).toBeGreaterThan(1e-4);
    expect(exact.gap).toBeLessThanOrEqual(1e-6);
    expect(exact.lagrangianBound).toBe(quick.lagrangianBound);
    expect(exact.incumbent.value).toBeLessThanOrEqual(quick.incumbent.value);
    expect(exact.incumbent.value).toBeGreaterThanOrEqual(quick.bound);
  });

  test('two runs give the same', async () => {
    for (const options of [{ gap: 0 }, { gap: 1e-3, exact: DEFAULT_EXACT }]) expect(await solve(larger(1), options)).toEqual(await solve(larger(1), options));
  });

  test('that HiGHS does not take keeps the answer of the exchanges, and says so', async () => {
    // Numbers of a matrix from 1e15 on are refused: here those of a candidate that no head may take.
    const problem = larger(1);
    const refused: Problem = { ...problem, resources: [...problem.resources, { name: 'too large', limit: 1, cost: Float64Array.from({ length: problem.candidates }, (_, candidate) => (candidate === 0 ? 1e20 : 0)) }] };
    const quick = solved(await solve(refused, { gap: 0 }));
    const { failure, ...rest } = solved(await solve(refused, { gap: 0, exact: DEFAULT_EXACT }));
    expect(failure).toContain('HiGHS status -1');
    expect(rest).toEqual(quick);
  });

  test('that is too large keeps the answer of the exchanges', async () => {
    const quick = solved(await solve(larger(1), { gap: 0 }));
    expect(await solve(larger(1), { gap: 0, exact: { ...DEFAULT_EXACT, maxChanges: 1 } })).toEqual(quick);
  });

  test('that may look at few nodes is right all the same', async () => {
    const few = solved(await solve(larger(2), { gap: 0, exact: { ...DEFAULT_EXACT, maxNodes: 1 } }));
    const all = solved(await solve(larger(2), { gap: 1e-5, exact: DEFAULT_EXACT }));
    checkSolved(larger(2), few);
    expect(few.gap).toBeGreaterThan(1e-5);
    expect(few.bound).toBeLessThanOrEqual(all.incumbent.value * (1 + 1e-9));
    expect(few.incumbent.value).toBeGreaterThanOrEqual(all.bound * (1 - 1e-9));
  });
});

test('signals and timers are served between two problems', async () => {
  let turns = 0;
  let next: NodeJS.Immediate;
  const count = (): void => {
    turns += 1;
    next = setImmediate(count);
  };
  count();
  for (let problem = 0; problem < 5; problem += 1) await solve(larger(1), { gap: 1 });
  clearImmediate(next!);
  expect(turns).toBeGreaterThanOrEqual(5);
});

test('without resources each head takes its best', async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryProblem(), async (problem) => {
      const free = { ...problem, resources: [] };
      const result = solved(await solve(free, exactly));
      checkSolved(free, result);
      expect(close(result.incumbent.value, bruteForce(free).value)).toBe(true);
      expect(result.gap).toBeLessThan(1e-12);
    }),
    given(100),
  );
});

test.each([
  ['a negative value', { value: Float64Array.of(-1, 0) }],
  ['a value that is not a number', { value: Float64Array.of(Number.NaN, 0) }],
  ['too few values', { value: Float64Array.of(1) }],
  ['four rules', { maxRules: 4 }],
  ['an endless limit', { resources: [{ name: 'r', limit: Infinity, cost: Float64Array.of(1, 2) }] }],
  ['too few costs', { resources: [{ name: 'r', limit: 1, cost: Float64Array.of(1) }] }],
])('%s is no problem', async (_, change: Partial<Problem>) => {
  await expect(solve({ layers: 1, heads: 1, candidates: 2, value: Float64Array.of(1, 0), resources: [], maxRules: 0, ...change }, { gap: 0 })).rejects.toThrow('internal error');
});

function solved(result: SolveResult): Solved {
  if (result.kind !== 'solved') throw new Error('there is an assignment');
  return result;
}
