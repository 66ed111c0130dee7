import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MasterProgram, type MasterSolution } from '../../src/search/solve/masterProgram.ts';
import type { Problem } from '../../src/search/solve/problem.ts';
import { randomOf } from '../random.ts';
import { LinearProgram } from './highs.ts';
import { arbitraryProblem, choicesOf, given, type LayerChoice } from './tinyProblems.ts';

const problems = arbitraryProblem({ layers: 4, heads: 3, candidates: 4 });
const magnitude = ({ value, candidates }: Problem): number => value.reduce((sum, one) => sum + one, 0) / candidates;

/** Some choices of each layer, at least one. */
const columnsOf = (problem: Problem, seed: number, share: number): LayerChoice[][] => {
  const random = randomOf(seed);
  return Array.from({ length: problem.layers }, (_, layer) => {
    const all = choicesOf(problem, layer);
    const some = all.filter(() => random() < share);
    return some.length > 0 ? some : [all[Math.floor(random() * all.length)]!];
  });
};

const programOf = (problem: Problem, columns: readonly (readonly LayerChoice[])[]): MasterProgram => {
  const program = new MasterProgram(problem, columns.map(([first]) => first!.choice));
  columns.forEach((choices, layer) => choices.forEach(({ choice }) => program.add(layer, choice)));
  return program;
};

/** What HiGHS makes of the same columns; Infinity when they cannot hold the limits. */
function leastOf(problem: Problem, columns: readonly (readonly LayerChoice[])[]): number {
  const program = new LinearProgram();
  const resources = problem.resources.map(({ limit }) => program.row(-Infinity, limit));
  for (const choices of columns) {
    const layer = program.row(1, 1);
    for (const { value, use } of choices) program.column(value, [[layer, 1], ...use.map((amount, k) => [resources[k]!, amount] as const)]);
  }
  return program.solve();
}

/** Penalties rise until no excess is left, as `solveDual` has it. */
function solveHard(program: MasterProgram): MasterSolution {
  let solution = program.solve();
  for (let raise = 0; raise < 8 && solution.excess > 1e-9; raise += 1) {
    program.raisePenalty();
    solution = program.solve();
  }
  return solution;
}

describe('a solution', () => {
  test('combines choices of each layer within the limits, and its prices prove that it is the best', () => {
    fc.assert(
      fc.property(problems, fc.nat(1e9), fc.double({ min: 0.05, max: 0.9, noNaN: true }), (problem, seed, share) => {
        const columns = columnsOf(problem, seed, share);
        const { value, multipliers, parts, excess } = solveHard(programOf(problem, columns));
        if (excess > 1e-9) return;
        const total = problem.resources.map(() => 0);
        const whole = columns.map(() => 0);
        let sum = 0;
        for (const { column, part } of parts) {
          expect(part).toBeGreaterThan(0);
          whole[column.layer]! += part;
          sum += part * column.value;
          column.use.forEach((amount, k) => (total[k]! += part * amount));
        }
        for (const one of whole) expect(one).toBeCloseTo(1, 8);
        problem.resources.forEach(({ limit }, k) => expect(total[k]!).toBeLessThanOrEqual(limit + 1e-7 * (1 + Math.abs(limit))));
        const slack = 1e-8 * (magnitude(problem) + Math.abs(value)) + 1e-12;
        expect(Math.abs(sum - value)).toBeLessThanOrEqual(slack);
        // Weak duality bounds every combination from below; that it meets the value proves both.
        let bound = -multipliers.reduce((paid, multiplier, k) => paid + multiplier * problem.resources[k]!.limit, 0);
        for (const choices of columns) bound += Math.min(...choices.map((choice) => choice.value + choice.use.reduce((paid, amount, k) => paid + multipliers[k]! * amount, 0)));
        const paid = multipliers.reduce((all, multiplier, k) => all + multiplier * Math.abs(problem.resources[k]!.limit), 0);
        expect(Math.abs(bound - value)).toBeLessThanOrEqual(slack + 1e-8 * paid);
      }),
      given(300),
    );
  });

  test('is that of HiGHS', () => {
    let impossible = 0;
    fc.assert(
      fc.property(problems, fc.nat(1e9), fc.double({ min: 0.05, max: 0.9, noNaN: true }), (problem, seed, share) => {
        const columns = columnsOf(problem, seed, share);
        const { value, excess } = solveHard(programOf(problem, columns));
        const expected = leastOf(problem, columns);
        if (expected === Infinity) impossible += 1;
        expect(excess <= 1e-9).toBe(expected < Infinity);
        if (expected < Infinity) expect(Math.abs(value - expected)).toBeLessThanOrEqual(1e-7 * (magnitude(problem) + 1e-9));
      }),
      given(150),
    );
    expect(impossible).toBeGreaterThan(0);
  });

  test('does not depend on what was solved before', () => {
    fc.assert(
      fc.property(problems, fc.nat(1e9), (problem, seed) => {
        const columns = columnsOf(problem, seed, 0.6);
        const grown = new MasterProgram(problem, columns.map(([first]) => first!.choice));
        columns.forEach((choices, layer) =>
          choices.forEach(({ choice }) => {
            grown.add(layer, choice);
            grown.solve();
          }),
        );
        const [one, other] = [grown.solve(), programOf(problem, columns).solve()];
        expect(Math.abs(one.value - other.value)).toBeLessThanOrEqual(1e-8 * (magnitude(problem) + Math.abs(other.value)) + 1e-12);
        expect(grown.columns).toHaveLength(columns.flat().length);
      }),
      given(100),
    );
  });
});

test('a choice is added once, with its totals', () => {
  const problem: Problem = { layers: 1, heads: 2, candidates: 2, value: Float64Array.of(1, 2, 4, 8), resources: [{ name: 'r', limit: 5, cost: Float64Array.of(1, 10) }], maxRules: 2 };
  const program = new MasterProgram(problem, [Uint16Array.of(0, 0)]);
  expect(program.add(0, Uint16Array.of(0, 0))).toBe(false);
  expect(program.add(0, Uint16Array.of(0, 1))).toBe(true);
  expect(program.columns).toEqual([
    { layer: 0, choice: Uint16Array.of(0, 0), value: 3, use: Float64Array.of(2) },
    { layer: 0, choice: Uint16Array.of(0, 1), value: 9, use: Float64Array.of(11) },
  ]);
});

test.each([0, -1])('a limit of %d that cannot be held leaves excess', (limit) => {
  const problem: Problem = { layers: 2, heads: 1, candidates: 2, value: Float64Array.of(1, 2, 1, 2), resources: [{ name: 'r', limit, cost: Float64Array.of(1, 2) }], maxRules: 1 };
  const solution = solveHard(new MasterProgram(problem, [Uint16Array.of(0), Uint16Array.of(1)]));
  expect(solution.excess).toBeGreaterThan(1e-9);
});
