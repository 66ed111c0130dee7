/**
 * Makes one result of a prefill run, with figures and tables.
 *
 *     node dist-bench/prefill/report.js FOLDER
 *
 * Reads `prefill-ours.json` and, where it is there, `prefill-peers.json`. Writes `prefill.json`, which is what is committed, and
 * `prefill-<plan>.svg`; prints tables for the README.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readRun } from '../lib/readRun.ts';
import { writeJson } from '../lib/writeJson.ts';
import { makeReport } from './makeReport.ts';
import type { OursFile, PeersFile } from './results.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: report FOLDER');
const { result, figures, text } = makeReport(readRun<OursFile, PeersFile>(folder, 'prefill'));
writeJson(join(folder, 'prefill.json'), result);
for (const [plan, svg] of Object.entries(figures)) writeFileSync(join(folder, `prefill-${plan}.svg`), svg);
console.log(text);
