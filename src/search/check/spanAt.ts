import type { SpanLimits } from '../../ir/rule.ts';
import type { Candidate } from './certificate.ts';

/** `span(N) = roundUp(max(min(trunc(alpha + beta * N), N), minSpan), page)` of docs/plan-format.md, in integers of any size. */
export function spanAt({ alpha, numerator, denominator }: Pick<Candidate, 'alpha' | 'numerator' | 'denominator'>, { minSpan, page }: SpanLimits, length: number): number {
  // BigInt's division truncates, as trunc does.
  let tokens = (BigInt(alpha) * BigInt(denominator) + BigInt(numerator) * BigInt(length)) / BigInt(denominator);
  if (tokens > BigInt(length)) tokens = BigInt(length);
  if (tokens < BigInt(minSpan)) tokens = BigInt(minSpan);
  const over = tokens % BigInt(page);
  return Number(over === 0n ? tokens : tokens - over + BigInt(page));
}

/** What a head keeps of a sequence of `length` tokens, in a layer whose own window in the model is `own` tokens; null: it has none. */
export function keptAt(rule: Pick<Candidate, 'alpha' | 'numerator' | 'denominator'>, limits: SpanLimits, length: number, own: number | null): number {
  const kept = Math.min(spanAt(rule, limits, length), length);
  return own !== null && own < kept ? own : kept;
}
