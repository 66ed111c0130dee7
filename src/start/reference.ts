/**
 * Attention under a plan, in float64, from the definition alone (docs/plan-format.md): it shares no code with the compiler, so that
 * agreement means something. Slow and plain on purpose.
 */

/** What the reference needs of a plan in our format. */
export interface PlainPlan {
  readonly sink: number;
  /** The model's own window of each layer, or null; absent where no layer has one. */
  readonly model?: { readonly windows?: readonly (number | null)[] };
  readonly page: number;
  readonly minSpan: number;
  readonly alphas: readonly (readonly number[])[];
  readonly betas: readonly (readonly number[])[];
}

export interface HeadShape {
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** The tokens at the start that a layer always attends: none where the model has a window of its own. */
export const plainSink = (plan: PlainPlan, layer: number): number =>
  typeof plan.model?.windows?.[layer] === 'number' ? 0 : plan.sink;

/**
 * The window in tokens of a head: its span for sequences of up to `lengthBound` tokens, no longer than the model's own
 * window, without the sink.
 */
export function plainWindow(plan: PlainPlan, layer: number, head: number, lengthBound: number): number {
  const kept = Math.trunc(plan.alphas[layer]![head]! + plan.betas[layer]![head]! * lengthBound);
  const span = Math.ceil(Math.max(Math.min(kept, lengthBound), plan.minSpan) / plan.page) * plan.page;
  return Math.min(span, plan.model?.windows?.[layer] ?? Infinity) - plainSink(plan, layer);
}

/**
 * The output of every token of one sequence, `[tokens, queryHeads, headDim]`. Query i attends key j iff `j <= i` and
 * (`j < sink` or `i - j < window`).
 */
export function plainAttention(
  q: ArrayLike<number>,
  k: ArrayLike<number>,
  v: ArrayLike<number>,
  { queryHeads, kvHeads, headDim }: HeadShape,
  sink: number,
  windows: readonly number[],
): Float64Array {
  const tokens = q.length / (queryHeads * headDim);
  const scale = 1 / Math.sqrt(headDim);
  const out = new Float64Array(q.length);
  const weights = new Float64Array(tokens);
  for (let head = 0; head < queryHeads; head += 1) {
    const kvHead = Math.floor(head / (queryHeads / kvHeads));
    const window = windows[head]!;
    for (let i = 0; i < tokens; i += 1) {
      const row = (i * queryHeads + head) * headDim;
      let largest = -Infinity;
      for (let j = 0; j <= i; j += 1) {
        if (j >= sink && i - j >= window) continue;
        const key = (j * kvHeads + kvHead) * headDim;
        let score = 0;
        for (let d = 0; d < headDim; d += 1) score += q[row + d]! * k[key + d]!;
        weights[j] = score * scale;
        largest = Math.max(largest, weights[j]!);
      }
      let sum = 0;
      for (let j = 0; j <= i; j += 1) {
        if (j >= sink && i - j >= window) continue;
        const weight = Math.exp(weights[j]! - largest);
        const value = (j * kvHeads + kvHead) * headDim;
        sum += weight;
        for (let d = 0; d < headDim; d += 1) out[row + d]! += weight * v[value + d]!;
      }
      for (let d = 0; d < headDim; d += 1) out[row + d]! /= sum;
    }
  }
  return out;
}
