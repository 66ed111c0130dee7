import fc from 'fast-check';
import { expect, test } from 'vitest';
import { solveDual } from '../../src/search/solve/dual.ts';
import { priceAll } from '../../src/search/solve/pricing.ts';
import type { Problem } from '../../src/search/solve/problem.ts';
import { reduceProblem, type ReducedSet } from '../../src/search/solve/reduce.ts';
import { arbitraryProblem, bruteForce, choicesOf, given, visitAssignments } from './tinyProblems.ts';

/** Whether one of the sets holds the choice. */
const holds = (sets: readonly ReducedSet[], choice: Uint16Array): boolean => sets.some((set) => choice.every((to, head) => to === set.choice[head] || set.changes.some((change) => change.head === head && change.to === to)));

const sizeOf = (reduced: readonly (readonly ReducedSet[])[]): number => reduced.flat().reduce((sum, { changes }) => sum + 1 + changes.length, 0);

/** Checks that no assignment within the limits, of a value below bound + margin, is lost. */
function checkNothingLost(problem: Problem, multipliers: Float64Array, bound: number, margin: number): void {
  const reduced = reduceProblem(problem, multipliers, margin, Infinity)!;
  expect(reduced).toHaveLength(problem.layers);
  const known = new Map<Uint16Array, boolean>();
  visitAssignments(problem, (value, use, parts) => {
    if (value >= bound + margin || use.some((amount, k) => amount > problem.resources[k]!.limit)) return;
    parts.forEach(({ choice }, layer) => {
      if (!known.has(choice)) known.set(choice, holds(reduced[layer]!, choice));
      expect(known.get(choice)).toBe(true);
    });
  });
}

/** As parts of the size of values. */
const parts = fc.oneof(fc.constantFrom(0, 1e-9, Infinity), fc.integer({ min: 1, max: 100 }).map((percent) => percent / 100));
const marginOf = ({ value, candidates }: Problem, part: number): number => part * (value.reduce((sum, one) => sum + one, 0) / candidates + 1e-9);

test('no better assignment is lost, at the best multipliers and at others', () => {
  fc.assert(
    fc.property(arbitraryProblem(), parts, fc.array(fc.double({ min: 0, max: 3, noNaN: true }), { minLength: 4, maxLength: 4 }), (problem, part, others) => {
      const margin = marginOf(problem, part);
      const dual = solveDual(problem);
      const { value } = bruteForce(problem);
      if (dual.feasible) {
        checkNothingLost(problem, dual.multipliers, dual.bound, margin);
        // The best one itself, when the margin is just what it is above the bound.
        if (value < Infinity) checkNothingLost(problem, dual.multipliers, dual.bound, (value - dual.bound) * (1 + 1e-9) + 1e-12);
      }
      const multipliers = Float64Array.from(problem.resources, (_, k) => others[k]!);
      checkNothingLost(problem, multipliers, priceAll(problem, multipliers).bound, margin);
    }),
    given(120),
  );
});

test('sets are what they say', () => {
  fc.assert(
    fc.property(arbitraryProblem({ candidates: 4 }), parts, (problem, part) => {
      const margin = marginOf(problem, part);
      const { multipliers } = solveDual(problem);
      for (const [layer, sets] of reduceProblem(problem, multipliers, margin, Infinity)!.entries()) {
        expect(sets.length).toBeGreaterThan(0);
        const choices = choicesOf(problem, layer);
        for (const { layer: own, choice, value, use, changes } of sets) {
          expect(own).toBe(layer);
          const same = choices.find((one) => one.choice.join() === choice.join())!;
          expect(value).toBeCloseTo(same.value, 9);
          same.use.forEach((amount, k) => expect(use[k]!).toBeCloseTo(amount, 9));
          const used = new Set([...choice, ...changes.map(({ to }) => to)]);
          if (problem.maxRules > 0) expect(used.size).toBeLessThanOrEqual(problem.maxRules);
          expect(new Set(changes.map(({ head, to }) => `${head}:${to}`)).size).toBe(changes.length);
          expect(changes.every(({ head, to }) => to !== choice[head])).toBe(true);
          // What costs more than the margin above the layer's cheapest is out, a head's change too.
          const priceOf = (heads: readonly number[]): number => {
            const one = choices.find((known) => known.choice.join() === heads.join())!;
            return one.value + one.use.reduce((sum, amount, k) => sum + multipliers[k]! * amount, 0);
          };
          const least = Math.min(...choices.map((one) => priceOf([...one.choice])));
          const most = least + margin * (1 + 1e-6) + 1e-9 * (1 + Math.abs(least));
          expect(priceOf([...choice])).toBeLessThanOrEqual(most);
          for (const { head, to } of changes) expect(priceOf([...choice].with(head, to))).toBeLessThanOrEqual(most);
        }
      }
    }),
    given(200),
  );
});

test('a small margin leaves little, and too much is not begun', () => {
  let [little, everything] = [0, 0];
  fc.assert(
    fc.property(arbitraryProblem(), (problem) => {
      const { multipliers } = solveDual(problem);
      const [small, all] = [reduceProblem(problem, multipliers, 1e-3, Infinity)!, reduceProblem(problem, multipliers, Infinity, Infinity)!];
      little += sizeOf(small);
      everything += sizeOf(all);
      expect(sizeOf(small)).toBeLessThanOrEqual(sizeOf(all));
      expect(reduceProblem(problem, multipliers, Infinity, sizeOf(all))).toEqual(all);
      expect(reduceProblem(problem, multipliers, Infinity, sizeOf(all) - 1)).toBeUndefined();
      // With no end to the margin nothing is out.
      for (const [layer, sets] of all.entries()) for (const { choice } of choicesOf(problem, layer)) expect(holds(sets, choice)).toBe(true);
    }),
    given(60),
  );
  expect(little).toBeLessThan(0.5 * everything);
});
