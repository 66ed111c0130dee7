/**
 * What a better assignment may consist of. With prices at which the bound is known, a layer's set of candidates that costs over `margin` more than the
 * layer's cheapest is in no assignment better than bound + margin, and likewise a head's candidate within a set (reduced-cost fixing). What is left is small.
 */
import { chooseWithin, layerPrices, visitSets } from './pricing.ts';
import { layerTotals, type Problem } from './problem.ts';

/** A set of a layer, with what its heads choose at the prices, and what they may choose instead. */
export interface ReducedSet {
  readonly layer: number;
  readonly choice: Uint16Array;
  readonly value: number;
  readonly use: Float64Array;
  readonly changes: readonly { readonly head: number; readonly to: number }[];
}

/** Undefined when more than `maxChanges` sets and changes are left. */
export function reduceProblem(problem: Problem, multipliers: Float64Array, margin: number, maxChanges: number): readonly (readonly ReducedSet[])[] | undefined {
  const { layers, heads, candidates } = problem;
  const prices = new Float64Array(candidates * heads);
  let left = 0;
  const reduced: ReducedSet[][] = [];
  // Sums of prices have rounding; a little more is kept.
  const room = margin * (1 + 1e-9) + 1e-12;
  for (let layer = 0; layer < layers; layer += 1) {
    layerPrices(problem, multipliers, layer, prices);
    let least = Infinity;
    const sets: { price: number; set: readonly number[] }[] = [];
    visitSets(problem, prices, () => least + room, (price, set) => {
      least = Math.min(least, price);
      sets.push({ price, set: [...set] });
    });
    const found = new Map<string, ReducedSet>();
    for (const { price, set } of sets) {
      if (price > least + room) continue;
      const candidate = reducedSet(problem, layer, prices, set, least + room - price);
      // Sets differ in candidates that no head takes; what is left of them may be the same.
      found.set(`${candidate.choice.join()};${candidate.changes.map(({ head, to }) => `${head}:${to}`).join()}`, candidate);
    }
    const kept = [...found.values()];
    left += kept.reduce((sum, { changes }) => sum + 1 + changes.length, 0);
    if (left > maxChanges) return undefined;
    reduced.push(kept);
  }
  return reduced;
}

function reducedSet(problem: Problem, layer: number, prices: Float64Array, set: readonly number[], room: number): ReducedSet {
  const { heads } = problem;
  const choice = chooseWithin(prices, heads, set);
  const changes: { head: number; to: number }[] = [];
  for (let head = 0; head < heads; head += 1) {
    const cheapest = prices[choice[head]! * heads + head]!;
    for (const to of set) if (to !== choice[head] && prices[to * heads + head]! - cheapest <= room) changes.push({ head, to });
  }
  return { layer, choice, ...layerTotals(problem, layer, choice), changes };
}
