import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { solveDual } from '../../src/search/solve/dual.ts';
import { integerProgram, type IntegerProgram } from '../../src/search/solve/integerProgram.ts';
import type { Problem } from '../../src/search/solve/problem.ts';
import { reduceProblem, type ReducedSet } from '../../src/search/solve/reduce.ts';
import { randomOf } from '../random.ts';
import { arbitraryProblem, close, given, sums } from './tinyProblems.ts';

interface Sample {
  readonly problem: Problem;
  readonly reduced: readonly (readonly ReducedSet[])[];
  readonly seed: number;
}

const samples: fc.Arbitrary<Sample> = fc.record({ problem: arbitraryProblem({ layers: 3, heads: 4 }), margin: fc.constantFrom(0.01, 0.3, Infinity), seed: fc.nat(1e9) }).map(({ problem, margin, seed }) => ({ problem, reduced: reduceProblem(problem, solveDual(problem).multipliers, margin, Infinity)!, seed }));

/** A random solution that keeps to the rows, but for the limits, and the assignment that it means. */
function randomSolution({ problem, reduced, seed }: Sample): { columns: number[]; assignment: number[] } {
  const random = randomOf(seed);
  const columns: number[] = [];
  const assignment: number[] = [];
  for (const sets of reduced) {
    const chosen = Math.floor(random() * sets.length);
    sets.forEach(({ choice, changes }, index) => {
      columns.push(index === chosen ? 1 : 0);
      const heads = [...choice];
      const changed = new Set<number>();
      for (const { head, to } of changes) {
        const applies = index === chosen && !changed.has(head) && random() < 0.3;
        columns.push(applies ? 1 : 0);
        if (!applies) continue;
        changed.add(head);
        heads[head] = to;
      }
      if (index === chosen) assignment.push(...heads);
    });
  }
  expect(assignment).toHaveLength(problem.layers * problem.heads);
  return { columns, assignment };
}

function evaluate(program: IntegerProgram, solution: readonly number[]): { objective: number; rows: Float64Array } {
  const rows = new Float64Array(program.rows);
  let objective = program.offset;
  solution.forEach((amount, column) => {
    objective += amount * program.cost[column]!;
    for (let at = program.starts[column]!; at < program.starts[column + 1]!; at += 1) rows[program.indices[at]!]! += amount * program.values[at]!;
  });
  return { objective, rows };
}

describe('a solution', () => {
  test('has the objective and the uses of the assignment that it means', () => {
    fc.assert(
      fc.property(samples, (sample) => {
        const { problem, reduced } = sample;
        const { program, read } = integerProgram(problem, reduced);
        const { columns, assignment } = randomSolution(sample);
        expect(program.columns).toBe(columns.length);
        expect([program.cost.length, program.starts.length, program.rowLower.length, program.rowUpper.length]).toEqual([program.columns, program.columns + 1, program.rows, program.rows]);
        const meant = read(Float64Array.from(columns));
        expect([...meant]).toEqual(assignment);
        const { objective, rows } = evaluate(program, columns);
        const { value, use, rules } = sums(problem, meant);
        expect(close(objective * program.unit, value)).toBe(true);
        use.forEach((amount, k) => {
          const [row, { limit }] = [problem.layers + k, problem.resources[k]!];
          // In the program's unit, of which nothing is rounded.
          if (limit !== 0) expect(close(rows[row]!, (amount * program.rowUpper[row]!) / limit)).toBe(true);
          expect(program.rowUpper[row] === 0).toBe(limit === 0);
          if (limit > 0) expect(Math.abs(program.rowUpper[row]! - 2 ** 9)).toBeLessThan(2 ** 8);
          expect(program.rowLower[row]).toBe(-Infinity);
        });
        expect(Number.isInteger(Math.log2(program.unit))).toBe(true);
        if (problem.maxRules > 0) expect(rules).toBeLessThanOrEqual(problem.maxRules);
        for (let row = 0; row < program.rows; row += 1) {
          if (row >= problem.layers && row < problem.layers + use.length) continue;
          expect(rows[row]!).toBeGreaterThanOrEqual(program.rowLower[row]!);
          expect(rows[row]!).toBeLessThanOrEqual(program.rowUpper[row]!);
        }
      }),
      given(150),
    );
  });

  test('is rounded, never truncated', () => {
    fc.assert(
      fc.property(samples, (sample) => {
        const { read } = integerProgram(sample.problem, sample.reduced);
        const { columns, assignment } = randomSolution(sample);
        const random = randomOf(sample.seed + 1);
        const noise = [1e-9, -1e-9, 1e-7, -1e-7, 1e-3, -1e-3];
        const nearly = Float64Array.from(columns, (amount) => amount + noise[Math.floor(random() * noise.length)]!);
        expect([...read(nearly)]).toEqual(assignment);
        expect([...read(Float64Array.from(columns, (amount) => (amount === 1 ? 0.9999999 : 1e-9)))]).toEqual(assignment);
      }),
      given(100),
    );
  });

  test('is of a program that does not depend on units', () => {
    fc.assert(
      fc.property(arbitraryProblem({ layers: 3, heads: 4 }), fc.integer({ min: -30, max: 30 }), fc.integer({ min: -30, max: 30 }), (problem, values, costs) => {
        // No limit of nothing, for which costs are the measure.
        const plain = { ...problem, resources: problem.resources.map((resource) => ({ ...resource, limit: Math.max(resource.limit, 1) })) };
        const scaled = { ...plain, value: plain.value.map((one) => one * 2 ** values), resources: plain.resources.map(({ name, limit, cost }) => ({ name, limit: limit * 2 ** costs, cost: cost.map((one) => one * 2 ** costs) })) };
        const programOf = (of: Problem): IntegerProgram => integerProgram(of, reduceProblem(of, new Float64Array(of.resources.length), Infinity, Infinity)!).program;
        const { unit, ...program } = programOf(plain);
        expect(programOf(scaled)).toEqual({ ...program, unit: plain.value.every((one) => one === 0) ? 1 : unit * 2 ** values });
      }),
      given(60),
    );
  });

  test('that breaks the rows of heads or layers is outside of them', () => {
    const problem: Problem = { layers: 1, heads: 2, candidates: 3, value: Float64Array.of(1, 2, 2, 1, 3, 3), resources: [], maxRules: 3 };
    const { program } = integerProgram(problem, reduceProblem(problem, new Float64Array(), Infinity, Infinity)!);
    // One set of all candidates, and two other candidates for each of two heads.
    expect(program.columns).toBe(5);
    const breaks = (solution: readonly number[]): boolean => evaluate(program, solution).rows.some((amount, row) => amount < program.rowLower[row]! || amount > program.rowUpper[row]!);
    expect(breaks([1, 0, 0, 0, 0])).toBe(false);
    expect(breaks([1, 1, 0, 0, 1])).toBe(false);
    expect(breaks([1, 1, 1, 0, 0])).toBe(true);
    expect(breaks([0, 0, 0, 0, 0])).toBe(true);
    expect(breaks([0, 1, 0, 0, 0])).toBe(true);
  });
});
