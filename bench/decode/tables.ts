/** The tables of a decode run as Markdown. */
import { implementationsOf, namesOf, titleOf } from '../lib/implementations.ts';
import { signed, table } from '../lib/markdown.ts';
import type { Fit } from './fit.ts';
import { isMeasured, type Row } from './results.ts';

export interface FitOf extends Fit {
  readonly plan: string;
  readonly implementation: string;
}

/** Microseconds a layer (TB/s) of every implementation, for one N and some batches. A dash where nothing was measured. */
export function speedTable(rows: readonly Row[], tokens: number, batches: readonly number[]): string {
  const implementations = implementationsOf(rows);
  const cell = (plan: string, batch: number, implementation: string): string => {
    const found = rows.find((row) => row.plan === plan && row.batch === batch && row.tokens === tokens && row.implementation === implementation);
    return found !== undefined && isMeasured(found) ? `${found.us.toFixed(1)} (${found.tbps.toFixed(2)})` : '-';
  };
  const points = namesOf(rows, (row) => row.plan).flatMap((plan) => batches.map((batch) => [plan, batch] as const));
  return table(
    [`plan, batch, N = ${tokens}`, ...implementations.map(titleOf)],
    points.map(([plan, batch]) => [`${plan}, ${batch}`, ...implementations.map((implementation) => cell(plan, batch, implementation))]),
  );
}

export function fitTable(fits: readonly FitOf[]): string {
  return table(
    ['plan', 'implementation', 'points', 'slope, TB/s', 'intercept, us', 'worst residual'],
    fits.map(({ plan, implementation, points, slopeTbps, interceptUs, worst }) => [
      plan,
      titleOf(implementation),
      String(points),
      slopeTbps.toFixed(2),
      interceptUs.toFixed(1),
      `${signed(worst.percent)} %, ${signed(worst.us)} us at N = ${worst.tokens}, batch ${worst.batch}`,
    ]),
  );
}
