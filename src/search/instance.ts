/** From a profile and a request to the solver's problem. */
import { spanOf, windowOf } from '../ir/affine.ts';
import type { ModelShape } from '../ir/nodes.ts';
import type { Rule, SpanLimits } from '../ir/rule.ts';
import { invariant } from '../util/invariant.ts';
import { timeOf } from './latencyTable.ts';
import { lossFunction } from './losses.ts';
import type { Profile } from './profile/profile.ts';
import type { Constraint, Granularity, Objective } from './request.ts';
import type { Problem, Resource } from './solve/problem.ts';

/** By layer: the model's own sliding window in tokens; null: the layer attends everything. */
export type ModelWindows = readonly (number | null)[];

/** Tails of every query head, as a profile gives them. */
export interface Influence {
  readonly model: ModelShape;
  /** Absent: no layer has a window of its own. */
  readonly windows?: ModelWindows | undefined;
  /** Tokens, rising. */
  readonly lengths: readonly number[];
  /** Of the query head at the length with that index. */
  readonly tail: (lengthIndex: number, layer: number, queryHead: number) => Float64Array;
}

/** What a search takes of a profile, for sinks of so many pages. */
export const influenceOf = (profile: Profile, sinkPages: number): Influence => ({
  model: profile.model,
  windows: profile.model.windows,
  lengths: profile.lengths.map(({ length }) => length),
  // A layer with a window of its own has no sink: all that its window leaves out is lost.
  tail: (lengthIndex, layer, queryHead) => profile.tail(lengthIndex, layer, queryHead, (profile.model.windows?.[layer] ?? null) === null ? sinkPages : 0),
});

/** What all problems of a search share: the losses of each head with each candidate. */
export interface Instance {
  readonly model: ModelShape;
  readonly granularity: Granularity;
  readonly limits: SpanLimits;
  readonly candidates: readonly Rule[];
  /** The model's own window of each layer. */
  readonly windows: ModelWindows;
  /** By layer and candidate: the shortest candidate that keeps the same there, at every length. A plan has that one. */
  readonly shortest: readonly Uint16Array[];
  /** Variables of a layer: KV heads or query heads. */
  readonly heads: number;
  /** By length: the loss of each head with each candidate, `L x C x H`, in nats. */
  readonly losses: ReadonlyMap<number, Float64Array>;
}

/**
 * @param lengths those that have a loss
 * @param bounded all lengths that the plan is looked at, those with a loss among them
 */
export function makeInstance(
  influence: Influence,
  granularity: Granularity,
  limits: SpanLimits,
  candidates: readonly Rule[],
  lengths: readonly number[],
  bounded: readonly number[] = lengths,
): Instance {
  const { model } = influence;
  invariant(limits.sink % limits.page === 0, 'sinks of a search are whole pages');
  const heads = granularity === 'kv-head' ? model.kvHeads : model.queryHeads;
  const groupSize = model.queryHeads / heads;
  const losses = new Map(lengths.map((length) => [length, new Float64Array(model.layers * candidates.length * heads)]));
  const windows = influence.windows ?? Array.from({ length: model.layers }, () => null);
  const pagesOf = (window: number | null): ReadonlyMap<number, readonly number[]> =>
    new Map(lengths.map((length) => [length, candidates.map((rule) => windowOf(rule, limits, length, window) / limits.page)]));
  const pagesByWindow = new Map([...new Set(windows)].map((window) => [window, pagesOf(window)]));
  for (let layer = 0; layer < model.layers; layer += 1) {
    const window = windows[layer]!;
    const pagesAt = pagesByWindow.get(window)!;
    for (let queryHead = 0; queryHead < model.queryHeads; queryHead += 1) {
      const tails = { lengths: influence.lengths, window, tails: influence.lengths.map((_, n) => influence.tail(n, layer, queryHead)) };
      const head = Math.floor(queryHead / groupSize);
      for (const [length, loss] of losses) {
        const lossOf = lossFunction(tails, length);
        pagesAt.get(length)!.forEach((pages, candidate) => (loss[(layer * candidates.length + candidate) * heads + head]! += lossOf(pages)));
      }
    }
  }
  const shortestOf = (window: number | null): Uint16Array => shortestAlike(candidates.map((rule) => bounded.map((length) => keptSlots(rule, limits, length, window)).join()));
  const shortestByWindow = new Map([...new Set(windows)].map((window) => [window, shortestOf(window)]));
  return { model, windows, shortest: windows.map((window) => shortestByWindow.get(window)!), granularity, limits, candidates, heads, losses };
}

