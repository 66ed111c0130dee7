/** From a profile and a request to the solver's problem. */
import { spanOf } from '../ir/affine.ts';
import type { ModelShape } from '../ir/nodes.ts';
import type { Rule, SpanLimits } from '../ir/rule.ts';
import { invariant } from '../util/invariant.ts';
import { timeOf } from './latencyTable.ts';
import { lossFunction } from './losses.ts';
import type { Profile } from './profile/profile.ts';
import type { Constraint, Granularity, Objective } from './request.ts';
import type { Problem, Resource } from './solve/problem.ts';

/** Tails of every query head, as a profile gives them. */
export interface Influence {
  readonly model: ModelShape;
  /** Tokens, rising. */
  readonly lengths: readonly number[];
  /** Of the query head at the length with that index. */
  readonly tail: (lengthIndex: number, layer: number, queryHead: number) => Float64Array;
}

/** What a search takes of a profile, for sinks of so many pages. */
export const influenceOf = (profile: Profile, sinkPages: number): Influence => ({
  model: profile.model,
  lengths: profile.lengths.map(({ length }) => length),
  tail: (lengthIndex, layer, queryHead) => profile.tail(lengthIndex, layer, queryHead, sinkPages),
});

/** What all problems of a search share: the losses of each head with each candidate. */
export interface Instance {
  readonly model: ModelShape;
  readonly granularity: Granularity;
  readonly limits: SpanLimits;
  readonly candidates: readonly Rule[];
  /** Variables of a layer: KV heads or query heads. */
  readonly heads: number;
  /** By length: the loss of each head with each candidate, `L x C x H`, in nats. */
  readonly losses: ReadonlyMap<number, Float64Array>;
}

export function makeInstance(influence: Influence, granularity: Granularity, limits: SpanLimits, candidates: readonly Rule[], lengths: readonly number[]): Instance {
  const { model } = influence;
  invariant(limits.sink % limits.page === 0, 'sinks of a search are whole pages');
  const heads = granularity === 'kv-head' ? model.kvHeads : model.queryHeads;
  const groupSize = model.queryHeads / heads;
  const losses = new Map(lengths.map((length) => [length, new Float64Array(model.layers * candidates.length * heads)]));
  const windows = new Map(lengths.map((length) => [length, candidates.map((rule) => (spanOf(rule, limits, length, null) - limits.sink) / limits.page)]));
  for (let layer = 0; layer < model.layers; layer += 1) {
    for (let queryHead = 0; queryHead < model.queryHeads; queryHead += 1) {
      const tails = { lengths: influence.lengths, tails: influence.lengths.map((_, n) => influence.tail(n, layer, queryHead)) };
      const head = Math.floor(queryHead / groupSize);
      for (const [length, loss] of losses) {
        const lossOf = lossFunction(tails, length);
        windows.get(length)!.forEach((pages, candidate) => (loss[(layer * candidates.length + candidate) * heads + head]! += lossOf(pages)));
      }
    }
  }
  return { model, granularity, limits, candidates, heads, losses };
}

/** The part of a sequence that a rule keeps, in slots. */
export const keptSlots = (rule: Rule, limits: SpanLimits, length: number): number => Math.min(spanOf(rule, limits, length, null), length);

/** The cost of each candidate for a head, and the limit on the sum over heads, in the units of docs/search-formats.md. */
export function resourceOf(instance: Instance, constraint: Constraint): Resource {
  const { candidates, limits, model, heads } = instance;
  const { kind, length, bound } = constraint;
  const name = `${kind} at ${length}`;
  const variables = model.layers * heads;
  switch (kind) {
    case 'density':
      return { name, limit: bound * variables, cost: Float64Array.from(candidates, (rule) => keptSlots(rule, limits, length) / length) };
    case 'latency': {
      const row = constraint.table.lengths.find((known) => known.length === length);
      invariant(row !== undefined, `the latency table has a row for ${length}`);
      return { name, limit: bound * variables * timeOf(row, length), cost: Float64Array.from(candidates, (rule) => timeOf(row, keptSlots(rule, limits, length))) };
    }
    case 'loss':
      return { name, limit: bound, cost: instance.losses.get(length)! };
  }
}

export function problemOf(instance: Instance, objectives: readonly Objective[], constraints: readonly Constraint[], rulesPerLayer: number): Problem {
  const { model, heads, candidates, losses } = instance;
  const value = new Float64Array(model.layers * heads * candidates.length);
  for (const { length, weight } of objectives) losses.get(length)!.forEach((loss, i) => (value[i]! += weight * loss));
  return { layers: model.layers, heads, candidates: candidates.length, value, resources: constraints.map((constraint) => resourceOf(instance, constraint)), maxRules: rulesPerLayer };
}
