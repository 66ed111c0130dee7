/** Small problems of the search with all their plans: sums word by word from docs/search-formats.md, every assignment tried. */
import { createHash } from 'node:crypto';
import { stableJson } from '../../src/util/stableJson.ts';
import type { SyntheticProfile } from './support.ts';

export interface InstanceOptions {
  readonly profile: SyntheticProfile;
  readonly profiled: readonly number[];
  readonly layers: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly granularity: 'kv-head' | 'query-head';
  readonly rulesPerLayer: number;
  readonly candidates: readonly (readonly [alpha: number, beta: number])[];
  readonly objective: readonly { readonly length: number; readonly weight: number }[];
  readonly constraints: readonly TestConstraint[];
  /** The model's own window of each layer, in tokens; not said by default. */
  readonly windows?: readonly (number | null)[];
}

export interface TestConstraint {
  readonly kind: 'density' | 'loss' | 'latency';
  readonly length: number;
  readonly bound: number;
  readonly table?: { readonly lengths: readonly { readonly length: number; readonly spans: readonly number[]; readonly times: readonly number[] }[] } & Record<string, unknown>;
}

/** What a choice of candidates for the heads of one layer costs. */
interface LayerPlan {
  readonly choice: readonly number[];
  readonly value: number;
  readonly uses: readonly number[];
}

export class Instance {
  readonly options: InstanceOptions;
  /** All allowed choices for each layer. */
  readonly layerPlans: readonly (readonly LayerPlan[])[];
  readonly limits: readonly number[];
  readonly heads: number;

  constructor(options: InstanceOptions) {
    this.options = options;
    const { layers, queryHeads, kvHeads, granularity, candidates, objective, constraints, rulesPerLayer } = options;
    this.heads = granularity === 'kv-head' ? kvHeads : queryHeads;
    const group = queryHeads / this.heads;
    this.limits = constraints.map(({ kind, bound, length, table }) => {
      if (kind === 'loss') return bound;
      return bound * layers * this.heads * (kind === 'density' ? 1 : time(table!, length, length));
    });
    this.layerPlans = Array.from({ length: layers }, (_, layer) => {
      const loss = (head: number, c: number, length: number): number => {
        let sum = 0;
        for (let q = head * group; q < (head + 1) * group; q += 1) sum += this.#lossWith(layer, q, span(candidates[c]!, length), length);
        return sum;
      };
      const single = Array.from({ length: this.heads }, (__, head) =>
        candidates.map((candidate, c) => ({
          value: objective.reduce((sum, { length, weight }) => sum + weight * loss(head, c, length), 0),
          uses: constraints.map(({ kind, length, table }) => {
            const kept = Math.min(span(candidate, length), length, options.windows?.[layer] ?? Infinity);
            if (kind === 'loss') return loss(head, c, length);
            return kind === 'density' ? kept / length : time(table!, length, kept);
          }),
        })),
      );
      const choices = product(this.heads, candidates.length).filter((choice) => rulesPerLayer === 0 || new Set(choice).size <= rulesPerLayer);
      return choices.map((choice) => {
        const parts = choice.map((c, head) => single[head]![c]!);
        return { choice, value: add(parts.map(({ value }) => value)), uses: constraints.map((__, k) => add(parts.map(({ uses }) => uses[k]!))) };
      });
    });
  }

  /** The best plan of all. */
  optimum(): { readonly value: number; readonly choices: readonly (readonly number[])[] } {
    let best: { value: number; choices: readonly (readonly number[])[] } = { value: Infinity, choices: [] };
    const visit = (layer: number, value: number, uses: readonly number[], choices: readonly (readonly number[])[]): void => {
      if (layer === this.layerPlans.length) {
        if (value < best.value && uses.every((use, k) => use <= this.limits[k]! * (1 + 1e-12))) best = { value, choices };
        return;
      }
      for (const plan of this.layerPlans[layer]!) visit(layer + 1, value + plan.value, uses.map((use, k) => use + plan.uses[k]!), [...choices, plan.choice]);
    };
    visit(0, 0, this.limits.map(() => 0), []);
    return best;
  }

  /** `lowerBound(mu)`. */
  bound(multipliers: readonly number[]): number {
    const layers = this.layerPlans.map((plans) => Math.min(...plans.map(({ value, uses }) => value + add(uses.map((use, k) => multipliers[k]! * use)))));
    return add(layers) - add(this.limits.map((limit, k) => multipliers[k]! * limit));
  }

