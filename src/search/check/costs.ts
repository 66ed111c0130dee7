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
  readonly #own: readonly (number | null)[] | undefined;
  readonly #windows = new Map<string, number>();

  /**
   * @param own the model's own window of each layer, where the plan says it
   * @param curves losses of the profile, where there is one
   */
  constructor(shape: ModelShape, limits: SpanLimits, certificate: Certificate, own?: readonly (number | null)[], curves?: ReadonlyMap<number, readonly LossCurve[]>) {
    this.#shape = shape;
    this.#own = own;
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

  /** The model's own window in tokens; null: the layer attends everything. */
  own(layer: number): number | null {
    return this.#own?.[layer] ?? null;
  }

  kept(layer: number, rule: SpanRule, length: number): number {
    return keptAt(rule, this.#limits, length, this.own(layer));
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

  /** Pages of window; without end where it holds all that the model's layer attends. */
  window(layer: number, rule: SpanRule, length: number): number {
    const own = this.own(layer);
    const key = `${rule.alpha},${rule.numerator},${rule.denominator},${length},${own}`;
    let pages = this.#windows.get(key);
    if (pages === undefined) {
      const span = spanAt(rule, this.#limits, length);
      // A layer with a window of its own has no sink.
      const tokens = own === null ? span - this.#limits.sink : span >= own ? Infinity : span;
      this.#windows.set(key, (pages = tokens / this.#limits.page));
    }
    return pages;
  }

  /** The loss of a query head, counted through the layers, with a window of `pages` at `length`. */
  loss(queryHead: number, length: number, pages: number): number {
    const profiled = this.#curves!.get(length);
    if (profiled !== undefined) return lossAt(profiled[queryHead]!, pages);
    const { lengths } = this.#certificate.profile;
    const longest = lengths.at(-1)!;
    this.#gammas ??= this.#curves!.get(longest)!.map((curve, head) => {
      const own = this.own(Math.floor(head / this.#shape.queryHeads));
      // A window that the profile fills is as long at any length.
      return own !== null && own <= longest ? 0 : gammaOf(this.#curves!.get(lengths.at(-2) ?? 0)?.[head], curve);
    });
    return lossAt(this.#curves!.get(longest)![queryHead]!, pages / (length / longest) ** this.#gammas[queryHead]!);
  }
}
