/** The straight line through times against pairs: `us = interceptUs + work / slope`, the work being that of the pairs that are computed. */
import { relativeLine } from '../lib/relativeLine.ts';
import type { MeasuredRow } from './results.ts';

export interface Fit {
  readonly points: number;
  readonly slopeTflops: number;
  readonly interceptUs: number;
  /** The point that is farthest off, in percent of its time: positive when it took longer than the line says. */
  readonly worst: { readonly percent: number; readonly us: number; readonly tokens: number };
}

/** Of a peer that does not say what it computes, against the pairs that it has to. Undefined when the points do not make a line. */
export function fitLine(rows: readonly MeasuredRow[], headDim: number): Fit | undefined {
  // Microseconds for a million operations are the inverse of TFLOP/s.
  const line = relativeLine(rows.map(({ ms, activePairs, computedPairs = activePairs }) => ({ x: (4 * headDim * computedPairs) / 1e6, y: 1000 * ms })));
  if (line === undefined) return undefined;
  const { index, percent, off } = line.worst;
  return { points: rows.length, slopeTflops: 1 / line.slope, interceptUs: line.intercept, worst: { percent, us: off, tokens: rows[index]!.tokens } };
}
