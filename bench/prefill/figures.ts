/** The figure of one plan: TFLOP/s on active pairs, and milliseconds, over N. */
import { implementationsOf, titleOf } from '../lib/implementations.ts';
import { drawingOrder, styleOf, thousands } from '../plot/styles.ts';
import type { Figure, Line } from '../plot/svg.ts';
import { inSweep, type MeasuredRow } from './results.ts';

export function planFigure(plan: string, device: string, rows: readonly MeasuredRow[]): Figure {
  const ofPlan = rows.filter((row) => row.plan === plan && inSweep(row));
  const implementations = implementationsOf(ofPlan);
  const linesOf = (value: (row: MeasuredRow) => number): Line[] =>
    drawingOrder(implementations).map((name) => ({
      ...styleOf(name, implementations),
      points: ofPlan.filter((row) => row.implementation === name).map((row) => [row.tokens, value(row)] as const).sort((a, b) => a[0] - b[0]),
    }));
  const x = { label: 'N, tokens', scale: 'log2', format: thousands } as const;
  return {
    title: `Prefill, ${plan}, ${device}`,
    notes: ['One sequence, bf16, mean layer, attention alone. Of dense peers the causal triangle counts, of all others the pairs that the plan keeps.'],
    panels: [
      { title: 'Rate on active pairs', x, y: { label: 'TFLOP/s', scale: 'linear' }, lines: linesOf((row) => row.activeTflops) },
      { title: 'Time of a layer', x, y: { label: 'milliseconds', scale: 'log10' }, lines: linesOf((row) => row.ms) },
    ],
    legend: implementations.map((name) => ({ ...styleOf(name, implementations), label: titleOf(name) })),
  };
}
