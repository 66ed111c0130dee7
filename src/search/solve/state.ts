/** An assignment under change: totals are kept up to date, and moves are judged by their effect on them. */
import { costOf, excessOf, indexOf, layerOf, layerTotals, totalsOf, withRounding, type Assignment, type Problem } from './problem.ts';

export class State {
  readonly problem: Problem;
  readonly assignment: Assignment;
  readonly #limits: Float64Array;
  value = 0;
  use: Float64Array;

  constructor(problem: Problem, assignment: Assignment) {
    this.problem = problem;
    this.assignment = assignment.slice();
    this.#limits = Float64Array.from(problem.resources, ({ limit }) => withRounding(limit));
    this.use = new Float64Array(problem.resources.length);
    this.recount();
  }

  /** Totals from nothing, since changes add up their rounding. */
  recount(): void {
    ({ value: this.value, use: this.use } = totalsOf(this.problem, this.assignment));
  }

  get excess(): number {
    return excessOf(this.problem, this.use);
  }

  /** Whether the limits hold after a change of use. */
  fits(change: Float64Array): boolean {
    for (let k = 0; k < change.length; k += 1) if (this.use[k]! + change[k]! > this.#limits[k]!) return false;
    return true;
  }

  /** Whether the limits hold after two changes of use. */
  fitsBoth(a: Float64Array, b: Float64Array): boolean {
    for (let k = 0; k < a.length; k += 1) if (this.use[k]! + a[k]! + b[k]! > this.#limits[k]!) return false;
    return true;
  }

  /** The excess after a change of use. */
  excessAfter(change: Float64Array): number {
    return excessOf(this.problem, this.use.map((amount, k) => amount + change[k]!));
  }

  choice(layer: number): Uint16Array {
    return layerOf(this.problem, this.assignment, layer);
  }

  setLayer(layer: number, choice: Uint16Array): void {
    const before = layerTotals(this.problem, layer, this.choice(layer));
    const after = layerTotals(this.problem, layer, choice);
    this.choice(layer).set(choice);
    this.value += after.value - before.value;
    for (let k = 0; k < this.use.length; k += 1) this.use[k]! += after.use[k]! - before.use[k]!;
  }

  setHead(layer: number, head: number, candidate: number): void {
    const { problem } = this;
    const before = this.choice(layer)[head]!;
    this.choice(layer)[head] = candidate;
    this.value += problem.value[indexOf(problem, layer, candidate, head)]! - problem.value[indexOf(problem, layer, before, head)]!;
    problem.resources.forEach((resource, k) => (this.use[k]! += costOf(problem, resource, layer, candidate, head) - costOf(problem, resource, layer, before, head)));
  }
}

/** One head takes another candidate. */
export interface Flip {
  readonly layer: number;
  readonly head: number;
  readonly to: number;
  readonly value: number;
  readonly use: Float64Array;
}

/**
 * Every change of one head that keeps its layer within `maxRules` candidates and may be part of a better assignment: at the bound's multipliers it costs less than
 * `room` more. Without `multipliers`, every change.
 */
export function flipsOf(state: State, multipliers?: Float64Array, room = Infinity): Flip[] {
  const { problem } = state;
  const { layers, heads, candidates, resources, maxRules } = problem;
  const flips: Flip[] = [];
  const everything = Array.from({ length: candidates }, (_, candidate) => candidate);
  for (let layer = 0; layer < layers; layer += 1) {
    const choice = state.choice(layer);
    const counts = new Map<number, number>();
    for (const candidate of choice) counts.set(candidate, (counts.get(candidate) ?? 0) + 1);
    const used = [...counts.keys()].sort((a, b) => a - b);
    const open = maxRules === 0 || counts.size < maxRules;
    for (let head = 0; head < heads; head += 1) {
      const from = choice[head]!;
      // The last head of a candidate may bring in a new one in its place.
      for (const to of open || counts.get(from) === 1 ? everything : used) {
        if (to === from) continue;
        const value = problem.value[indexOf(problem, layer, to, head)]! - problem.value[indexOf(problem, layer, from, head)]!;
        const use = new Float64Array(resources.length);
        let price = value;
        for (let k = 0; k < use.length; k += 1) {
          use[k] = costOf(problem, resources[k]!, layer, to, head) - costOf(problem, resources[k]!, layer, from, head);
          if (multipliers !== undefined) price += multipliers[k]! * use[k]!;
        }
        if (price < room) flips.push({ layer, head, to, value, use });
      }
    }
  }
  return flips;
}
