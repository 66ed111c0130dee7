/**
 * Makes one result of a decode run, with figures and tables.
 *
 *     node dist-bench/decode/report.js FOLDER
 *
 * Reads `decode-ours.json` and, where it is there, `decode-peers.json`. Writes `decode.json`, which is what is committed, and
 * `decode-<plan>.svg`; prints tables for the README.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { implementationsOf } from '../lib/implementations.ts';
import { readRun } from '../lib/readRun.ts';
import { significant } from '../lib/statistics.ts';
import { writeJson } from '../lib/writeJson.ts';
import { renderSvg } from '../plot/svg.ts';
import { planFigure } from './figures.ts';
import { fitLine } from './fit.ts';
import { inOrder, isMeasured, type OursFile, type PeersFile, type Row } from './results.ts';
import { fitTable, speedTable, type FitOf } from './tables.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: report FOLDER');
const { ours, peers } = readRun<OursFile, PeersFile>(folder, 'decode');

const rows: readonly Row[] = inOrder([...ours.rows, ...(peers?.rows ?? [])]);
const measured = rows.filter(isMeasured);
const plans = Object.keys(ours.plans);
const fits = plans.flatMap((plan) =>
  implementationsOf(measured).flatMap((implementation): FitOf[] => {
    const fit = fitLine(measured.filter((row) => row.plan === plan && row.implementation === implementation));
    return fit === undefined ? [] : [{ plan, implementation, ...fit }];
  }),
);

writeJson(join(folder, 'decode.json'), {
  device: ours.device,
  command: 'bench/decode/decode.sh',
  ...(peers === undefined ? {} : { torch: peers.torch, cudnn: peers.cudnn, readTbps: significant(peers.readTbps), leftOut: peers.leftOut }),
  plans: Object.fromEntries(Object.entries(ours.plans).map(([plan, { windows: _windows, ...facts }]) => [plan, facts])),
  fits: fits.map((fit) => ({
    ...fit,
    slopeTbps: significant(fit.slopeTbps, 4),
    interceptUs: significant(fit.interceptUs, 4),
    worst: { ...fit.worst, percent: significant(fit.worst.percent, 3), us: significant(fit.worst.us, 3) },
  })),
  rows,
});
for (const plan of plans) writeFileSync(join(folder, `decode-${plan}.svg`), renderSvg(planFigure(plan, ours.device, peers?.readTbps, measured)));

const failed = rows.length - measured.length;
console.log(`${ours.device}: ${measured.length} points${failed > 0 ? `, ${failed} failed` : ''}`);
for (const [peer, points] of Object.entries(peers?.leftOut ?? {})) console.log(`${peer}: no time for ${points} points`);
console.log(`\nMicroseconds a layer (TB/s):\n\n${speedTable(rows, 16384, [1, 8, 32])}`);
console.log(`\nTime against bytes (least squares of relative errors):\n\n${fitTable(fits)}`);
