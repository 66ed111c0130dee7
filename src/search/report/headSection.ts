import { chosenPlan } from './chosenPlan.ts';
import { formatCount, formatCountOf, formatDifference, formatPercent, formatPoints, formatSeconds, formatTokens, lossFormat } from './format.ts';
import { html, type Content, type Html } from './html.ts';
import type { SearchReport } from './searchReport.ts';

/** What was searched, what was asked for, what was chosen, and the figures of it. */
export function headSection(report: SearchReport): Html {
  const { model, candidates, granularity, rulesPerLayer, constraints, chosen, reason, plans } = report;
  const shape = `${formatCountOf(model.layers, 'layer')}, ${formatCountOf(model.queryHeads, 'query head')} on ${formatCountOf(model.kvHeads, 'KV head')}, headDim ${model.headDim}`;
  const search = [
    granularity === 'kv-head' ? 'One rule for each KV head' : 'One rule for each query head',
    `of ${formatCountOf(candidates, 'candidate')}`,
    rulesPerLayer === 0 ? 'any number in a layer' : `at most ${formatCount(rulesPerLayer)} different in a layer`,
  ].join(', ');
  return html`<header>
<p class="kicker">Search for attention spans</p>
<h1>${model.name === undefined ? 'Model without a name' : html`<bdi>${model.name}</bdi>`}</h1>
<p class="lead">${shape}.<br>${search}.</p>
</header>
<section id="summary" aria-labelledby="summary-title">
<h2 id="summary-title">Summary</h2>
<dl class="tiles">${tilesOf(report).map(({ label, value, note }) => html`<div><dt>${label}</dt><dd><strong>${value}</strong><span>${note}</span></dd></div>\n`)}</dl>
<div class="columns">
<div><h3>Asked for</h3>${constraints.length === 0 ? html`<p>No constraint.</p>` : html`<ul class="plain">${constraints.map((text) => html`<li>${text}</li>`)}</ul>`}</div>
<div><h3>Chosen</h3><p>Plan <b>${chosen}</b>${plans.length === 1 ? ', the only one' : ` of ${formatCount(plans.length)}`}: ${reason}.</p></div>
<div><h3>Time</h3>${timeTable(report.seconds)}</div>
</div>
</section>`;
}

interface Tile {
  readonly label: string;
  readonly value: string;
  readonly note: Content;
}

function tilesOf(report: SearchReport): Tile[] {
  const plan = chosenPlan(report);
  const last = report.lengths.length - 1;
  const at = report.lengths[last];
  const tiles: Tile[] = [];
  if (at !== undefined) {
    const loss = plan.losses[last] ?? Number.NaN;
    tiles.push(
      { label: 'Density', value: formatPercent(plan.densities[last] ?? Number.NaN), note: `of the KV cache at ${formatTokens(at.length)}` },
      { label: 'Predicted loss', value: lossFormat([loss])(loss), note: `nats at ${formatTokens(at.length)}, ${at.profiled ? 'profiled' : 'extrapolated'}` },
    );
  }
  if (plan.validation !== undefined) tiles.push(...validationTiles(plan.validation, report.validation));
  tiles.push({ label: 'Proven gap', value: formatPercent(plan.gap), note: plan.gap > 0 ? 'at most, from the best there can be' : 'no plan has a better value' });
  return tiles;
}

function validationTiles(plan: { readonly loss: number; readonly accuracy: number }, against: SearchReport['validation']): Tile[] {
  const format = lossFormat([plan.loss, against?.dense.loss ?? 0]);
  const dense = (text: string, difference: string): Content => html`${difference} against dense ${text}`;
  return [
    { label: 'Validated loss', value: format(plan.loss), note: against === undefined ? 'nats' : dense(format(against.dense.loss), formatDifference(plan.loss - against.dense.loss, format)) },
    { label: 'Validated accuracy', value: formatPercent(plan.accuracy), note: against === undefined ? 'of answer tokens' : dense(formatPercent(against.dense.accuracy), formatPoints(plan.accuracy - against.dense.accuracy)) },
  ];
}

function timeTable(stages: SearchReport['seconds']): Html {
  const total = stages.reduce((sum, { seconds }) => sum + seconds, 0);
  const row = (name: string, seconds: number): Html => {
    const share = total > 0 ? ((seconds / total) * 100).toFixed(1) : '0';
    return html`<tr><th scope="row">${name}</th><td>${formatSeconds(seconds)}</td><td class="bar" aria-hidden="true"><i style="width:${share}%"></i></td></tr>\n`;
  };
  return html`<table class="time"><tbody>${stages.map(({ stage, seconds }) => row(stage, seconds))}</tbody>
<tfoot><tr><th scope="row">all</th><td>${formatSeconds(total)}</td><td></td></tr></tfoot></table>`;
}
