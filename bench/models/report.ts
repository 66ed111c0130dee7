/**
 * Makes the figure and the tables of a run of whole models.
 *
 *     node dist-bench/models/report.js models.json [models.svg]
 *
 * Prints the tables; the figure lies beside the result by default.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { renderSvg } from '../plot/svg.ts';
import { modelsFigure } from './figures.ts';
import { Rows, type Results } from './results.ts';
import { claimTable, missing, speedTable } from './tables.ts';

const [path, figure = path?.replace(/\.json$/, '.svg')] = process.argv.slice(2);
if (path === undefined || figure === undefined || figure === path) throw new Error('usage: report models.json [models.svg]');
const results = JSON.parse(readFileSync(path, 'utf8')) as Results;
const rows = new Rows(results.rows);
writeFileSync(figure, renderSvg(modelsFigure(results)));
console.log(`${results.device}, torch ${results.torch}, transformers ${results.transformers}, ${results.settings.gib} GiB\n`);
console.log(`${claimTable(rows)}\n`);
console.log(`Tokens a second (batch, joules a token):\n\n${speedTable(rows)}`);
for (const line of missing(rows)) console.log(`\n${line}`);
