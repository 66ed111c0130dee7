/** Which KV heads attend everything. */
export interface HeadChoice {
  /** By layer and KV head. */
  readonly full: readonly (readonly boolean[])[];
  /** The heads that have the lowest score of a full head, where some of them stream all the same. */
  readonly tie?: { readonly score: number; readonly heads: number; readonly full: number };
}

/**
 * The heads whose score is not below the `sparsity` quantile of all scores (`numpy.quantile`, linear), as DuoAttention chooses them: of n heads
 * `ceil(sparsity * (n - 1))` stream, none at 0 and all at 1. Scores are clipped to 0..1 before. Among equal scores the earlier head in
 * the order (layer, head) is full, where DuoAttention adds noise.
 */
export function chooseFullHeads(scores: readonly (readonly number[])[], sparsity: number): HeadChoice {
  const clipped = scores.flatMap((row) => row.map((score) => Math.min(1, Math.max(0, score))));
  const count = clipped.length - streamingHeads(clipped.length, sparsity);
  // Sorting is stable: equal scores stay in their order.
  const order = clipped.map((_, index) => index).sort((a, b) => clipped[b]! - clipped[a]!);
  const chosen = new Set(order.slice(0, count));
  let index = 0;
  const full = scores.map((row) => row.map(() => chosen.has(index++)));

  const score = clipped[order[count - 1] ?? -1];
  const next = clipped[order[count] ?? -1];
  if (score === undefined || score !== next) return { full };
  const equal = clipped.flatMap((other, at) => (other === score ? [at] : []));
  return { full, tie: { score, heads: equal.length, full: equal.filter((at) => chosen.has(at)).length } };
}

function streamingHeads(heads: number, sparsity: number): number {
  if (sparsity <= 0) return 0;
  return sparsity >= 1 ? heads : Math.ceil(sparsity * (heads - 1));
}
