import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cheapestSet, cheapestSets, chooseWithin, layerPrices, priceAll, visitSets } from '../../src/search/solve/pricing.ts';
import type { Problem } from '../../src/search/solve/problem.ts';
import { arbitraryProblem, choicesOf, close, given } from './tinyProblems.ts';

/** All sets of `size` numbers below `count`, in order. */
function setsOf(count: number, size: number, from = 0): number[][] {
  if (size === 0) return [[]];
  return Array.from({ length: Math.max(0, count - from) }, (_, i) => from + i).flatMap((first) => setsOf(count, size - 1, first + 1).map((rest) => [first, ...rest]));
}

/** Of the largest size that is allowed: smaller ones cost no less. */
const allSets = ({ candidates, maxRules }: Problem): number[][] => setsOf(candidates, maxRules === 0 ? candidates : Math.min(maxRules, candidates));

const priceOf = ({ heads }: Problem, prices: Float64Array, set: readonly number[]): number => {
  let sum = 0;
  for (let head = 0; head < heads; head += 1) sum += Math.min(...set.map((candidate) => prices[candidate * heads + head]!));
  return sum;
};

// More than 8 heads: sums are cut short after each 8.
const problems = arbitraryProblem({ layers: 2, heads: 20, candidates: 7, resources: 3 });
const multiplierLists = fc.array(fc.oneof(fc.constant(0), fc.double({ min: 0, max: 5, noNaN: true })), { minLength: 3, maxLength: 3 });
const priced = fc.tuple(problems, multiplierLists).map(([problem, list]) => {
  const multipliers = Float64Array.from(problem.resources, (_, k) => list[k]!);
  const layer = problem.layers - 1;
  return { problem, multipliers, layer, prices: layerPrices(problem, multipliers, layer, new Float64Array(problem.candidates * problem.heads)) };
});

test('prices are values and what the resources cost', () => {
  fc.assert(
    fc.property(priced, ({ problem, multipliers, layer, prices }) => {
      const { heads, candidates, value, resources } = problem;
      for (let candidate = 0; candidate < candidates; candidate += 1) {
        for (let head = 0; head < heads; head += 1) {
          const at = (layer * candidates + candidate) * heads + head;
          const costs = resources.reduce((sum, { cost }, k) => sum + multipliers[k]! * (cost.length === candidates ? cost[candidate]! : cost[at]!), 0);
          expect(close(prices[candidate * heads + head]!, value[at]! + costs)).toBe(true);
        }
      }
    }),
    given(100),
  );
});

describe('sets', () => {
  test('each is visited once, with its price', () => {
    fc.assert(
      fc.property(priced, ({ problem, prices }) => {
        const seen: number[][] = [];
        visitSets(problem, prices, () => Infinity, (price, set) => {
          seen.push([...set]);
          expect(close(price, priceOf(problem, prices, set))).toBe(true);
        });
        expect(seen).toEqual(allSets(problem));
      }),
      given(200),
    );
  });

  test('of those within a limit none is left out', () => {
    fc.assert(
      fc.property(priced, fc.nat(), ({ problem, prices }, which) => {
        const sets = allSets(problem);
        const limit = priceOf(problem, prices, sets[which % sets.length]!);
        const seen = new Set<string>();
        visitSets(problem, prices, () => limit, (price, set) => {
          expect(price).toBeLessThanOrEqual(limit);
          seen.add(set.join());
        });
        // Sums in another order may round to another side of the limit.
        for (const set of sets) {
          const price = priceOf(problem, prices, set);
          if (!close(price, limit)) expect(seen.has(set.join())).toBe(price < limit);
        }
      }),
      given(200),
    );
  });

  test('the cheapest, and the cheapest few', () => {
    fc.assert(
      fc.property(priced, fc.integer({ min: 1, max: 40 }), fc.boolean(), ({ problem, prices }, count, limited) => {
        const sorted = allSets(problem).map((set) => priceOf(problem, prices, set)).sort((a, b) => a - b);
        const { set, price } = cheapestSet(problem, prices);
        expect(close(price, sorted[0]!)).toBe(true);
        expect(close(priceOf(problem, prices, set), price)).toBe(true);
        const limit = limited ? sorted[Math.floor(sorted.length / 2)]! * (1 + 1e-9) + 1e-12 : Infinity;
        const few = cheapestSets(problem, prices, count, limit);
        const expected = sorted.filter((one) => one <= limit).slice(0, count);
        expect(few).toHaveLength(expected.length);
        few.forEach((one, index) => expect(close(one.price, expected[index]!)).toBe(true));
        expect(new Set(few.map((one) => one.set.join())).size).toBe(few.length);
      }),
      given(300),
    );
  });
});

test('all layers: the cheapest choice of each, and the bound', () => {
  fc.assert(
    fc.property(arbitraryProblem({ heads: 4 }), multiplierLists, (problem, list) => {
      const { resources, heads } = problem;
      const multipliers = Float64Array.from(resources, (_, k) => list[k % list.length]!);
      const pricing = priceAll(problem, multipliers);
      let bound = -resources.reduce((sum, { limit }, k) => sum + multipliers[k]! * limit, 0);
      for (let layer = 0; layer < problem.layers; layer += 1) {
        const priceOfChoice = ({ value, use }: { value: number; use: readonly number[] }): number => value + use.reduce((sum, amount, k) => sum + multipliers[k]! * amount, 0);
        const all = choicesOf(problem, layer);
        const least = Math.min(...all.map(priceOfChoice));
        bound += least;
        expect(close(pricing.prices[layer]!, least)).toBe(true);
        const chosen = all.find(({ choice }) => choice.join() === pricing.choices[layer]!.join());
        // Allowed, and as cheap as it is said to be.
        expect(chosen).toBeDefined();
        expect(close(priceOfChoice(chosen!), least)).toBe(true);
      }
      expect(pricing.choices.every((choice) => choice.length === heads)).toBe(true);
      expect(Math.abs(pricing.bound - bound)).toBeLessThanOrEqual(1e-9 * (1 + Math.abs(bound)));
    }),
    given(200),
  );
});

test('of equal candidates a head takes the first of the set', () => {
  expect([...chooseWithin(Float64Array.from([2, 1, 1, 1, 1, 3]), 2, [0, 1, 2])]).toEqual([1, 0]);
  expect([...chooseWithin(Float64Array.from([2, 1, 1, 1, 1, 3]), 2, [2, 1])]).toEqual([2, 1]);
});