  /** A plan with these candidates and a certificate that says so. */
  plan(choices: readonly (readonly number[])[], multipliers: readonly number[], value: number): TestPlan {
    const { candidates, constraints, granularity, kvHeads, layers, objective, profile, profiled, queryHeads, rulesPerLayer } = this.options;
    const group = queryHeads / this.heads;
    const rows = choices.map((choice) => choice.flatMap((c) => Array.from({ length: group }, () => candidates[c]!)));
    const { windows } = this.options;
    const model = { name: 'synthetic', layers, queryHeads, kvHeads, headDim: 64, ...(windows === undefined ? {} : { windows }) };
    const facts = { candidates, constraints, granularity, objective, profile: { sha256: profile.sha256, lengths: profiled }, rulesPerLayer };
    const limits = { sink: 64, page: 64, minSpan: 128 };
    const lowerBound = this.bound(multipliers);
    return {
      format: 'moa-plan',
      version: 1,
      model,
      ...limits,
      alphas: rows.map((row) => row.map(([alpha]) => alpha)),
      betas: rows.map((row) => row.map(([, beta]) => beta)),
      certificate: {
        format: 'moa-certificate',
        version: 1,
        ...facts,
        multipliers,
        lowerBound,
        value,
        exact: { lowerBound: value, method: 'all plans tried' },
        instance: createHash('sha256').update(stableJson({ ...facts, limits, model })).digest('hex'),
      },
    };
  }

  /** With a span in tokens. A layer with a window of its own has no sink, and loses nothing outside that window. */
  #lossWith(layer: number, head: number, tokens: number, length: number): number {
    const own = this.options.windows?.[layer] ?? null;
    if (own === null) return this.#loss(layer, head, (tokens - 64) / 64, length);
    return tokens >= own ? 0 : this.#loss(layer, head, tokens / 64, length);
  }

  #loss(layer: number, head: number, m: number, length: number): number {
    const { profiled } = this.options;
    if (profiled.includes(length)) return this.#between(layer, head, m, length);
    const [n1, n2] = [profiled.at(-2), profiled.at(-1)!];
    const all = (n: number): number => this.#between(layer, head, 1, n);
    const own = this.options.windows?.[layer] ?? null;
    // A window that the longest profile fills is as long at any length.
    if (own !== null && own <= n2) return this.#between(layer, head, m, n2);
    let gamma = 1;
    if (n1 !== undefined && all(n1) !== 0 && all(n2) !== 0) {
      const errors = [0, 1, 2, 3, 4].map((quarters) => {
        const stretch = (n2 / n1) ** (quarters / 4);
        const shape = (pages: number): number => (this.#between(layer, head, stretch, n2) === 0 ? 0 : this.#between(layer, head, pages * stretch, n2) / this.#between(layer, head, stretch, n2));
        return add(Array.from({ length: n1 / 64 - 1 }, (_, at) => (this.#between(layer, head, at + 1, n1) / all(n1) - shape(at + 1)) ** 2));
      });
      gamma = errors.lastIndexOf(Math.min(...errors)) / 4;
    }
    return this.#between(layer, head, m / (length / n2) ** gamma, n2);
  }

  #between(layer: number, head: number, m: number, length: number): number {
    if (m >= length / 64) return 0;
    const below = Math.floor(m);
    const whole = (pages: number): number => {
      let sum = 0;
      for (let bi = 0; bi < length / 64; bi += 1) {
        for (let bj = (this.options.windows?.[layer] ?? null) === null ? 1 : 0; bj <= bi; bj += 1) {
          if (bi - bj - 1 >= pages) sum += this.options.profile.block(length, layer, head, 0, bi, bj);
          if (bi - bj >= pages) sum += this.options.profile.block(length, layer, head, 1, bi, bj);
        }
      }
      return sum;
    };
    return whole(below) + (m - below) * (whole(below + 1) - whole(below));
  }
}

export interface TestPlan extends Record<string, unknown> {
  readonly alphas: number[][];
  readonly betas: number[][];
  readonly certificate: Record<string, unknown>;
}

const add = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

function span([alpha, beta]: readonly [number, number], length: number): number {
  return Math.ceil(Math.max(Math.min(Math.trunc(alpha + beta * length), length), 128) / 64) * 64;
}

function time({ lengths }: NonNullable<TestConstraint['table']>, length: number, kept: number): number {
  const { spans, times } = lengths.find((entry) => entry.length === length)!;
  const after = spans.findIndex((known) => known >= kept);
  if (spans[after] === kept) return times[after]!;
  return (times[after - 1]! * (spans[after]! - kept) + times[after]! * (kept - spans[after - 1]!)) / (spans[after]! - spans[after - 1]!);
}

/** All lists of `digits` numbers below `base`. */
const product = (digits: number, base: number): number[][] => (digits === 0 ? [[]] : product(digits - 1, base).flatMap((list) => Array.from({ length: base }, (_, digit) => [...list, digit])));
