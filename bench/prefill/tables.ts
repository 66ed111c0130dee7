/** The tables of a prefill run as Markdown. A dash stands where nothing was measured. `rows` are in the order of results.ts. */
import { implementationsOf, isPeer, namesOf, titleOf } from '../lib/implementations.ts';
import { signed, table } from '../lib/markdown.ts';
import type { Fit } from './fit.ts';
import { isMeasured, type MeasuredRow, type Point, type Row } from './results.ts';

export interface FitOf extends Fit {
  readonly plan: string;
  readonly implementation: string;
}

/** N of which the rate is compared with that of chunks. */
const wholePrompt = 16384;

/** Milliseconds of attention alone (TFLOP/s on active pairs / on computed pairs), for each N. */
export const sweepTable = (rows: readonly Row[]): string => pointTable('plan, N', rows.filter(({ scenario }) => scenario === 'one'), speed);

/** The same for chunks and batches; of chunks also the rate on active pairs against that of a whole prompt of 16k tokens. */
export function scenarioTable(rows: readonly Row[]): string {
  const measured = rows.filter(isMeasured);
  const isWhole = (row: MeasuredRow, of: MeasuredRow): boolean =>
    row.scenario === 'one' && row.tokens === wholePrompt && row.plan === of.plan && row.implementation === of.implementation && row.dtype === of.dtype;
  const share = (row: MeasuredRow): string => {
    const whole = row.scenario === 'chunked' ? measured.find((other) => isWhole(other, row)) : undefined;
    return whole === undefined ? '' : `, ${((100 * row.activeTflops) / whole.activeTflops).toFixed(0)} %`;
  };
  return pointTable('plan, scenario', rows.filter(({ scenario }) => scenario !== 'one'), (row) => `${speed(row)}${share(row)}`);
}

/** What the append adds, in microseconds and percent. */
export function appendTable(rows: readonly Row[]): string {
  const appended = ({ ms, withAppendMs = NaN }: MeasuredRow): string => `${signed(1000 * (withAppendMs - ms))} us, ${signed(100 * (withAppendMs / ms - 1))} %`;
  return pointTable('plan, scenario', rows.filter(({ implementation }) => !isPeer(implementation)), appended);
}

export function fitTable(fits: readonly FitOf[]): string {
  return table(
    ['plan', 'implementation', 'points', 'slope, TFLOP/s', 'intercept, us', 'worst residual'],
    fits.map(({ plan, implementation, points, slopeTflops, interceptUs, worst }) => [
      plan,
      titleOf(implementation),
      String(points),
      slopeTflops.toFixed(0),
      interceptUs.toFixed(1),
      `${signed(worst.percent)} %, ${signed(worst.us)} us at N = ${worst.tokens}`,
    ]),
  );
}

/** A line for each point of `rows`, a column for each implementation. */
function pointTable(corner: string, rows: readonly Row[], cell: (row: MeasuredRow) => string): string {
  const implementations = implementationsOf(rows);
  const cells = new Map(rows.filter(isMeasured).map((row) => [`${nameOf(row)} ${row.implementation}`, cell(row)]));
  return table(
    [corner, ...implementations.map(titleOf)],
    namesOf(rows, nameOf).map((point) => [point, ...implementations.map((implementation) => cells.get(`${point} ${implementation}`) ?? '-')]),
  );
}

const speed = ({ ms, activeTflops, computedTflops }: MeasuredRow): string =>
  `${ms.toFixed(3)} (${activeTflops.toFixed(0)}${computedTflops === undefined ? '' : ` / ${computedTflops.toFixed(0)}`})`;

const nameOf = ({ plan, scenario, tokens, held, dtype }: Point): string =>
  [plan, ...(scenario === 'ragged' || scenario === 'mixed' ? [scenario] : []), held > 0 ? `${tokens} behind ${held}` : String(tokens), ...(dtype === 'bf16' ? [] : [dtype])].join(', ');
