import type { PlotOptions } from '@observablehq/plot';
import { chosenPlan } from './chosenPlan.ts';
import type { Drawing } from './drawing.ts';
import { formatCount, formatCountOf, formatLength, formatPercent, formatTokens, lossFormat, none } from './format.ts';
import { details, html, raw, table, type Html } from './html.ts';
import type { SearchReport } from './searchReport.ts';

/** What is known of the chosen plan at a length. */
interface Point {
  readonly length: number;
  readonly cacheDensity?: number;
  readonly computeDensity?: number;
  readonly loss?: number;
  readonly profiled: boolean;
  readonly samples?: number;
}

/** The chosen plan over lengths: what it keeps and computes, and what that is predicted to cost. */
export function lengthSection(report: SearchReport, drawing: Drawing): Html {
  const points = pointsOf(report);
  return html`<section id="lengths" aria-labelledby="lengths-heading">
<h2 id="lengths-heading">Over the length</h2>
<p>The chosen plan as the length bound grows. The axis of lengths is logarithmic; the others start at zero.</p>
<div class="charts">
${densityFigure(points, drawing)}
${lossFigure(points, drawing)}
</div>
${details('Numbers', pointTable(points))}
</section>`;
}

function pointsOf(report: SearchReport): Point[] {
  const { lengths, plan } = report;
  const { losses } = chosenPlan(report);
  const points = new Map<number, Point>(plan.curve.map((at) => [at.length, { ...at, profiled: false }]));
  lengths.forEach((at, index) => {
    const loss = losses[index];
    points.set(at.length, { ...(loss === undefined ? {} : { loss }), ...points.get(at.length), ...at });
  });
  return [...points.values()].sort((a, b) => a.length - b.length);
}

function densityFigure(points: readonly Point[], { plot, chart }: Drawing): Html {
  const line = (name: string, density: 'cacheDensity' | 'computeDensity', colour: string, dash: string) => {
    const data = points.filter((point) => point[density] !== undefined);
    const title = (point: Point): string => `${name} at ${formatTokens(point.length)}: ${formatPercent(point[density] ?? 0)}`;
    return [
      plot.lineY(data, { x: 'length', y: density, stroke: colour, strokeWidth: 2, strokeDasharray: dash }),
      plot.dot(data, { x: 'length', y: density, fill: colour, r: 3, title }),
    ];
  };
  const largest = Math.max(0, ...points.flatMap((point) => [point.cacheDensity ?? 0, point.computeDensity ?? 0]));
  const figure = chart(
    { id: 'density', title: 'Density over length', description: 'Two lines: the share of the KV cache that is kept, and the share of causal pairs that is computed. The numbers are in the table below.' },
    {
      ...frame(points),
      y: { domain: [0, largest > 0.5 ? 1 : Math.max(largest * 1.08, 0.01)], label: 'density', tickFormat: (share: number) => formatPercent(share).replace('.0', ''), grid: true, ticks: 5 },
      marks: [plot.ruleY([0]), ...line('cache', 'cacheDensity', 'var(--first)', '0'), ...line('compute', 'computeDensity', 'var(--second)', '5 3')],
    },
  );
  return html`<figure><figcaption><h3>Density</h3>${key([
    ['<path d="M0,6h26" stroke="var(--first)" stroke-width="2"/><circle cx="13" cy="6" r="3" fill="var(--first)"/>', 'KV cache'],
    ['<path d="M0,6h26" stroke="var(--second)" stroke-width="2" stroke-dasharray="5 3"/><circle cx="13" cy="6" r="3" fill="var(--second)"/>', 'compute'],
  ])}</figcaption>${figure}</figure>`;
}

