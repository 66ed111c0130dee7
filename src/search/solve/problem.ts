/** The choice that a search makes, as numbers: which candidate each head takes. Heads are KV heads or query heads; the solver need not know. */
import { invariant } from '../../util/invariant.ts';

/** An upper bound on a sum over all heads. */
export interface Resource {
  /** What it is, for messages: `density at 4096`. */
  readonly name: string;
  readonly limit: number;
  /** The cost of each candidate, the same for every head (`C` numbers), or of each head (`L x C x H`); at least 0. */
  readonly cost: Float64Array;
}

export interface Problem {
  readonly layers: number;
  /** Of a layer. */
  readonly heads: number;
  readonly candidates: number;
  /** To be minimised: the sum over heads; `L x C x H`, so that the heads of a candidate are neighbours. At least 0. */
  readonly value: Float64Array;
  readonly resources: readonly Resource[];
  /** The most different candidates in a layer; 0 is any number. */
  readonly maxRules: number;
}

/** The candidate of each head: `L x H`. */
export type Assignment = Uint16Array;

export interface Totals {
  readonly value: number;
  readonly use: Float64Array;
}

/** Place of a head's candidate in arrays of `L x C x H`. */
export const indexOf = ({ candidates, heads }: Problem, layer: number, candidate: number, head: number): number => (layer * candidates + candidate) * heads + head;

/** What a head's candidate costs of a resource. */
export function costOf(problem: Problem, resource: Resource, layer: number, candidate: number, head: number): number {
  return resource.cost.length === problem.candidates ? resource.cost[candidate]! : resource.cost[indexOf(problem, layer, candidate, head)]!;
}

/** Value and use of one layer's choice, summed in the order of heads. */
export function layerTotals(problem: Problem, layer: number, choice: Uint16Array): { value: number; use: Float64Array } {
  let value = 0;
  const use = new Float64Array(problem.resources.length);
  for (let head = 0; head < problem.heads; head += 1) {
    const candidate = choice[head]!;
    value += problem.value[indexOf(problem, layer, candidate, head)]!;
    problem.resources.forEach((resource, k) => (use[k]! += costOf(problem, resource, layer, candidate, head)));
  }
  return { value, use };
}

export function totalsOf(problem: Problem, assignment: Assignment): Totals {
  let value = 0;
  const use = new Float64Array(problem.resources.length);
  for (let layer = 0; layer < problem.layers; layer += 1) {
    const part = layerTotals(problem, layer, layerOf(problem, assignment, layer));
    value += part.value;
    part.use.forEach((amount, k) => (use[k]! += amount));
  }
  return { value, use };
}

export const layerOf = ({ heads }: Problem, assignment: Assignment, layer: number): Uint16Array => assignment.subarray(layer * heads, (layer + 1) * heads);

/** A limit with room for the rounding of sums, relative to it: less than `check-plan` has, whatever the unit of the resource. */
export const withRounding = (limit: number): number => limit + 5e-10 * Math.abs(limit);

/** How far over its limits a use is: the sum over resources, each as a part of its limit. 0 when all hold. */
export function excessOf(problem: Problem, use: Float64Array): number {
  let excess = 0;
  problem.resources.forEach(({ limit }, k) => {
    if (use[k]! > withRounding(limit)) excess += (use[k]! - limit) / Math.max(limit, 1e-9);
  });
  return excess;
}

/** Whether `assignment` holds every bound of the problem, rules per layer included. */
export function isFeasible(problem: Problem, assignment: Assignment): boolean {
  if (excessOf(problem, totalsOf(problem, assignment).use) > 0) return false;
  if (problem.maxRules === 0) return true;
  for (let layer = 0; layer < problem.layers; layer += 1) {
    if (new Set(layerOf(problem, assignment, layer)).size > problem.maxRules) return false;
  }
  return true;
}

export function checkProblem(problem: Problem): void {
  const { layers, heads, candidates, value, resources, maxRules } = problem;
  const size = layers * heads * candidates;
  invariant(size > 0 && candidates < 65536, 'a problem has layers, heads and fewer than 65536 candidates');
  invariant(value.length === size && value.every((number) => number >= 0 && number < Infinity), 'values are finite and not negative, one for each head and candidate');
  invariant(maxRules >= 0 && maxRules <= 3, 'rules per layer are 0 to 3');
  for (const { name, cost, limit } of resources) {
    invariant((cost.length === candidates || cost.length === size) && cost.every((number) => number >= 0 && number < Infinity), `${name}: costs are finite and not negative`);
    invariant(Number.isFinite(limit), `${name}: the limit is finite`);
  }
}
