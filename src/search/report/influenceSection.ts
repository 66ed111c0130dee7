import { colourRamp, type RampTick } from './colourRamp.ts';
import { formatCount, formatPercent, formatPowerOfTen, formatTokens, lossFormat, none } from './format.ts';
import { details, html, table, type Html } from './html.ts';
import { downsample, influenceImage, logScale, positionOf, type LogScale } from './influenceMap.ts';
import type { ReportHead, SearchReport } from './searchReport.ts';

const pageTokens = 64;
const maxShown = 4;

/** Influence maps of the heads that look farthest, and of those that look least far. */
export function influenceSection(report: SearchReport): Html {
  const rows = [
    { name: 'Most global', heads: report.mostGlobal.slice(0, maxShown) },
    { name: 'Most local', heads: report.mostLocal.slice(0, maxShown) },
  ].filter(({ heads }) => heads.length > 0);
  const shown = rows.flatMap(({ heads }) => heads);
  const scale = logScale(shown.map(({ influence }) => downsample(influence)));
  return html`<section id="influence" aria-labelledby="influence-heading">
<h2 id="influence-heading">Influence</h2>
${shown.length === 0 ? html`<p>The report holds no influence.</p>` : figures(report, rows, scale)}
</section>`;
}

function figures(report: SearchReport, rows: readonly { readonly name: string; readonly heads: readonly ReportHead[] }[], scale: LogScale): Html {
  const shown = rows.flatMap(({ heads }) => heads);
  const pages = Math.max(...shown.map(({ influence }) => influence.length));
  const factor = Math.ceil(pages / downsample(shown.find(({ influence }) => influence.length === pages)!.influence).length);
  return html`<p>How much the loss would change, to first order, if a head no longer attended a block of keys. Rows are queries, from the first at the top to token ${formatCount(pages * pageTokens)} at the bottom; columns are keys, from left to right. A cell is a block of ${formatTokens(factor * pageTokens)} by as many.</p>
${colourRamp('ramp-influence', 'influence of a cell, nats', decadesOf(scale))}
${rows.map(({ name, heads }) => html`<h3>${name}</h3><div class="maps">${heads.map((head) => mapFigure(report, head, scale))}</div>\n`)}
${details('Influence by distance', distanceTable(shown))}`;
}

const nameOf = ({ layer, queryHead }: ReportHead): string => `layer ${formatCount(layer)}, head ${formatCount(queryHead)}`;

function mapFigure({ plan }: SearchReport, head: ReportHead, scale: LogScale): Html {
  const cells = downsample(head.influence);
  const span = plan.spans[head.layer]?.[head.queryHead];
  const kept = span === undefined ? none : `span ${formatCount(span)} of ${formatCount(plan.spanLength)}`;
  return html`<figure><img src="${influenceImage(cells, scale)}" width="${cells.length}" height="${cells.length}" alt="Influence of ${nameOf(head)}; numbers by distance are in the table below"><figcaption>${nameOf(head)}<br><span>${kept}</span></figcaption></figure>`;
}

function decadesOf(scale: LogScale): RampTick[] {
  const first = Math.ceil(Math.log10(scale.low) - 1e-9);
  const last = Math.floor(Math.log10(scale.high) + 1e-9);
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, index) => ({ at: positionOf(scale, 10 ** (first + index)), label: formatPowerOfTen(first + index) }));
}

interface Band {
  readonly label: string;
  readonly holds: (query: number, key: number) => boolean;
}

/** The first page of keys by itself, as it is kept whatever the span; then distances that double. */
function bandsOf(pages: number): Band[] {
  const bands: Band[] = [
    { label: 'first page of keys', holds: (_query, key) => key === 0 },
    { label: 'same page', holds: (query, key) => key > 0 && query === key },
  ];
  for (let from = 1; from < pages - 1; from *= 2) {
    const to = from * 2;
    const label = from === 1 ? '1 page back' : `${formatCount(from)} to ${formatCount(Math.min(to, pages - 1) - 1)} pages back`;
    bands.push({ label, holds: (query, key) => key > 0 && query - key >= from && query - key < to });
  }
  return bands;
}

function distanceTable(heads: readonly ReportHead[]): Html {
  const totals = heads.map(({ influence }) => sumWhere(influence, () => true));
  const format = lossFormat(totals);
  return table({
    caption: 'Share of the influence of a head by distance, in pages of 64 tokens',
    head: ['Distance', ...heads.map(nameOf)],
    rows: bandsOf(Math.max(...heads.map(({ influence }) => influence.length))).map(({ label, holds }) => [
      label,
      ...heads.map(({ influence }, index) => formatPercent(sumWhere(influence, holds) / (totals[index]! || 1))),
    ]),
    foot: [['all, nats', ...totals.map(format)]],
  });
}

function sumWhere(influence: ReportHead['influence'], holds: Band['holds']): number {
  let sum = 0;
  influence.forEach((row, query) =>
    row.forEach((value, key) => {
      if (holds(query, key)) sum += value;
    }),
  );
  return sum;
}
