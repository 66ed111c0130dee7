import { formatCount, formatPercent, formatTokens } from './format.ts';
import { html, type Html } from './html.ts';
import type { SearchReport } from './searchReport.ts';
import { hexOf, viridis } from './viridis.ts';

const left = 36;
const top = 34;
const bottom = 34;
const barWidth = 90;

/**
 * A heat map: a row for each layer, a column for each query head, with space between the query heads of different KV heads, and
 * beside each row its mean. One path for each span, so that the file stays small and a pointer finds the number.
 */
export function spanFigure({ model, plan }: SearchReport): Html {
  const grid = new Grid(model);
  const { spans, spanLength } = plan;
  const share = (span: number): number => Math.min(span, spanLength) / spanLength;
  const paths = [...cellsBySpan(spans, grid)]
    .sort(([a], [b]) => a - b)
    .map(([span, cells]) => html`<path fill="${hexOf(viridis(share(span)))}" d="${cells}"><title>${formatTokens(span)}, ${formatPercent(share(span))}</title></path>\n`);
  const means = spans.map((row) => row.reduce((sum, span) => sum + share(span), 0) / Math.max(row.length, 1));
  const width = grid.right + barWidth + 62;
  const height = grid.bottom + bottom;
  return html`<svg class="plot" role="img" aria-labelledby="spans-title spans-desc" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
<title id="spans-title">Span of each layer and query head</title>
<desc id="spans-desc">Rows are ${model.layers} layers, columns ${model.queryHeads} query heads in groups of ${grid.group}. Colour is the share of ${formatTokens(spanLength)} that a head keeps; bars are means of layers. The numbers are in the table below.</desc>
<g shape-rendering="crispEdges">
${paths}</g>
${layerTicks(model.layers, grid)}
${headTicks(model.queryHeads, grid)}
${meanBars(means, grid)}</svg>`;
}

/** Where cells are. */
class Grid {
  readonly cell: number;
  /** Query heads of a KV head. */
  readonly group: number;
  readonly right: number;
  readonly bottom: number;
  readonly groups: number;
  readonly #gap: number;

  constructor({ layers, queryHeads, kvHeads }: SearchReport['model']) {
    this.cell = Math.min(Math.max(Math.floor(560 / queryHeads), 8), 20);
    this.group = Math.max(Math.floor(queryHeads / kvHeads), 1);
    this.groups = Math.ceil(queryHeads / this.group);
    this.#gap = this.group > 1 ? 4 : 0;
    this.right = this.x(queryHeads - 1) + this.cell;
    this.bottom = this.y(layers);
  }

  x(head: number): number {
    return left + head * this.cell + Math.floor(head / this.group) * this.#gap;
  }

  y(layer: number): number {
    return top + layer * this.cell;
  }
}

/** Path data: equal neighbours of a group are one rectangle. */
function cellsBySpan(spans: readonly (readonly number[])[], grid: Grid): Map<number, string> {
  const cells = new Map<number, string>();
  spans.forEach((row, layer) => {
    let first = 0;
    row.forEach((span, head) => {
      if (row[head + 1] === span && (head + 1) % grid.group !== 0) return;
      const width = (head - first + 1) * grid.cell;
      cells.set(span, `${cells.get(span) ?? ''}M${grid.x(first)},${grid.y(layer)}h${width}v${grid.cell}h-${width}z`);
      first = head + 1;
    });
  });
  return cells;
}

/** Every how many there is a tick: the least of 1, 2, 4, 8, ... that leaves `room` pixels. */
function tickStep(size: number, room: number): number {
  let step = 1;
  while (step * size < room) step *= 2;
  return step;
}

const everyOf = (count: number, step: number): number[] => Array.from({ length: Math.ceil(count / step) }, (_, index) => index * step);

function layerTicks(layers: number, grid: Grid): Html {
  const labels = everyOf(layers, tickStep(grid.cell, 14)).map((layer) => html`<text x="${left - 6}" y="${grid.y(layer) + grid.cell / 2}" dy="0.35em">${layer}</text>`);
  return html`<g text-anchor="end">${labels}<text class="axis" x="${left - 6}" y="${top - 8}">layer</text></g>`;
}

function headTicks(heads: number, grid: Grid): Html {
  const middle = (head: number): number => grid.x(head) + grid.cell / 2;
  const labels = everyOf(heads, tickStep(grid.cell, 22)).map((head) => html`<text x="${middle(head)}" y="${grid.bottom + 14}">${head}</text>`);
  const title = html`<text class="axis" text-anchor="start" x="${left}" y="${grid.bottom + 29}">query head</text>`;
  return html`<g text-anchor="middle">${labels}${title}${grid.group > 1 ? groupTicks(heads, grid) : undefined}</g>`;
}

/** A bracket above the query heads of each KV head. */
function groupTicks(heads: number, grid: Grid): Html {
  const brackets = Array.from({ length: grid.groups }, (_, group) => {
    const from = grid.x(group * grid.group);
    const to = grid.x(Math.min((group + 1) * grid.group, heads) - 1) + grid.cell;
    return html`<path d="M${from},${top - 3}v-3h${to - from}v3"/><text x="${(from + to) / 2}" y="${top - 10}">${group}</text>`;
  });
  return html`<g class="brackets">${brackets}<text class="axis" text-anchor="start" x="${left}" y="10">KV head</text></g>`;
}

function meanBars(means: readonly number[], grid: Grid): Html {
  const start = grid.right + 14;
  const thin = Math.max(grid.cell - 4, 3);
  const bars = means.map((mean, layer) => {
    const y = grid.y(layer) + (grid.cell - thin) / 2;
    return html`<rect x="${start}" y="${y}" width="${(mean * barWidth).toFixed(1)}" height="${thin}"><title>layer ${formatCount(layer)}: mean ${formatPercent(mean)}</title></rect>`;
  });
  const labels = [0, 0.5, 1].map((at) => html`<text text-anchor="middle" x="${start + at * barWidth}" y="${grid.bottom + 14}">${at * 100}</text>`);
  return html`<g class="bars">${bars}</g><path class="rule" d="M${start},${top}V${grid.bottom}"/>${labels}<text class="axis" x="${start}" y="${top - 8}">mean of layer, %</text>`;
}
