/** The figure of one plan: TB/s over batch, and microseconds over N. */
import { implementationsOf, titleOf } from '../lib/implementations.ts';
import { ceiling, drawingOrder, styleOf, thousands } from '../plot/styles.ts';
import type { Figure, Line, LineStyle } from '../plot/svg.ts';
import type { MeasuredRow } from './results.ts';

const lengthOfFirstPanel = 16384;
const batchesOfSecondPanel = [1, 8];

export function planFigure(plan: string, device: string, readTbps: number | undefined, rows: readonly MeasuredRow[]): Figure {
  const ofPlan = rows.filter((row) => row.plan === plan);
  const implementations = implementationsOf(ofPlan);
  const style = (name: string): LineStyle => styleOf(name, implementations);
  const lineOf = (name: string, ownStyle: Partial<LineStyle>, keep: (row: MeasuredRow) => boolean, point: (row: MeasuredRow) => [number, number]): Line => ({
    ...style(name),
    ...ownStyle,
    points: ofPlan.filter((row) => row.implementation === name && keep(row)).map(point).sort((a, b) => a[0] - b[0]),
  });
  const drawn = drawingOrder(implementations);
  return {
    title: `Decode, ${plan}, ${device}`,
    notes: ['One token a sequence, mean layer, CUDA graph. Dense peers read the whole cache; all others what the plan keeps. Ours includes the append.'],
    panels: [
      {
        title: `Bytes of keys and values a second, N = ${thousands(lengthOfFirstPanel)}`,
        x: { label: 'batch', scale: 'log2' },
        y: { label: 'TB/s', scale: 'linear' },
        lines: drawn.map((name) => lineOf(name, {}, (row) => row.tokens === lengthOfFirstPanel, (row) => [row.batch, row.tbps])),
        ...(readTbps === undefined ? {} : { limit: { ...ceiling, y: readTbps } }),
      },
      {
        title: 'Time of a layer: batch 1 solid, batch 8 dashed',
        x: { label: 'N, tokens', scale: 'log2', format: thousands },
        y: { label: 'microseconds', scale: 'log10' },
        lines: batchesOfSecondPanel.flatMap((batch, dashed) =>
          drawn.map((name) => lineOf(name, dashed > 0 ? { dash: 'dashed' } : {}, (row) => row.batch === batch, (row) => [row.tokens, row.us])),
        ),
      },
    ],
    legend: [
      ...implementations.map((name) => ({ ...style(name), label: titleOf(name) })),
      ...(readTbps === undefined ? [] : [{ ...ceiling, label: `a plain sum of 4 GiB, ${readTbps.toFixed(2)} TB/s` }]),
    ],
  };
}
