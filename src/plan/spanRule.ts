import type { Rule } from '../ir/rule.ts';
import { invariant } from '../util/invariant.ts';

export const MAX_DENOMINATOR = 2 ** 30;

export interface Fraction {
  readonly numerator: number;
  readonly denominator: number;
  /** Whether `numerator / denominator`, rounded to a double, is the number it was made of. */
  readonly exact: boolean;
}

/** The span rule of a plan's `alpha` (tokens, an integer) and `beta` (0 to 1). */
export function ruleOf(alpha: number, beta: number): Rule {
  invariant(Number.isInteger(alpha), `alpha ${alpha} is not an integer`);
  const { numerator, denominator } = fractionOf(beta);
  return { kind: 'rule', alpha: alpha === 0 ? 0 : alpha, numerator, denominator };
}

/**
 * The fraction that `beta` (0 to 1) was most likely written for: the first convergent p/q of its continued fraction whose double is
 * beta, or else the last one with `q <= 2^30`, which is within 2^-30/q of it. So 0.1, whose double is not a tenth, gives 1/10.
 */
export function fractionOf(beta: number): Fraction {
  invariant(beta >= 0 && beta <= 1, `beta ${beta} is not from 0 to 1`);
  // Euclid's algorithm on the double's exact value rest / divisor, in integers: floats would lose the later convergents.
  let [rest, divisor] = exactRatio(beta);
  let [p, q, previousP, previousQ] = [1n, 0n, 0n, 1n];
  for (;;) {
    const quotient = rest / divisor;
    const nextP = quotient * p + previousP;
    const nextQ = quotient * q + previousQ;
    if (nextQ > MAX_DENOMINATOR) return { numerator: Number(p), denominator: Number(q), exact: false };
    [p, q, previousP, previousQ] = [nextP, nextQ, p, q];
    if (Number(p) / Number(q) === beta) return { numerator: Number(p), denominator: Number(q), exact: true };
    [rest, divisor] = [divisor, rest % divisor];
  }
}

/** The integers whose quotient is exactly `value`, a double from 0 to 1. */
function exactRatio(value: number): [bigint, bigint] {
  let mantissa = value;
  let exponent = 0n;
  while (!Number.isInteger(mantissa)) {
    mantissa *= 2;
    exponent += 1n;
  }
  return [BigInt(mantissa), 1n << exponent];
}
