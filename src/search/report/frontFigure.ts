import type { Drawing } from './drawing.ts';
import { formatTokens } from './format.ts';
import { html, type Html } from './html.ts';
import type { ReportPlan, SearchReport } from './searchReport.ts';

interface Axis {
  readonly label: string;
  readonly value: (plan: ReportPlan) => number;
}

interface Panel {
  readonly x: Axis;
  readonly y: Axis;
  /** Whether these two are all objectives: then the points are a front, not a shadow of one. */
  readonly whole: boolean;
}

/** More points than this, and only the chosen one is named. */
const maxNamed = 12;

/** The plans, two objectives a panel: one panel for two lengths, three for more. */
export function frontFigure(report: SearchReport, drawing: Drawing): Html {
  const panels = panelsOf(report.lengths.map((at) => at.length));
  const wide = panels.length === 1;
  const skipped = report.lengths.length > 3;
  return html`<figure><figcaption>${wide ? undefined : html`<p>Two lengths a panel${skipped ? '; of more than three, the first, the middle and the last' : ''}. A plan that looks beaten in one panel is better in another.</p>`}</figcaption>
<div class="${wide ? 'chart' : 'panels'}">${panels.map((panel, index) => panelChart(report, panel, index, drawing))}</div></figure>`;
}

function panelsOf(lengths: readonly number[]): Panel[] {
  const loss = (index: number): Axis => ({ label: `loss at ${formatTokens(lengths[index]!)}`, value: (plan) => plan.losses[index]! });
  if (lengths.length === 1) return [{ x: { label: `density at ${formatTokens(lengths[0]!)}`, value: (plan) => plan.densities[0]! }, y: loss(0), whole: true }];
  if (lengths.length === 2) return [{ x: loss(0), y: loss(1), whole: true }];
  const [first, middle, last] = [0, Math.floor((lengths.length - 1) / 2), lengths.length - 1];
  return [
    { x: loss(first), y: loss(middle), whole: false },
    { x: loss(first), y: loss(last), whole: false },
    { x: loss(middle), y: loss(last), whole: false },
  ];
}

function panelChart({ plans, chosen }: SearchReport, { x, y, whole }: Panel, index: number, { plot, chart }: Drawing): Html {
  const points = plans.map((plan) => ({ id: plan.id, x: x.value(plan), y: y.value(plan), chosen: plan.id === chosen })).sort((a, b) => a.x - b.x || b.y - a.y);
  const width = whole ? 560 : 304;
  const named = points.filter((point) => point.chosen || points.length <= maxNamed);
  const title = (point: { readonly id: string }): string => `plan ${point.id}`;
  const at = { x: 'x', y: 'y' };
  return chart(
    { id: `front-${index}`, title: `${x.label} against ${y.label}`, description: `A point for each of ${plans.length} plans; the filled one, ${chosen}, was chosen. The numbers are in the table below.` },
    {
      width,
      height: whole ? 340 : 290,
      marginLeft: 60,
      marginBottom: 42,
      marginTop: 28,
      marginRight: 20,
      inset: 16,
      grid: true,
      x: { label: x.label, domain: domainOf(points.map((point) => point.x)), ticks: width / 90, nice: true },
      y: { label: y.label, domain: domainOf(points.map((point) => point.y)), ticks: 5, nice: true },
      marks: [
        plot.frame({ stroke: 'var(--rule)' }),
        // Everything above and right of the steps is beaten by a plan.
        ...(whole ? [plot.line(unbeaten(points), { ...at, curve: 'step-after', stroke: 'var(--muted)', strokeWidth: 1 })] : []),
        plot.dot(points.filter((point) => !point.chosen), { ...at, r: 4, fill: 'var(--page)', stroke: 'var(--first)', strokeWidth: 1.5, title }),
        plot.dot(points.filter((point) => point.chosen), { ...at, r: 6, fill: 'var(--second)', stroke: 'var(--page)', strokeWidth: 1.5, title }),
        plot.text(named.filter((point) => point.chosen), { ...at, text: 'id', dx: 9, dy: -9, textAnchor: 'start', fontWeight: 'bold' }),
        plot.text(named.filter((point) => !point.chosen), { ...at, text: 'id', dx: 7, dy: -8, textAnchor: 'start', fill: 'var(--muted)' }),
      ],
    },
  );
}

/** Of points by rising x, and falling y where x is equal: those that have a lower y than all before them. */
function unbeaten<Point extends { readonly x: number; readonly y: number }>(points: readonly Point[]): Point[] {
  let lowest = Infinity;
  return points.filter(({ x, y }, index) => {
    const better = y < lowest && points[index + 1]?.x !== x;
    if (better) lowest = y;
    return better;
  });
}

/** From the least to the largest; around them where they are the same. */
function domainOf(values: readonly number[]): [low: number, high: number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (low < high) return [low, high];
  return low === 0 ? [0, 1] : [low * 0.9, low * 1.1];
}
