/**
 * Good assignments, fast: start from what the bound's prices choose, mend what is over a limit, then exchange heads and layers for as long as that helps.
 * The bound prunes: a choice of a layer whose regret (price above the layer's cheapest) exceeds the gap is in no better assignment.
 */
import type { DualSolution } from './dual.ts';
import { cheapestSets, chooseWithin, layerPrices } from './pricing.ts';
import { layerTotals, type Assignment, type Problem } from './problem.ts';
import { flipsOf, State, type Flip } from './state.ts';

export interface Incumbent {
  readonly assignment: Assignment;
  readonly value: number;
}

/** A choice of a layer that may be in a good assignment. */
export interface Alternative {
  readonly choice: Uint16Array;
  readonly value: number;
  readonly use: Float64Array;
  /** Its price above the cheapest of its layer, at the bound's multipliers. */
  readonly regret: number;
}

export interface PrimalOptions {
  /** Choices kept for a layer. */
  readonly alternatives?: number;
  /** Assignments that the search starts from. */
  readonly starts?: number;
  /** (value - bound) / value at which it ends. */
  readonly enough?: number;
}

/** The best assignment found, or undefined when none holds the limits. Deterministic. */
export function findAssignment(problem: Problem, dual: DualSolution, { alternatives = 48, starts = 6, enough = 0 }: PrimalOptions = {}): Incumbent | undefined {
  const pools = layerPools(problem, dual, alternatives);
  let best: Incumbent | undefined;
  const seen = new Set<string>();
  for (const start of startsOf(problem, dual, pools, starts)) {
    const key = start.join();
    if (seen.has(key)) continue;
    seen.add(key);
    const state = new State(problem, start);
    if (!repair(state, pools)) continue;
    improve(state, pools, dual);
    state.recount();
    if (state.excess === 0 && (best === undefined || state.value < best.value)) best = { assignment: state.assignment.slice(), value: state.value };
    if (best !== undefined && best.value - dual.bound <= enough * best.value) break;
  }
  return best;
}

/** Changes of a head that pairs are made of: more are too many pairs. */
const MAX_FLIPS = 3000;

/** The columns of the master program, the cheapest sets at its prices and near them; cheapest first. */
export function layerPools(problem: Problem, dual: DualSolution, count: number): readonly (readonly Alternative[])[] {
  const { layers, heads, candidates, resources } = problem;
  const room = new Float64Array(candidates * heads);
  const columnsOf: (typeof dual.columns)[number][][] = Array.from({ length: layers }, () => []);
  for (const column of dual.columns) columnsOf[column.layer]!.push(column);
  const variants = nearbyPrices(dual.multipliers);
  return Array.from({ length: layers }, (_, layer) => {
    const found = new Map<string, Uint16Array>();
    const add = (choice: Uint16Array): void => void found.set(choice.join(), choice);
    for (const { choice } of columnsOf[layer]!) add(choice);
    variants.forEach((multipliers, index) => {
      const prices = layerPrices(problem, multipliers, layer, room);
      for (const { set } of cheapestSets(problem, prices, index === 0 ? count : Math.ceil(count / 4))) add(chooseWithin(prices, heads, set));
    });
    const alternatives = [...found.values()].map((choice) => {
      const { value, use } = layerTotals(problem, layer, choice);
      return { choice, value, use, regret: value + resources.reduce((sum, _resource, k) => sum + dual.multipliers[k]! * use[k]!, 0) };
    });
    alternatives.sort((a, b) => a.regret - b.regret);
    const least = alternatives[0]!.regret;
    return alternatives.slice(0, 2 * count).map((alternative) => ({ ...alternative, regret: Math.max(0, alternative.regret - least) }));
  });
}

/** The prices themselves, then a little more and less of all and of each. */
function nearbyPrices(multipliers: Float64Array): Float64Array[] {
  const scaled = (factor: number, only?: number): Float64Array => multipliers.map((price, k) => (only === undefined || only === k ? price * factor : price));
  const each = [...multipliers.keys()].filter((k) => multipliers[k]! > 0);
  return [multipliers, scaled(1.03), scaled(0.97), ...(each.length > 1 ? each.flatMap((k) => [scaled(1.05, k), scaled(0.95, k)]) : [])];
}

/** Where to begin: the parts of the master program, rounded; then each layer's cheapest choice at rising prices. */
function* startsOf(problem: Problem, dual: DualSolution, pools: readonly (readonly Alternative[])[], count: number): Generator<Assignment> {
  const { layers, heads } = problem;
  const rounded = new Uint16Array(layers * heads);
  for (const { column } of [...dual.master.parts].reverse()) rounded.set(column.choice, column.layer * heads);
  yield rounded;
  for (let n = 0; n < count - 1; n += 1) {
    const factor = 1 + 0.02 * n;
    const assignment = new Uint16Array(layers * heads);
    pools.forEach((pool, layer) => {
      const price = ({ value, use }: Alternative): number => value + use.reduce((sum, amount, k) => sum + factor * dual.multipliers[k]! * amount, 0);
      let cheapest = pool[0]!;
      for (const alternative of pool) if (price(alternative) < price(cheapest)) cheapest = alternative;
      assignment.set(cheapest.choice, layer * heads);
    });
    yield assignment;
  }
}

