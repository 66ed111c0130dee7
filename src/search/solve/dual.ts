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
  while (iterations < MAX_ITERATIONS && solution.value - bound > RELATIVE_GAP * Math.max(Math.abs(solution.value), 1e-300)) {
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
    if (!added && smoothing === 0) break;
    smoothing = added ? 0.5 : 0;
    if (added) solution = master.solve();
  }
  return { multipliers, bound, master: solution, feasible: solution.excess <= 1e-7, columns: master.columns, iterations };
}

interface FirstPrices {
  readonly best: Pricing;
  readonly multipliers: Float64Array;
  readonly seen: readonly Pricing[];
}

/** Prices of the right size: all resources priced alike relative to their limits, so that the choices just hold or just miss them. Each step gives a bound and columns. */
function firstPrices(problem: Problem): FirstPrices {
  const { resources } = problem;
  const unit = Float64Array.from(resources, ({ limit }) => 1 / Math.max(limit, 1e-12));
  const at = (scale: number): Pricing => priceAll(problem, unit.map((price) => price * scale));
  const free = at(0);
  if (resources.length === 0) return { best: free, multipliers: unit, seen: [] };
  const seen: Pricing[] = [free];
  let best = free;
  let bestScale = 0;
  // The largest price that a resource may need is about the value of everything; the bound is concave in the scale: golden steps on its logarithm.
  const total = problem.value.reduce((sum, value) => sum + value, 0) / problem.candidates + 1e-300;
  let step = 16;
  let centre = total / 16;
  const consider = (scale: number): boolean => {
    const pricing = at(scale);
    seen.push(pricing);
    if (pricing.bound <= best.bound) return false;
    best = pricing;
    bestScale = scale;
    return true;
  };
  consider(centre);
  while (step > 1.05) {
    const moved = consider(centre * step) || consider(centre / step);
    if (moved) centre = bestScale;
    else step = Math.sqrt(step);
  }
  return { best, multipliers: unit.map((price) => price * bestScale), seen };
}
