/** The tables of a run of whole models as Markdown. */
import { namesOf } from '../lib/implementations.ts';
import { table } from '../lib/markdown.ts';
import { claims, holds } from './claims.ts';
import { titles, type Row, type Rows } from './results.ts';

/** What was asked, and what was measured. */
export function claimTable(rows: Rows): string {
  return table(
    ['figure', 'asked', 'measured', ''],
    claims.map((claim) => {
      const measured = claim.measure(rows);
      const asked = `${claim.direction} ${claim.asked} ${claim.unit}`;
      return [claim.figure, asked, ...(measured === undefined ? ['-', ''] : [`${measured.toFixed(2)} ${claim.unit}`, holds(claim, measured) ? 'holds' : 'does not hold'])];
    }),
  );
}

/** Tokens a second of all decode points, with the batch and joules a token. */
export function speedTable(rows: Rows): string {
  const decode = rows.all.filter(({ kind }) => kind === 'bare' || kind === 'generate' || kind === 'batches');
  const implementations = Object.keys(titles).filter((name) => decode.some((row) => row.implementation === name));
  const lines = namesOf(decode, ({ kind, model, tokens, batch }) => [kind, model, tokens, batch].join('/')).map((line) => line.split('/') as [string, string, string, string]);
  return table(
    ['loop', 'model', 'N', 'batch', ...implementations.map((name) => titles[name]!)],
    lines.map(([kind, model, tokens, batch]) => [
      kind,
      model,
      tokens,
      batch,
      ...implementations.map((name) => speedOf(rows.get([kind, model, tokens, name, batch].join('/')))),
    ]),
  );
}

function speedOf(row: Row | undefined): string {
  if (row?.tokensPerSecond === undefined) return '-';
  const joules = row.joulesPerToken === undefined ? '' : `, ${row.joulesPerToken.toFixed(2)} J`;
  return `${row.tokensPerSecond.toFixed(0)} (${row.rows}${joules})`;
}

/** Points without figures, and why. */
export const missing = (rows: Rows): string[] => rows.all.flatMap(({ id, skipped, error }) => (skipped === undefined && error === undefined ? [] : [`${id}: ${error ?? skipped}`]));
