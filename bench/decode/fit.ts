/** The straight line through times against bytes: `us = interceptUs + bytes / slope`. */
import { relativeLine } from '../lib/relativeLine.ts';
import type { MeasuredRow } from './results.ts';

export interface Fit {
  readonly points: number;
  readonly slopeTbps: number;
  readonly interceptUs: number;
  /** The point that is farthest off, in percent of its time: positive when it took longer than the line says. */
  readonly worst: { readonly percent: number; readonly us: number; readonly tokens: number; readonly batch: number };
}

/** Undefined when the points do not make a line. */
export function fitLine(rows: readonly MeasuredRow[]): Fit | undefined {
  // Microseconds a megabyte are the inverse of TB/s.
  const line = relativeLine(rows.map(({ bytes, us }) => ({ x: bytes / 1e6, y: us })));
  if (line === undefined) return undefined;
  const { index, percent, off } = line.worst;
  const { tokens, batch } = rows[index]!;
  return { points: rows.length, slopeTbps: 1 / line.slope, interceptUs: line.intercept, worst: { percent, us: off, tokens, batch } };
}