/** For each key the place of the first that is equal. */
const shortestAlike = (keys: readonly string[]): Uint16Array => Uint16Array.from(keys, (key) => keys.indexOf(key));

/** The part of a sequence that a rule keeps, in slots: none past the model's own window. */
export const keptSlots = (rule: Rule, limits: SpanLimits, length: number, modelWindow: number | null): number =>
  Math.min(spanOf(rule, limits, length, modelWindow), length);

/** The cost of each candidate for a head in each kind of layer, and the limit on the sum over heads, in the units of docs/search-formats.md. */
export function resourceOf(instance: Instance, constraint: Constraint): Resource {
  const { limits, model, heads } = instance;
  const { kind, length, bound } = constraint;
  const name = `${kind} at ${length}`;
  const variables = model.layers * heads;
  switch (kind) {
    case 'density':
      return { name, limit: bound * variables, cost: costsOf(instance, (rule, window) => keptSlots(rule, limits, length, window) / length) };
    case 'latency': {
      const row = constraint.table.lengths.find((known) => known.length === length);
      invariant(row !== undefined, `the latency table has a row for ${length}`);
      return { name, limit: bound * variables * timeOf(row, length), cost: costsOf(instance, (rule, window) => timeOf(row, keptSlots(rule, limits, length, window))) };
    }
    case 'loss':
      return { name, limit: bound, cost: instance.losses.get(length)! };
  }
}

/** The costs of candidates: one for all heads where layers are alike (`C`), else of each head (`L x C x H`). */
function costsOf({ candidates, windows, heads }: Instance, cost: (rule: Rule, window: number | null) => number): Float64Array {
  if (new Set(windows).size === 1) return Float64Array.from(candidates, (rule) => cost(rule, windows[0]!));
  const costs = new Float64Array(windows.length * candidates.length * heads);
  windows.forEach((window, layer) => {
    candidates.forEach((rule, candidate) => {
      const at = (layer * candidates.length + candidate) * heads;
      costs.fill(cost(rule, window), at, at + heads);
    });
  });
  return costs;
}

/** The least that the heads of all layers can use together of a resource, when each takes its cheapest candidate. */
export function leastUse({ model, heads, candidates }: Instance, cost: Float64Array): number {
  const count = candidates.length;
  if (cost.length === count) return cost.reduce((a, b) => Math.min(a, b)) * model.layers * heads;
  let sum = 0;
  for (let layer = 0; layer < model.layers; layer += 1) {
    for (let head = 0; head < heads; head += 1) {
      let least = Infinity;
      for (let candidate = 0; candidate < count; candidate += 1) least = Math.min(least, cost[(layer * count + candidate) * heads + head]!);
      sum += least;
    }
  }
  return sum;
}

export function problemOf(instance: Instance, objectives: readonly Objective[], constraints: readonly Constraint[], rulesPerLayer: number): Problem {
  const { model, heads, candidates, losses } = instance;
  const value = new Float64Array(model.layers * heads * candidates.length);
  for (const { length, weight } of objectives) losses.get(length)!.forEach((loss, i) => (value[i]! += weight * loss));
  return { layers: model.layers, heads, candidates: candidates.length, value, resources: constraints.map((constraint) => resourceOf(instance, constraint)), maxRules: rulesPerLayer };
}
