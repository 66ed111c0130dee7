/** The figure of a run: tokens a second over N, a panel a model. */
import { thousands } from '../plot/styles.ts';
import type { Figure, LineStyle, Panel } from '../plot/svg.ts';
import { titles, type Results, type Row } from './results.ts';

/** Colours that are told apart by most eyes (Okabe and Ito). */
const styles: Readonly<Record<string, LineStyle>> = {
  cudnn: { colour: '#e69f00', marker: 'square' },
  static: { colour: '#cc79a7', marker: 'square' },
  dynamic: { colour: '#d55e00', marker: 'square' },
  ours: { colour: '#0072b2', marker: 'circle' },
  'ours-half': { colour: '#56b4e9', marker: 'circle' },
};
const names: Readonly<Record<string, string>> = { 'vicuna-7b': 'Vicuna-7B', 'llama-3-8b': 'Llama-3-8B' };

/** Each implementation with as many sequences as it has memory for. */
export function modelsFigure({ device, settings, rows }: Results): Figure {
  const drawn = rows.filter((row) => row.batch === 'most' && (row.kind === 'bare' || row.kind === 'generate') && row.tokensPerSecond !== undefined);
  const lines = Object.keys(styles).flatMap((implementation) => (['bare', 'generate'] as const).map((kind) => ({ kind, implementation })));
  const style = (kind: Row['kind'], implementation: string): LineStyle => ({ ...styles[implementation]!, ...(kind === 'generate' ? { dash: 'dashed' as const } : {}) });
  const panel = (model: string): Panel => ({
    title: `${names[model] ?? model}: a bare loop solid, generate() dashed`,
    x: { label: 'N, tokens', scale: 'log2', format: thousands },
    y: { label: 'tokens/s', scale: 'log10' },
    lines: lines.map(({ kind, implementation }) => ({
      ...style(kind, implementation),
      points: drawn
        .filter((row) => row.model === model && row.kind === kind && row.implementation === implementation)
        .map((row) => [row.tokens, row.tokensPerSecond!] as const)
        .sort((a, b) => a[0] - b[0]),
    })),
  });
  return {
    title: `Decode of whole models, ${device}`,
    notes: [`Random weights, bf16. Weights and caches take ${settings.gib} GiB together: each has as many sequences as fit.`],
    panels: Object.keys(names).map(panel),
    legend: lines
      .filter(({ kind, implementation }) => drawn.some((row) => row.kind === kind && row.implementation === implementation))
      .map(({ kind, implementation }) => ({ ...style(kind, implementation), label: `${titles[implementation]!}, ${kind === 'bare' ? 'bare' : 'generate()'}` })),
  };
}
