/**
 * Attention in float64, row by row, straight from docs/plan-format.md: no tiles, no running maximum. And the plain computation in the
 * tensors' own type, whose error says how much error is to be expected.
 */
import { attends, type OracleMask } from './mask.ts';
import { toElement, type OracleElement } from './rounding.ts';

/** One sequence. Values are exact in the element type. */
export interface OracleSequence {
  readonly length: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** `[length][queryHeads][headDim]`. */
  readonly q: Float32Array;
  /** `[length][kvHeads][headDim]`. */
  readonly k: Float32Array;
  readonly v: Float32Array;
  readonly scale: number;
  /** Scores s become `softCap * tanh(s / softCap)`. */
  readonly softCap?: number;
  /** `[queryHeads]`: one logit more in the denominator of each head. */
  readonly sinkLogits?: readonly number[];
}

export interface OracleRow {
  readonly out: Float64Array;
  /** Natural logarithm of the sum of exp(score); -Infinity without keys. */
  readonly lse: number;
}

const kvHeadOf = (sequence: OracleSequence, head: number): number => Math.floor(head / (sequence.queryHeads / sequence.kvHeads));

/** In float64; `count` is a multiple of 4. Four sums do not wait for each other. */
function dot(a: Float32Array, aAt: number, b: Float32Array, bAt: number, count: number): number {
  let [sum0, sum1, sum2, sum3] = [0, 0, 0, 0];
  for (let d = 0; d < count; d += 4) {
    sum0 += a[aAt + d]! * b[bAt + d]!;
    sum1 += a[aAt + d + 1]! * b[bAt + d + 1]!;
    sum2 += a[aAt + d + 2]! * b[bAt + d + 2]!;
    sum3 += a[aAt + d + 3]! * b[bAt + d + 3]!;
  }
  return sum0 + sum1 + (sum2 + sum3);
}

/** out += weight * row. */
function addRow(out: Float64Array, weight: number, rows: Float32Array, at: number): void {
  for (let d = 0; d < out.length; d += 1) out[d]! += weight * rows[at + d]!;
}

const capped = (score: number, { softCap }: OracleSequence): number => (softCap === undefined ? score : softCap * Math.tanh(score / softCap));
const sinkOf = ({ sinkLogits }: OracleSequence, head: number): number => sinkLogits?.[head] ?? -Infinity;

/** Output and LSE of query head `head` at position `i`. */
export function attentionRow(sequence: OracleSequence, head: number, i: number, mask: OracleMask): OracleRow {
  const { queryHeads, kvHeads, headDim, q, k, v, scale } = sequence;
  const kvHead = kvHeadOf(sequence, head);
  const scores: number[] = [];
  const keys: number[] = [];
  const sink = sinkOf(sequence, head);
  let largest = sink;
  for (let j = 0; j <= i; j += 1) {
    if (!attends(mask, i, j)) continue;
    const score = capped(dot(q, (i * queryHeads + head) * headDim, k, (j * kvHeads + kvHead) * headDim, headDim) * scale, sequence);
    if (score > largest) largest = score;
    scores.push(score);
    keys.push(j);
  }
  const out = new Float64Array(headDim);
  if (keys.length === 0) return { out, lse: sink };
  let sum = Math.exp(sink - largest);
  keys.forEach((j, n) => {
    const weight = Math.exp(scores[n]! - largest);
    sum += weight;
    addRow(out, weight, v, (j * kvHeads + kvHead) * headDim);
  });
  for (let d = 0; d < headDim; d += 1) out[d]! /= sum;
  return { out, lse: largest + Math.log(sum) };
}

/** `k * scale` rounded to the element type: what the plain computation multiplies q with. */
export function scaledKeys({ k, scale }: OracleSequence, type: OracleElement): Float32Array {
  return k.map((value) => toElement(type, value * scale));
}

/**
 * The same row by the plain computation in the element type, as FlashAttention's tests do it (`attention_ref(upcast=False,
 * reorder_ops=True)`): k scaled and rounded, S = q k^T rounded and where it is capped rounded again, softmax in wide arithmetic and rounded, P V rounded.
 * @param keys from `scaledKeys`
 */
export function sameTypeRow(sequence: OracleSequence, keys: Float32Array, type: OracleElement, head: number, i: number, mask: OracleMask): OracleRow {
  const { queryHeads, kvHeads, headDim, q, v } = sequence;
  const kvHead = kvHeadOf(sequence, head);
  const scores: number[] = [];
  const attended: number[] = [];
  for (let j = 0; j <= i; j += 1) {
    if (!attends(mask, i, j)) continue;
    attended.push(j);
    const score = toElement(type, dot(q, (i * queryHeads + head) * headDim, keys, (j * kvHeads + kvHead) * headDim, headDim));
    scores.push(sequence.softCap === undefined ? score : toElement(type, capped(score, sequence)));
  }
  const out = new Float64Array(headDim);
  const sink = sinkOf(sequence, head);
  if (attended.length === 0) return { out, lse: sink };
  const largest = scores.reduce((a, b) => (a > b ? a : b), sink);
  const sum = scores.reduce((total, score) => total + Math.exp(score - largest), Math.exp(sink - largest));
  attended.forEach((j, n) => {
    const probability = toElement(type, Math.exp(scores[n]! - largest) / sum);
    addRow(out, probability, v, (j * kvHeads + kvHead) * headDim);
  });
  for (let d = 0; d < headDim; d += 1) out[d] = toElement(type, out[d]!);
  return { out, lse: largest + Math.log(sum) };
}
