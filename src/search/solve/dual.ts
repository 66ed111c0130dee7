/**
 * The best bound: the multipliers that maximise the Lagrangian, by column generation with smoothed prices (Wentges 1997). Pricing makes columns, the
 * master program makes prices; what they close between them is the bound of the linear program over all columns.
 */
import { MasterProgram, type Column, type MasterSolution } from './masterProgram.ts';
import { priceAll, type Pricing } from './pricing.ts';
import type { Problem } from './problem.ts';

export interface DualSolution {
  /** At least 0, one for each resource. */
  readonly multipliers: Float64Array;
  /** No assignment that holds the limits has a smaller value. */
  readonly bound: number;
  readonly master: MasterSolution;
  /** Whether the columns can hold the limits, if parts of them may be combined. */
  readonly feasible: boolean;
  readonly columns: readonly Column[];
  readonly iterations: number;
}

/** What an earlier problem with the same heads and candidates left: columns and prices are good for any limits and weights. */
export interface WarmStart {
  readonly multipliers: Float64Array;
  readonly choices: readonly { readonly layer: number; readonly choice: Uint16Array }[];
}

const MAX_ITERATIONS = 200;
const RELATIVE_GAP = 1e-9;
/** Of limits, as a part of them: rounding. */
const EXCESS = 1e-9;
const MAX_RAISES = 8;

export function solveDual(problem: Problem, warm?: WarmStart): DualSolution {
  const { resources, layers } = problem;
  const start = warm === undefined ? firstPrices(problem) : { best: priceAll(problem, warm.multipliers), multipliers: warm.multipliers, seen: [] };
  const master = new MasterProgram(problem, start.best.choices);
  for (const { choices } of start.seen) choices.forEach((choice, layer) => master.add(layer, choice));
  warm?.choices.forEach(({ layer, choice }) => master.add(layer, choice));

  let { multipliers } = start;
  let bound = start.best.bound;
  let solution = master.solve();
  if (resources.length === 0) return { multipliers, bound, master: solution, feasible: true, columns: master.columns, iterations: 0 };

  let iterations = 0;
  let smoothing = 0.5;
  let stuck = false;
  let raises = 0;
  while (iterations < MAX_ITERATIONS) {
    const closed = solution.value - bound <= RELATIVE_GAP * Math.abs(solution.value);
    if (closed && solution.excess <= EXCESS) break;
    if (closed || stuck) {
      // Over the limits at the best of these prices: excess has to be dearer, or there is no other way.
      if (solution.excess <= EXCESS || raises === MAX_RAISES) break;
      raises += 1;
      master.raisePenalty();
      solution = master.solve();
      stuck = false;
    }
    iterations += 1;
    const trial = solution.multipliers.map((price, k) => smoothing * multipliers[k]! + (1 - smoothing) * price);
    const pricing = priceAll(problem, trial);
    let added = false;
    for (let layer = 0; layer < layers; layer += 1) added = master.add(layer, pricing.choices[layer]!) || added;
    if (pricing.bound > bound) {
      bound = pricing.bound;
      multipliers = trial;
    }
    // Prices that make no new column are too far from the master's own; those are exact.
    stuck = !added && smoothing === 0;
    smoothing = added ? 0.5 : 0;
    if (added) solution = master.solve();
  }
  return { multipliers, bound, master: solution, feasible: solution.excess <= EXCESS, columns: master.columns, iterations };
}

interface FirstPrices {
  readonly best: Pricing;
  readonly multipliers: Float64Array;
  readonly seen: readonly Pricing[];
}

/**
 * Prices of the right size: all resources priced alike relative to their limits, so that the choices just hold or just miss them. The bound rises and then falls
 * with the scale of the prices: golden section on its logarithm. Each step also gives columns.
 */
function firstPrices(problem: Problem): FirstPrices {
  const { resources } = problem;
  const unit = Float64Array.from(resources, ({ limit }) => 1 / Math.max(limit, 1e-12));
  const at = (scale: number): Pricing => priceAll(problem, unit.map((price) => price * scale));
  const seen: Pricing[] = [at(0)];
  let [best, bestScale] = [seen[0]!, 0];
  if (resources.length === 0) return { best, multipliers: unit, seen };
  // The largest price that a resource may need is about the value of everything.
  const total = problem.value.reduce((sum, value) => sum + value, 0) / problem.candidates + 1e-300;
  const consider = (logarithm: number): number => {
    const scale = total * Math.exp(logarithm);
    const pricing = at(scale);
    seen.push(pricing);
    if (pricing.bound > best.bound) [best, bestScale] = [pricing, scale];
    return pricing.bound;
  };
  const ratio = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [-12, 4];
  let [left, right] = [high - ratio * (high - low), low + ratio * (high - low)];
  let [atLeft, atRight] = [consider(left), consider(right)];
  while (high - low > 0.1) {
    if (atLeft >= atRight) {
      [high, right, atRight] = [right, left, atLeft];
      left = high - ratio * (high - low);
      atLeft = consider(left);
    } else {
      [low, left, atLeft] = [left, right, atRight];
      right = low + ratio * (high - low);
      atRight = consider(right);
    }
  }
  return { best, multipliers: unit.map((price) => price * bestScale), seen };
}
