/**
 * How much error is allowed: FlashAttention's rule. The limit scales with the error that the plain computation in the same type makes,
 * and has a floor of two rounding steps at magnitude 0.3.
 */
import { elementStep, type OracleElement } from './rounding.ts';

/** Errors of one (sequence, head), gathered row by row. */
export class ErrorMeter {
  readonly #step: number;
  #largest = 0;
  #largestSame = 0;
  #sum = 0;
  #sumSame = 0;
  #signed = 0;
  #count = 0;
  #broken: string | undefined;

  constructor(type: OracleElement) {
    this.#step = elementStep(type, 0.3);
  }

  /** @param at of the row's first element in `found` */
  add(found: ArrayLike<number>, at: number, exact: Float64Array, same: Float64Array, where: string): void {
    for (let d = 0; d < exact.length; d += 1) {
      const signed = found[at + d]! - exact[d]!;
      const error = Math.abs(signed);
      if (!Number.isFinite(error)) this.#broken ??= `${where} column ${d} is ${found[at + d]!}`;
      const sameError = Math.abs(same[d]! - exact[d]!);
      if (error > this.#largest) this.#largest = error;
      if (sameError > this.#largestSame) this.#largestSame = sameError;
      this.#sum += error;
      this.#sumSame += sameError;
      this.#signed += signed;
    }
    this.#count += exact.length;
  }

  /** The largest error in units of the plain computation's, of which 2 are allowed. */
  get multiple(): number {
    return this.#largest / (this.#largestSame + this.#step);
  }

  get count(): number {
    return this.#count;
  }

  /** What is wrong, or undefined. */
  verdict(): string | undefined {
    if (this.#broken !== undefined || this.#count === 0) return this.#broken;
    const limit = 2 * this.#largestSame + 2 * this.#step;
    if (this.#largest > limit) return `largest error ${this.#largest.toExponential(2)} > ${limit.toExponential(2)}`;
    // A small error in one direction everywhere passes the limit above, and not these.
    const mean = this.#sum / this.#count;
    const meanLimit = (1.5 * this.#sumSame) / this.#count + this.#step / 4;
    if (mean > meanLimit) return `mean error ${mean.toExponential(2)} > ${meanLimit.toExponential(2)}`;
    const bias = Math.abs(this.#signed) / this.#count;
    const biasLimit = (0.75 * this.#sumSame) / this.#count + this.#step / 8;
    if (this.#count >= 4096 && bias > biasLimit) return `bias ${bias.toExponential(2)} > ${biasLimit.toExponential(2)}`;
    return undefined;
  }
}

/**
 * The largest deviation of an fp32 logarithm of sums: rounding steps of float32 at the size that scores can have, which is
 * at most `scale * |q| * |k|`.
 */
export function lseLimit(scoreBound: number): number {
  return 2 ** -18 * Math.max(1, scoreBound);
}
