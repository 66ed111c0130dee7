import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { solveDual } from '../../src/search/solve/dual.ts';
import { priceAll } from '../../src/search/solve/pricing.ts';
import type { Problem } from '../../src/search/solve/problem.ts';
import { LinearProgram } from './highs.ts';
import { arbitraryProblem, arbitraryShape, bruteForce, choicesOf, close, given, problemOfShape } from './tinyProblems.ts';

/** Multipliers of 0 and of any size around `usual`. */
const factors = fc.array(fc.oneof(fc.constant(0), fc.double({ min: -6, max: 3, noNaN: true }).map(Math.exp)), { minLength: 4, maxLength: 4 });

describe('the bound', () => {
  test('is the best of all multipliers', () => {
    fc.assert(
      fc.property(arbitraryProblem({ layers: 3, heads: 4 }), fc.array(factors, { minLength: 5, maxLength: 5 }), (problem, shifts) => {
        const { multipliers, bound, feasible } = solveDual(problem);
        expect(multipliers.every((multiplier) => multiplier >= 0)).toBe(true);
        expect(priceAll(problem, multipliers).bound).toBe(bound);
        // Of what cannot be held, bounds rise without end.
        if (!feasible) return;
        const slack = 1e-9 * (Math.abs(bound) + magnitude(problem)) + 1e-12;
        for (const shift of shifts) {
          expect(priceAll(problem, multipliers.map((multiplier, k) => multiplier * shift[k]!)).bound).toBeLessThanOrEqual(bound + slack);
          expect(priceAll(problem, multipliers.map((multiplier, k) => multiplier + 0.1 * shift[k]!)).bound).toBeLessThanOrEqual(bound + slack);
        }
      }),
      given(200),
    );
  });

  test('at any multipliers is at most the optimum', () => {
    fc.assert(
      fc.property(arbitraryProblem(), factors, (problem, multipliers) => {
        const { value } = bruteForce(problem);
        expect(priceAll(problem, Float64Array.from(problem.resources, (_, k) => multipliers[k]!)).bound).toBeLessThanOrEqual(value * (1 + 1e-12) + 1e-12);
      }),
      given(200),
    );
  });

  test('is that of the linear program over all choices of all layers', () => {
    let impossible = 0;
    fc.assert(
      fc.property(arbitraryProblem({ layers: 3, heads: 4, candidates: 5 }), (problem) => {
        const { bound, feasible } = solveDual(problem);
        const optimum = overAllChoices(problem);
        if (!feasible) impossible += 1;
        expect(feasible).toBe(optimum < Infinity);
        if (feasible) expect(Math.abs(bound - optimum)).toBeLessThanOrEqual(1e-7 * Math.abs(optimum) + 1e-9 * magnitude(problem));
      }),
      given(120),
    );
    expect(impossible).toBeGreaterThan(0);
  });

  test('is no less than that of the strong formulation, and of spans mostly equal', () => {
    let [equal, all] = [0, 0];
    fc.assert(
      fc.property(arbitraryShape(), fc.integer({ min: 1, max: 3 }), (shape, maxRules) => {
        const resources = shape.resources.slice(0, 2).map(({ perHead }) => ({ perHead, tightness: 0.4 }));
        const problem = problemOfShape({ ...shape, layers: 3, heads: 4, candidates: 6, ordered: true, integers: 0, resources, maxRules });
        const { bound } = solveDual(problem);
        const strong = strongFormulation(problem);
        expect(bound).toBeGreaterThanOrEqual(strong * (1 - 1e-7));
        all += 1;
        if (close(bound, strong, 1e-7)) equal += 1;
      }),
      given(60),
    );
    expect(equal).toBeGreaterThan(0.9 * all);
  });
});

test('limits of 0 beside others', () => {
  // Of numbers of many sizes the master program lost its way once.
  const costs = [[0, 2, 0, 0, 3, 0], [1, 3, 0, 1, 0, 0, 3, 2, 2, 0, 1, 2, 0, 1, 0, 1, 1, 0], [2, 1, 2, 1, 2, 0], [2, 3, 1, 1, 3, 0, 0, 1, 0, 1, 1, 2, 1, 1, 2, 0, 2, 2]];
  const resources = [0, 4, 0, 1].map((limit, k) => ({ name: `resource ${k}`, limit, cost: Float64Array.from(costs[k]!) }));
  const problem: Problem = { layers: 1, heads: 3, candidates: 6, value: Float64Array.of(3, 1, 2, 0, 2, 0, 2, 0, 0, 1, 2, 1, 0, 2, 1, 3, 3, 3), resources, maxRules: 1 };
  expect(solveDual(problem).feasible).toBe(bruteForce(problem).value < Infinity);
});

test('a start from another problem changes the way, not the bound', () => {
  fc.assert(
    fc.property(arbitraryShape({ layers: 3, heads: 4 }), fc.double({ min: 0.5, max: 2, noNaN: true }), (shape, factor) => {
      const problem = problemOfShape(shape);
      const other = { ...problem, value: problem.value.map((value, i) => value * (i % 3 === 0 ? factor : 1)), resources: problem.resources.map((resource) => ({ ...resource, limit: resource.limit * factor })) };
      const before = solveDual(other);
      // Only what was solved leaves a start.
      fc.pre(before.feasible);
      const cold = solveDual(problem);
      const warm = solveDual(problem, { multipliers: before.multipliers, choices: before.master.parts.map(({ column: { layer, choice } }) => ({ layer, choice })) });
      expect(warm.feasible).toBe(cold.feasible);
      if (cold.feasible) expect(Math.abs(warm.bound - cold.bound)).toBeLessThanOrEqual(1e-8 * Math.abs(cold.bound) + 1e-9 * magnitude(problem));
    }),
    given(150),
  );
});

/** What bounds are rounded relative to: they are differences of such sums. */
const magnitude = ({ value, candidates }: Problem): number => value.reduce((sum, one) => sum + one, 0) / candidates + 1e-300;

function overAllChoices(problem: Problem): number {
  const program = new LinearProgram();
  const layers = Array.from({ length: problem.layers }, () => program.row(1, 1));
  const resources = problem.resources.map(({ limit }) => program.row(-Infinity, limit));
  layers.forEach((row, layer) => {
    for (const { value, use } of choicesOf(problem, layer)) program.column(value, [[row, 1], ...use.map((amount, k) => [resources[k]!, amount] as const)]);
  });
  return program.solve();
}

/** `x`: a head takes a candidate; `y`: its layer may. `sum x = 1, x <= y, sum y <= maxRules`. */
function strongFormulation(problem: Problem): number {
  const { heads, candidates, value, maxRules } = problem;
  const program = new LinearProgram();
  const resources = problem.resources.map(({ limit }) => program.row(-Infinity, limit));
  for (let layer = 0; layer < problem.layers; layer += 1) {
    const rules = program.row(-Infinity, maxRules);
    const chosen = Array.from({ length: heads }, () => program.row(1, 1));
    for (let candidate = 0; candidate < candidates; candidate += 1) {
      const links = chosen.map(() => program.row(-Infinity, 0));
      program.column(0, [[rules, 1], ...links.map((row) => [row, -1] as const)]);
      for (let head = 0; head < heads; head += 1) {
        const at = (layer * candidates + candidate) * heads + head;
        program.column(value[at]!, [[chosen[head]!, 1], [links[head]!, 1], ...problem.resources.map(({ cost }, k) => [resources[k]!, cost.length === candidates ? cost[candidate]! : cost[at]!] as const)]);
      }
    }
  }
  return program.solve();
}
