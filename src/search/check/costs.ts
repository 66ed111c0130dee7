import type { ModelShape } from '../../ir/nodes.ts';
import type { SpanLimits } from '../../ir/rule.ts';
import type { Candidate, Certificate, Constraint } from './certificate.ts';
import { gammaOf, lossAt, type LossCurve } from './headLosses.ts';
import { timeOf } from './latencyTimes.ts';
import { keptAt, spanAt } from './spanAt.ts';

/** A rule of a plan, or a candidate. */
export type SpanRule = Pick<Candidate, 'alpha' | 'numerator' | 'denominator'>;

/** What rules cost at a length, as the constraints and the objective of one certificate count it. */
export class Costs {
  /** Heads that a rule is chosen for: KV heads, or query heads. */
  readonly headsPerLayer: number;
  /** Query heads of each of them. */
  readonly queryHeadsPerHead: number;
  readonly #shape: ModelShape;
  readonly #limits: SpanLimits;
  readonly #certificate: Certificate;
  readonly #curves: ReadonlyMap<number, readonly LossCurve[]> | undefined;
  /** Of each query head, made when a length is asked for that was not profiled. */
  #gammas: readonly number[] | undefined;
  readonly #windows = new Map<string, number>();

  /** `curves`: losses of the profile, where there is one. */
  constructor(shape: ModelShape, limits: SpanLimits, certificate: Certificate, curves?: ReadonlyMap<number, readonly LossCurve[]>) {
    this.#shape = shape;
    this.#limits = limits;
    this.#certificate = certificate;
    this.#curves = curves;
    this.headsPerLayer = certificate.granularity === 'kv-head' ? shape.kvHeads : shape.queryHeads;
    this.queryHeadsPerHead = shape.queryHeads / this.headsPerLayer;
  }

  /** All heads that a rule is chosen for. */
  get heads(): number {
    return this.#shape.layers * this.headsPerLayer;
  }

  kept(rule: SpanRule, length: number): number {
    return keptAt(rule, this.#limits, length);
  }

  /** What a head that keeps `kept` tokens adds to the left side of a constraint on density or latency. */
  static use(constraint: Constraint, kept: number): number {
    return constraint.kind === 'latency' ? timeOf(constraint.table, constraint.length, kept) : kept / constraint.length;
  }

  /** The right side of a constraint. */
  limit(constraint: Constraint): number {
    const { bound, length } = constraint;
    if (constraint.kind === 'loss') return bound;
    return bound * this.heads * (constraint.kind === 'latency' ? timeOf(constraint.table, length, length) : 1);
  }

  /** Pages of window. */
  window(rule: SpanRule, length: number): number {
    const key = `${rule.alpha},${rule.numerator},${rule.denominator},${length}`;
    let pages = this.#windows.get(key);
    if (pages === undefined) this.#windows.set(key, (pages = (spanAt(rule, this.#limits, length) - this.#limits.sink) / this.#limits.page));
    return pages;
  }

  /** The loss of a query head, counted through the layers, with a window of `pages` at `length`. */
  loss(queryHead: number, length: number, pages: number): number {
    const profiled = this.#curves!.get(length);
    if (profiled !== undefined) return lossAt(profiled[queryHead]!, pages);
    const { lengths } = this.#certificate.profile;
    const longest = lengths.at(-1)!;
    this.#gammas ??= this.#curves!.get(longest)!.map((curve, head) => gammaOf(this.#curves!.get(lengths.at(-2) ?? 0)?.[head], curve));
    return lossAt(this.#curves!.get(longest)![queryHead]!, pages / (length / longest) ** this.#gammas[queryHead]!);
  }
}
