/**
 * The mask of docs/plan-format.md, once more and apart: nothing here comes from `src/ir` or `src/mask`. Spans are computed in
 * BigInt, and what a row attends is asked pair by pair.
 */

/** `span(N) = alpha + numerator / denominator * N`, before limits. */
export interface OracleRule {
  readonly alpha: number;
  readonly numerator: number;
  readonly denominator: number;
}

export interface OracleLimits {
  readonly minSpan: number;
  readonly page: number;
  readonly sink: number;
}

/** A head's mask at one length bound, in tokens. */
export interface OracleMask {
  readonly sink: number;
  readonly window: number;
  /** The model's own window, which masks beside the plan's rule; absent where the model's layer attends everything. */
  readonly modelWindow?: number;
}

/** `roundUp(max(min(trunc(alpha + beta * N), N), minSpan), page)`, in tokens. */
export function oracleSpan({ alpha, numerator, denominator }: OracleRule, limits: OracleLimits, bound: number): number {
  const wanted = (BigInt(alpha) * BigInt(denominator) + BigInt(numerator) * BigInt(bound)) / BigInt(denominator);
  let kept = Number(wanted);
  if (kept > bound) kept = bound;
  if (kept < limits.minSpan) kept = limits.minSpan;
  const over = kept % limits.page;
  return over === 0 ? kept : kept - over + limits.page;
}

/** @param modelWindow of the layer in the model, or null; where there is one the plan's rule has no sink */
export function oracleMask(
  rule: OracleRule,
  limits: OracleLimits,
  bound: number,
  modelWindow: number | null = null,
): OracleMask {
  const span = oracleSpan(rule, limits, bound);
  if (modelWindow !== null) return { sink: 0, window: span, modelWindow };
  const sink = span < limits.sink ? span : limits.sink;
  return { sink, window: span - sink };
}

/** Whether the query at position i attends the key at position j: the plan's rule and the model's, each by itself. */
export function attends({ sink, window, modelWindow }: OracleMask, i: number, j: number): boolean {
  if (modelWindow !== undefined && i - j >= modelWindow) return false;
  return j <= i && (j < sink || i - j < window);
}

/** Newest tokens that are attended, at most: what a ring keeps of a window. */
export function newestKept({ window, modelWindow }: OracleMask): number {
  return modelWindow !== undefined && modelWindow < window ? modelWindow : window;
}

/** Positions that the query at `i` attends, rising. */
export function attendedKeys(mask: OracleMask, i: number): number[] {
  const keys: number[] = [];
  for (let j = 0; j <= i; j += 1) {
    if (attends(mask, i, j)) keys.push(j);
  }
  return keys;
}

/** Positions that are in the cache after `length` tokens: those that the newest token attends. */
export function keptTokens(mask: OracleMask, length: number): number[] {
  return length === 0 ? [] : attendedKeys(mask, length - 1);
}

/** Tiles of `columns` keys with an allowed pair for rows `firstRow .. lastRow`, rising, found pair by pair. */
export function tilesWithPairs(mask: OracleMask, firstRow: number, lastRow: number, columns: number): number[] {
  const tiles = new Set<number>();
  for (let i = firstRow; i <= lastRow; i += 1) {
    for (let j = 0; j <= i; j += 1) {
      if (attends(mask, i, j)) tiles.add(Math.floor(j / columns));
    }
  }
  return [...tiles].sort((a, b) => a - b);
}
