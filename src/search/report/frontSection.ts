import type { Drawing } from './drawing.ts';
import { formatCount, formatCountOf, formatLength, formatPercent, formatTokens, lossFormat, none } from './format.ts';
import { frontFigure } from './frontFigure.ts';
import { html, table, type Content, type Html } from './html.ts';
import type { SearchReport } from './searchReport.ts';

/** The plans that no other plan beats at every length. */
export function frontSection(report: SearchReport, drawing: Drawing): Html {
  const { plans } = report;
  const one = plans.length === 1;
  return html`<section id="front" aria-labelledby="front-heading">
<h2 id="front-heading">Pareto front</h2>
<p>${one ? 'The search left one plan.' : `${formatCount(plans.length)} plans: none has a lower predicted loss than another at every length. Lower and further left is better.`}</p>
${one ? undefined : frontFigure(report, drawing)}
${planTable(report)}
</section>`;
}

function planTable(report: SearchReport): Html {
  const { lengths, plans, chosen, validation } = report;
  const validated = validation !== undefined || plans.some((plan) => plan.validation !== undefined);
  const loss = lossFormat(plans.flatMap((plan) => plan.losses));
  const measured = lossFormat([...plans.map((plan) => plan.validation?.loss ?? 0), validation?.dense.loss ?? 0]);
  const resultCells = (result: { readonly loss: number; readonly accuracy: number } | undefined): Content[] => {
    if (!validated) return [];
    return result === undefined ? [none, none] : [measured(result.loss), formatPercent(result.accuracy)];
  };
  const at = validation === undefined ? '' : ` at ${formatLength(validation.length)}`;
  const samples = validation === undefined ? '' : `; validated on ${formatCountOf(validation.samples, 'sample')} of up to ${formatTokens(validation.length)}`;
  const lengthCells = lengths.map(({ length }) => html`<th scope="col">${formatLength(length)}</th>`);
  return table({
    caption: `Plans: losses in nats, densities of the KV cache${samples}`,
    head: html`<tr><th scope="col" rowspan="2">Plan</th><th scope="colgroup" colspan="${lengths.length}"><span>Predicted loss at</span></th>${
      validated ? html`<th scope="colgroup" colspan="2"><span>Validated${at}</span></th>` : undefined
    }<th scope="col" rowspan="2">Gap</th><th scope="colgroup" colspan="${lengths.length}"><span>Density at</span></th></tr>
<tr>${lengthCells}${validated ? html`<th scope="col">Loss</th><th scope="col">Accuracy</th>` : undefined}${lengthCells}</tr>`,
    rows: plans.map((plan) => [
      plan.id === chosen ? html`${plan.id} <b class="chosen">chosen</b>` : plan.id,
      ...plan.losses.map(loss),
      ...resultCells(plan.validation),
      formatPercent(plan.gap),
      ...plan.densities.map(formatPercent),
    ]),
    marked: plans.findIndex((plan) => plan.id === chosen),
    foot: validation === undefined ? [] : [['dense', ...lengths.map(() => '0'), ...resultCells(validation.dense), '', ...lengths.map(() => formatPercent(1))]],
  });
}
