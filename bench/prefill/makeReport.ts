import { implementationsOf } from '../lib/implementations.ts';
import type { Run } from '../lib/readRun.ts';
import { significant } from '../lib/statistics.ts';
import { renderSvg } from '../plot/svg.ts';
import { planFigure } from './figures.ts';
import { fitLine } from './fit.ts';
import { inOrder, inSweep, isMeasured, type OursFile, type PeersFile, type Row } from './results.ts';
import { appendTable, fitTable, scenarioTable, sweepTable, type FitOf } from './tables.ts';

export interface Report {
  /** What is committed. */
  readonly result: object;
  /** SVG by plan. */
  readonly figures: Readonly<Record<string, string>>;
  /** For the terminal. */
  readonly text: string;
}

/** A point is pointed out whose launches took this share of its time on the host. */
const hostShare = 0.8;

/** One result of a prefill run, with figures and tables. */
export function makeReport({ ours, peers }: Run<OursFile, PeersFile>): Report {
  const rows: readonly Row[] = inOrder([...ours.rows, ...(peers?.rows ?? [])]);
  const measured = rows.filter(isMeasured);
  const plans = Object.keys(ours.plans);
  const fits = plans.flatMap((plan) =>
    implementationsOf(measured).flatMap((implementation): FitOf[] => {
      const sweep = measured.filter((row) => row.plan === plan && row.implementation === implementation && inSweep(row));
      const fit = fitLine(sweep, ours.plans[plan]!.headDim);
      return fit === undefined ? [] : [{ plan, implementation, ...fit }];
    }),
  );
  const failed = rows.length - measured.length;
  const waited = measured.filter(({ ms, hostMs = 0 }) => hostMs > hostShare * ms);
  return {
    result: {
      device: ours.device,
      command: 'bench/prefill/prefill.sh',
      ...(peers === undefined ? {} : { torch: peers.torch, cudnn: peers.cudnn, flexOptions: peers.flexOptions, leftOut: peers.leftOut }),
      plans: Object.fromEntries(Object.entries(ours.plans).map(([plan, { windows: _windows, ...facts }]) => [plan, facts])),
      scenarios: ours.scenarios.filter(({ scenario }) => scenario !== 'one'),
      fits: fits.map((fit) => ({
        ...fit,
        slopeTflops: significant(fit.slopeTflops, 4),
        interceptUs: significant(fit.interceptUs, 4),
        worst: { ...fit.worst, percent: significant(fit.worst.percent, 3), us: significant(fit.worst.us, 3) },
      })),
      rows,
    },
    figures: Object.fromEntries(plans.map((plan) => [plan, renderSvg(planFigure(plan, ours.device, measured))])),
    text: [
      `${ours.device}: ${measured.length} points${failed > 0 ? `, ${failed} failed` : ''}`,
      ...waited.map((row) => `${row.plan}, ${row.implementation}, ${row.scenario}, N = ${row.tokens}: the GPU may have waited for the host, ${row.hostMs} of ${row.ms} ms`),
      ...Object.entries(peers?.leftOut ?? {}).map(([peer, points]) => `${peer}: no time for ${points} points`),
      ...Object.entries(peers?.flexOptions ?? {}).map(([headDim, { options, tried }]) => `flex, headDim ${headDim}: ${JSON.stringify(options)}, the best of ${tried}`),
      '\nAttention of one sequence, ms a layer (TFLOP/s on active pairs / on computed pairs):\n',
      sweepTable(rows),
      '\nChunks and batches, and the rate of chunks against that of a whole prompt of 16k tokens:\n',
      scenarioTable(rows),
      '\nWhat the append adds:\n',
      appendTable(rows),
      '\nTime against computed pairs (least squares of relative errors; of dense peers against the causal triangle):\n',
      fitTable(fits),
    ].join('\n'),
  };
}
