/**
 * The straight line through times against bytes: `us = interceptUs + bytes / slope`.
 *
 * Times spread over three orders of magnitude. Plain least squares would fit the largest alone, so the sum of squared *relative* errors is
 * minimised (weights 1 / us^2): a point that is 5 % off counts as much at 20 us as at 4 ms.
 */
import type { MeasuredRow } from './results.ts';

export interface Fit {
  readonly points: number;
  readonly slopeTbps: number;
  readonly interceptUs: number;
  /** The point that is farthest off, in percent of its time: positive when it took longer than the line says. */
  readonly worst: { readonly percent: number; readonly us: number; readonly tokens: number; readonly batch: number };
}

/** Undefined when the points do not make a line: fewer than three, or all of the same bytes. */
export function fitLine(rows: readonly MeasuredRow[]): Fit | undefined {
  let [w, wx, wxx, wy, wxy] = [0, 0, 0, 0, 0];
  for (const { bytes, us } of rows) {
    const weight = 1 / (us * us);
    const x = bytes / 1e6;
    w += weight;
    wx += weight * x;
    wxx += weight * x * x;
    wy += weight * us;
    wxy += weight * x * us;
  }
  const determinant = w * wxx - wx * wx;
  if (rows.length < 3 || !(determinant > 1e-9 * w * wxx)) return undefined;
  // Microseconds a megabyte: the inverse of TB/s.
  const slope = (w * wxy - wx * wy) / determinant;
  const intercept = (wxx * wy - wx * wxy) / determinant;
  const residuals = rows.map(({ bytes, us, tokens, batch }) => {
    const off = us - (intercept + (slope * bytes) / 1e6);
    return { percent: (100 * off) / us, us: off, tokens, batch };
  });
  const worst = residuals.reduce((a, b) => (Math.abs(b.percent) > Math.abs(a.percent) ? b : a));
  return { points: rows.length, slopeTbps: 1 / slope, interceptUs: intercept, worst };
}
