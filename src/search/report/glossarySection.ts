import { html, type Html } from './html.ts';

const words: readonly (readonly [word: string, meaning: string])[] = [
  ['Span', 'The keys that a head keeps: some at the start of the sequence (the sink) and the newest ones. A rule alpha + beta N gives it for each length bound N, rounded up to whole pages of 64 tokens.'],
  ['Density', 'Of the KV cache: kept keys / N, averaged over KV heads. Of compute: pairs that the masks allow / causal pairs, averaged over query heads.'],
  ['Influence', 'The first-order change of the loss when a head no longer attends a key from a query, and the row of its softmax is normalised again. In nats, mean over samples.'],
  ['Predicted loss', 'The influence that a plan leaves out, summed over all heads. A profile gives it; beyond the longest profiled length it is extrapolated.'],
  ['Validated loss', 'The mean cross-entropy of answer tokens when the model runs with the masks of the plan. Accuracy is the share of answer tokens that are the most likely one.'],
  ['Gap', '(value - lower bound) / value, of what the solver minimised. No plan that meets the constraints is better by more.'],
];

/** The words of the report. */
export const glossarySection = (version: string): Html => html`<section id="glossary" aria-labelledby="glossary-heading">
<h2 id="glossary-heading">Glossary</h2>
<dl class="glossary">${words.map(([word, meaning]) => html`<div><dt>${word}</dt><dd>${meaning}</dd></div>\n`)}</dl>
</section>
<footer>Made by moa-compile ${version}.</footer>`;