/** Changes layers, then heads, until the limits hold: each time what costs least for the excess that it removes. Returns whether they do. */
export function repair(state: State, pools: readonly (readonly Alternative[])[]): boolean {
  const { problem } = state;
  for (let step = 0; step < 4 * problem.layers * problem.heads && state.excess > 0; step += 1) {
    const { excess } = state;
    let rate = Infinity;
    let apply: (() => void) | undefined;
    const consider = (value: number, use: Float64Array, change: () => void): void => {
      const removed = excess - state.excessAfter(use);
      if (removed <= 1e-12) return;
      const cost = Math.max(value, 1e-12) / removed;
      if (cost >= rate) return;
      rate = cost;
      apply = change;
    };
    pools.forEach((pool, layer) => {
      const { value, use } = layerTotals(problem, layer, state.choice(layer));
      for (const alternative of pool) consider(alternative.value - value, alternative.use.map((amount, k) => amount - use[k]!), () => state.setLayer(layer, alternative.choice));
    });
    for (const flip of flipsOf(state)) consider(flip.value, flip.use, () => state.setHead(flip.layer, flip.head, flip.to));
    if (apply === undefined) return false;
    apply();
    // Of a limit of 0 rounding alone is excess.
    state.recount();
  }
  return state.excess === 0;
}

/** Exchanges for as long as they help: a head, two heads, a layer, two layers. */
export function improve(state: State, pools: readonly (readonly Alternative[])[], dual: DualSolution): void {
  for (let round = 0; round < 60; round += 1) {
    const before = state.value;
    while (flipOne(state, dual)) { /* each step helps */ }
    while (exchangeLayers(state, pools, dual.bound)) { /* each step helps */ }
    flipTwo(state, dual);
    state.recount();
    if (state.value >= before - 1e-12 * Math.abs(before)) return;
  }
}

/** The best change of one head that fits. */
function flipOne(state: State, dual: DualSolution): boolean {
  let best: Flip | undefined;
  for (const flip of flipsOf(state, dual.multipliers, roomOf(state, dual))) {
    if (flip.value < (best?.value ?? -smallest(state)) && state.fits(flip.use)) best = flip;
  }
  if (best === undefined) return false;
  state.setHead(best.layer, best.head, best.to);
  return true;
}

/** How much dearer than now a change may be, at the bound's multipliers: layers have regrets now, which it may lower. */
const roomOf = (state: State, { bound }: DualSolution): number => Math.max(state.value - bound, 0) + smallest(state);

/** Changes that count are larger than rounding. */
const smallest = (state: State): number => 1e-12 * Math.abs(state.value);

/** One head gives what another takes. Applies pairs while there are any, each layer at most once a sweep. */
function flipTwo(state: State, dual: DualSolution): void {
  const flips = flipsOf(state, dual.multipliers, roomOf(state, dual)).sort((a, b) => a.value - b.value).slice(0, MAX_FLIPS);
  const touched = new Set<number>();
  for (const gain of flips) {
    if (gain.value >= 0) break;
    if (touched.has(gain.layer)) continue;
    const give = flips.find((flip) => flip.value + gain.value < -smallest(state) && flip.value > gain.value && flip.layer !== gain.layer && !touched.has(flip.layer) && state.fitsBoth(gain.use, flip.use));
    if (give === undefined) continue;
    state.setHead(gain.layer, gain.head, gain.to);
    state.setHead(give.layer, give.head, give.to);
    touched.add(gain.layer).add(give.layer);
  }
}

/** The best exchange of the choices of one or two layers that fits. */
function exchangeLayers(state: State, pools: readonly (readonly Alternative[])[], bound: number): boolean {
  const { problem } = state;
  const gap = state.value - bound;
  const moves = pools.map((pool, layer) => {
    const { value, use } = layerTotals(problem, layer, state.choice(layer));
    return pool.filter(({ regret }) => regret < gap).map((alternative) => ({ alternative, value: alternative.value - value, use: alternative.use.map((amount, k) => amount - use[k]!) }));
  });
  let best = -smallest(state);
  let apply: (() => void) | undefined;
  for (let a = 0; a < problem.layers; a += 1) {
    for (const first of moves[a]!) {
      if (first.value < best && state.fits(first.use)) {
        best = first.value;
        apply = () => state.setLayer(a, first.alternative.choice);
      }
      for (let b = a + 1; b < problem.layers; b += 1) {
        for (const second of moves[b]!) {
          if (first.alternative.regret + second.alternative.regret >= gap || first.value + second.value >= best || !state.fitsBoth(first.use, second.use)) continue;
          best = first.value + second.value;
          apply = () => {
            state.setLayer(a, first.alternative.choice);
            state.setLayer(b, second.alternative.choice);
          };
        }
      }
    }
  }
  apply?.();
  return apply !== undefined;
}
