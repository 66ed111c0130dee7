import { colourRamp } from './colourRamp.ts';
import { formatCount, formatPercent, formatTokens } from './format.ts';
import { details, html, table, type Html } from './html.ts';
import type { SearchReport } from './searchReport.ts';
import { spanFigure } from './spanFigure.ts';

/** The chosen plan, head by head, and its rules. */
export function spanSection(report: SearchReport): Html {
  const { model, plan } = report;
  const heads = model.layers * model.queryHeads;
  const grouped = model.kvHeads < model.queryHeads;
  return html`<section id="spans" aria-labelledby="spans-heading">
<h2 id="spans-heading">Spans of the heads</h2>
<p>What each query head keeps of ${formatTokens(plan.spanLength)}.${grouped ? ' Query heads that read one KV head stand together.' : ''}</p>
<div class="beside">
<figure>
${colourRamp('ramp-spans', `share of ${formatTokens(plan.spanLength)}`, [0, 0.25, 0.5, 0.75, 1].map((at) => ({ at, label: formatCount(at * 100) + '\u00a0%' })))}
<div class="scroll" role="region" tabindex="0" aria-label="Span of each layer and query head">${spanFigure(report)}</div>
</figure>
<div><h3>Rules</h3>
${table({
    caption: 'Query heads of each rule; N is the length bound',
    head: ['Span', 'Query heads', 'Share of heads'],
    rows: plan.rules.map(({ rule, heads: count }) => [rule, formatCount(count), formatPercent(count / heads)]),
    foot: [['all', formatCount(plan.rules.reduce((sum, rule) => sum + rule.heads, 0)), '']],
  })}</div>
</div>
${details('Spans in tokens', spanTable(report))}
</section>`;
}

const spanTable = ({ model, plan }: SearchReport): Html =>
  table({
    caption: `Spans at ${formatTokens(plan.spanLength)}: a row for each layer, a column for each query head`,
    head: ['Layer', ...Array.from({ length: model.queryHeads }, (_, head) => head)],
    rows: plan.spans.map((row, layer) => [layer, ...row.map(formatCount)]),
  });
