/** The figure of one plan: TB/s over batch, and microseconds over N. */
import type { Figure, Line, LineStyle } from '../plot/svg.ts';
import { implementationsOf, isPeer, titleOf, type MeasuredRow } from './results.ts';

const lengthOfFirstPanel = 16384;
const batchesOfSecondPanel = [1, 8];

/** Colours that are told apart by most eyes (Okabe and Ito), ours dark and round. */
const ourStyles: readonly LineStyle[] = [
  { colour: '#0072b2', marker: 'circle' },
  { colour: '#56b4e9', marker: 'circle' },
  { colour: '#009e73', marker: 'circle' },
  { colour: '#7b4fb5', marker: 'circle' },
  { colour: '#a6005a', marker: 'circle' },
  { colour: '#6b7d00', marker: 'circle' },
];
const peerStyles: Readonly<Record<string, LineStyle>> = {
  flash: { colour: '#d55e00', marker: 'square' },
  cudnn: { colour: '#e69f00', marker: 'square' },
  flex: { colour: '#cc79a7', marker: 'diamond' },
  'heads-flash': { colour: '#8c8c8c', marker: 'diamond' },
  'heads-cudnn': { colour: '#333333', marker: 'diamond' },
};

const ceiling: LineStyle = { colour: '#777777', dash: 'dotted' };

const thousands = (tokens: number): string => (tokens >= 1024 ? `${tokens / 1024}k` : String(tokens));

export function planFigure(plan: string, device: string, readTbps: number | undefined, rows: readonly MeasuredRow[]): Figure {
  const ofPlan = rows.filter((row) => row.plan === plan);
  const implementations = implementationsOf(ofPlan);
  const ours = implementations.filter((name) => !isPeer(name));
  const styleOf = (name: string): LineStyle => peerStyles[name] ?? ourStyles[ours.indexOf(name) % ourStyles.length]!;
  const lineOf = (name: string, style: LineStyle, keep: (row: MeasuredRow) => boolean, point: (row: MeasuredRow) => [number, number]): Line => ({
    ...style,
    points: ofPlan.filter((row) => row.implementation === name && keep(row)).map(point).sort((a, b) => a[0] - b[0]),
  });
  // Ours last: on top.
  const drawn = [...implementations.filter(isPeer), ...ours];
  return {
    title: `Decode, ${plan}, ${device}`,
    notes: ['One token a sequence, mean layer, CUDA graph. Dense peers read the whole cache; all others what the plan keeps. Ours includes the append.'],
    panels: [
      {
        title: `Bytes of keys and values a second, N = ${thousands(lengthOfFirstPanel)}`,
        x: { label: 'batch', scale: 'log2' },
        y: { label: 'TB/s', scale: 'linear' },
        lines: drawn.map((name) => lineOf(name, styleOf(name), (row) => row.tokens === lengthOfFirstPanel, (row) => [row.batch, row.tbps])),
        ...(readTbps === undefined ? {} : { limit: { ...ceiling, y: readTbps } }),
      },
      {
        title: 'Time of a layer: batch 1 solid, batch 8 dashed',
        x: { label: 'N, tokens', scale: 'log2', format: thousands },
        y: { label: 'microseconds', scale: 'log10' },
        lines: batchesOfSecondPanel.flatMap((batch, dashed) =>
          drawn.map((name) => lineOf(name, { ...styleOf(name), ...(dashed > 0 ? { dash: 'dashed' as const } : {}) }, (row) => row.batch === batch, (row) => [row.tokens, row.us])),
        ),
      },
    ],
    legend: [
      ...implementations.map((name) => ({ ...styleOf(name), label: titleOf(name) })),
      ...(readTbps === undefined ? [] : [{ ...ceiling, label: `a plain sum of 4 GiB, ${readTbps.toFixed(2)} TB/s` }]),
    ],
  };
}
