/**
 * A span rule: `span(N) = roundUp(max(min(trunc(alpha + beta * N), N), minSpan), page)`, in tokens, where beta is the
 * fraction `numerator / denominator` (MoA, arXiv 2406.14909, section 3; docs/plan-format.md). Beta is a fraction so that TypeScript and
 * CUDA evaluate the same integers.
 */
export interface Rule {
  readonly kind: 'rule';
  /** Tokens; an integer, may be negative. */
  readonly alpha: number;
  /** Beta's numerator, `0 <= numerator <= denominator`. */
  readonly numerator: number;
  /** Beta's denominator, `1 <= denominator <= 2^30`, in lowest terms. */
  readonly denominator: number;
}

/** The constants of a plan that turn a rule into slots, in tokens. */
export interface SpanLimits {
  /** No span is shorter; 128 by default. */
  readonly minSpan: number;
  /** Spans are multiples of it; 64. */
  readonly page: number;
  /** The first tokens of a sequence, always attended; 64 by default, less than minSpan. */
  readonly sink: number;
}

/**
 * Canonical order: by slope, then by constant, falling; so the heads that keep most of a long sequence come first. Zero only for equal
 * rules: slopes are compared exactly, since different ones may have the same quotient in floats.
 */
export function compareRules(a: Rule, b: Rule): number {
  return compareProducts(b.numerator, a.denominator, a.numerator, b.denominator) || b.alpha - a.alpha;
}

/** The sign of `a * b - c * d` for integers up to 2^30. */
function compareProducts(a: number, b: number, c: number, d: number): number {
  const [left, right] = [a * b, c * d];
  if (Number.isSafeInteger(left) && Number.isSafeInteger(right)) return left - right;
  return Number(BigInt(a) * BigInt(b) - BigInt(c) * BigInt(d));
}

/** Whether the rule covers the whole sequence for every N. */
export function isDense(rule: Rule): boolean {
  return rule.numerator === rule.denominator && rule.alpha >= 0;
}
