/** The tables of `moa-compile evaluate`. */
import { DENSE, type Evaluation } from '../evaluate/answer.ts';
import { accuracyOf, effectiveContext, kindsOf, shownSubjects, type Shown } from '../evaluate/figures.ts';
import type { Subject } from '../evaluate/request.ts';
import { formatPercent, table } from './output.ts';

/** One table for each thing that was measured; rows are subjects, dense first. */
export function evaluationTables(evaluation: Evaluation, subjects: readonly Subject[], lengths: readonly number[]): string {
  const shown = shownSubjects(subjects);
  const parts = [
    ['KV slots kept, of a dense cache', densityTable(shown, lengths)],
    ...kindsOf(evaluation).map((kind) => [`retrieval: ${kind}, answered`, accuracyTable(evaluation, shown, lengths, kind)]),
    ...(evaluation.retrieval.length === 0 ? [] : [['retrieval, all kinds', contextTable(evaluation, shown, lengths)]]),
    ...(evaluation.perplexity.length === 0 ? [] : [['perplexity on the texts, and how many times that of dense', perplexityTable(evaluation, shown, lengths)]]),
    ...(evaluation.agreement.length === 0 ? [] : [['next tokens: divergence in nats, and how often the most likely one is the same', agreementTable(evaluation, lengths)]]),
  ];
  return parts.map(([title, text]) => `${title}\n${text}`).join('\n\n');
}

const percent = (part: number | undefined): string => (part === undefined ? '-' : formatPercent(part));

const densityTable = (shown: readonly Shown[], lengths: readonly number[]): string =>
  table([['attention', ...lengths.map(String), ''], ...shown.map(({ id, title, density }) => [id, ...lengths.map((length) => percent(density(length))), title])]);

const accuracyTable = (evaluation: Evaluation, shown: readonly Shown[], lengths: readonly number[], kind: string): string =>
  table([['attention', ...lengths.map(String)], ...shown.map(({ id }) => [id, ...lengths.map((length) => percent(accuracyOf(evaluation, id, length, kind)))])]);

const contextTable = (evaluation: Evaluation, shown: readonly Shown[], lengths: readonly number[]): string =>
  table([
    ['attention', ...lengths.map(String), 'effective context', 'relative to dense'],
    ...shown.map(({ id }) => [
      id,
      ...lengths.map((length) => percent(accuracyOf(evaluation, id, length))),
      ...[false, true].map((relative) => String(effectiveContext(evaluation, id, lengths, relative))),
    ]),
  ]);

function perplexityTable(evaluation: Evaluation, shown: readonly Shown[], lengths: readonly number[]): string {
  const lossOf = (subject: string, length: number): number | undefined => evaluation.perplexity.find((row) => row.subject === subject && row.length === length)?.loss;
  const cell = (subject: string, length: number): string => {
    const [loss, dense] = [lossOf(subject, length), lossOf(DENSE, length)];
    if (loss === undefined || dense === undefined) return '-';
    return subject === DENSE ? Math.exp(loss).toFixed(3) : `${Math.exp(loss).toFixed(3)} (${Math.exp(loss - dense).toFixed(4)} x)`;
  };
  return table([['attention', ...lengths.map(String)], ...shown.map(({ id }) => [id, ...lengths.map((length) => cell(id, length))])]);
}

function agreementTable({ agreement }: Evaluation, lengths: readonly number[]): string {
  const pairs = [...new Set(agreement.map((row) => `${row.subject}\0${row.with}`))].map((pair) => pair.split('\0') as [string, string]);
  return table([
    ['attention', 'with', ...lengths.flatMap((length) => [`KL ${length}`, `same ${length}`])],
    ...pairs.map(([subject, other]) => [
      subject,
      other,
      ...lengths.flatMap((length) => {
        const row = agreement.find((each) => each.subject === subject && each.with === other && each.length === length);
        return row === undefined ? ['-', '-'] : [row.kl.toFixed(5), formatPercent(row.top1)];
      }),
    ]),
  ]);
}