function lossFigure(points: readonly Point[], { plot, chart }: Drawing): Html {
  const known = points.filter((point) => point.loss !== undefined);
  if (known.length === 0) return html`<figure><figcaption><h3>Predicted loss</h3></figcaption><p>Not known at any length.</p></figure>`;
  const format = lossFormat(known.map((point) => point.loss ?? 0));
  const profiled = known.filter((point) => point.profiled);
  const beyond = known.filter((point) => !point.profiled);
  const title = (point: Point): string => `${formatTokens(point.length)}: ${format(point.loss ?? 0)} nats, ${point.profiled ? 'profiled' : 'extrapolated'}`;
  const at = { x: 'length', y: 'loss', stroke: 'var(--first)' };
  const largest = Math.max(...known.map((point) => point.loss ?? 0));
  const figure = chart(
    { id: 'loss', title: 'Predicted loss over length', description: 'Filled points are lengths that were profiled, hollow ones are extrapolated. The numbers are in the table below.' },
    {
      ...frame(points),
      y: { domain: [0, largest > 0 ? largest * 1.08 : 1], label: 'nats', grid: true, ticks: 5 },
      marks: [
        plot.ruleY([0]),
        plot.lineY([...profiled.slice(-1), ...beyond], { ...at, strokeWidth: 2, strokeDasharray: '2 4' }),
        plot.lineY(profiled, { ...at, strokeWidth: 2 }),
        plot.dot(beyond, { ...at, fill: 'var(--page)', r: 4, strokeWidth: 1.5, title }),
        plot.dot(profiled, { ...at, fill: 'var(--first)', r: 4, strokeWidth: 1.5, title }),
      ],
    },
  );
  return html`<figure><figcaption><h3>Predicted loss</h3>${key([
    ['<path d="M0,6h26" stroke="var(--first)" stroke-width="2"/><circle cx="13" cy="6" r="4" fill="var(--first)"/>', 'profiled'],
    ['<path d="M0,6h26" stroke="var(--first)" stroke-width="2" stroke-dasharray="2 4"/><circle cx="13" cy="6" r="4" fill="var(--page)" stroke="var(--first)" stroke-width="1.5"/>', 'extrapolated'],
  ])}</figcaption>${figure}</figure>`;
}

/** What both charts share, so that they align. */
function frame(points: readonly Point[]): PlotOptions {
  const lengths = points.map((point) => point.length);
  const [first, last] = [Math.min(...lengths), Math.max(...lengths)];
  const step = Math.ceil(lengths.length / 8);
  return {
    width: 460,
    height: 270,
    marginLeft: 54,
    marginBottom: 40,
    marginTop: 26,
    marginRight: 16,
    x: {
      type: 'log',
      base: 2,
      domain: first < last ? [first, last] : [first / 2, first * 2],
      inset: 8,
      ticks: lengths.filter((_, index) => (lengths.length - 1 - index) % step === 0),
      tickFormat: formatLength,
      label: 'length bound N, tokens',
    },
  };
}

/** The legend of a chart. */
function key(entries: readonly (readonly [markup: string, name: string])[]): Html {
  return html`<ul class="key">${entries.map(([markup, name]) => html`<li><svg width="26" height="12" aria-hidden="true">${raw(markup)}</svg>${name}</li>`)}</ul>`;
}

function pointTable(points: readonly Point[]): Html {
  const format = lossFormat(points.map((point) => point.loss ?? 0));
  const percent = (share: number | undefined): string => (share === undefined ? none : formatPercent(share));
  const source = ({ loss, profiled, samples }: Point): string => {
    if (profiled) return samples === undefined ? 'profiled' : `profiled, ${formatCountOf(samples, 'sample')}`;
    return loss === undefined ? none : 'extrapolated';
  };
  return table({
    caption: 'The chosen plan by length',
    head: ['Length, tokens', 'KV cache', 'Compute', 'Predicted loss', 'Known from'],
    rows: points.map((point) => [formatCount(point.length), percent(point.cacheDensity), percent(point.computeDensity), point.loss === undefined ? none : format(point.loss), source(point)]),
  });
}
