/** Times of our kernels, measured, by length and span: the cost of a plan in microseconds instead of bytes. */

export interface LatencyTable {
  readonly device: string;
  readonly phase: 'prefill' | 'decode';
  readonly headDim: number;
  readonly groupSize: number;
  readonly lengths: readonly LatencyRow[];
}

export interface LatencyRow {
  readonly length: number;
  /** Tokens, rising; the last is the length. */
  readonly spans: readonly number[];
  /** Of one KV head of one layer, microseconds. */
  readonly times: readonly number[];
}

/** The time of one KV head with `span` at the row's length: linear between the row's spans, constant outside of them. */
export function timeOf({ spans, times }: LatencyRow, span: number): number {
  const after = spans.findIndex((known) => known >= span);
  if (after < 0) return times.at(-1)!;
  if (after === 0) return times[0]!;
  const [left, right] = [spans[after - 1]!, spans[after]!];
  return times[after - 1]! + ((times[after]! - times[after - 1]!) * (span - left)) / (right - left);
}
