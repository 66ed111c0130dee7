/**
 * How fast the solver is and what it proves, on synthetic problems of the size of real models: `node dist-bench/search/solver.js [--seeds 3] [-o results.json]`.
 * Each is solved by exchanges alone, and then exactly; the last rows are whole fronts.
 */
import { parseArgs } from 'node:util';
import { cpus } from 'node:os';
import { solveFront, solveWeighted } from '../../dist/search/front.js';
import { DEFAULT_EXACT, solve } from '../../dist/search/solve/solve.js';
import { table } from '../../dist/cli/output.js';
import { writeJson } from '../lib/writeJson.ts';
import { syntheticInstance, syntheticProblem, syntheticRequest, type InstanceKind, type InstanceSize } from './instances.ts';

interface Case extends InstanceSize {
  readonly name: string;
  readonly density?: number;
  readonly rulesPerLayer?: number;
  readonly kind?: InstanceKind;
  /** Without the exact step: it proves nothing in a time worth waiting for. */
  readonly heuristicOnly?: boolean;
}

const cases: readonly Case[] = [
  { name: '16x8', layers: 16, heads: 8 },
  { name: '32x8', layers: 32, heads: 8 },
  { name: '32x32', layers: 32, heads: 32 },
  { name: '32x32, density 0.25', layers: 32, heads: 32, density: 0.25 },
  { name: '32x32, finer alphas', layers: 32, heads: 32, alphaStep: 512 },
  { name: '32x32, finer betas', layers: 32, heads: 32, betas: 17 },
  { name: '32x32, 1 rule a layer', layers: 32, heads: 32, rulesPerLayer: 1 },
  { name: '32x32, 3 rules a layer', layers: 32, heads: 32, rulesPerLayer: 3 },
  { name: '32x32, any rules', layers: 32, heads: 32, rulesPerLayer: 0 },
  { name: '32x32, heads alike', layers: 32, heads: 32, kind: 'equal' },
  { name: '32x32, no order', layers: 32, heads: 32, kind: 'iid', heuristicOnly: true },
  { name: '80x64', layers: 80, heads: 64 },
];
const fronts: readonly Case[] = [
  { name: '32x8', layers: 32, heads: 8 },
  { name: '32x32', layers: 32, heads: 32 },
  { name: '80x64', layers: 80, heads: 64 },
];

const { values } = parseArgs({ options: { seeds: { type: 'string', default: '3' }, output: { type: 'string', short: 'o' } } });
const seeds = Array.from({ length: Number(values.seeds) }, (_, n) => n + 1);
const percent = (gap: number): string => `${(100 * gap).toFixed(4)} %`;
const seconds = (from: number): number => Math.round(performance.now() - from) / 1000;

const solves = [];
for (const item of cases) {
  for (const seed of seeds) {
    const problem = syntheticProblem(item, seed, item);
    const row = { name: item.name, seed, candidates: problem.candidates };
    const start = performance.now();
    const quick = await solve(problem, { gap: 0 });
    const quickSeconds = seconds(start);
    const again = performance.now();
    const exact = item.heuristicOnly === true ? undefined : await solve(problem, { gap: 1e-4, exact: DEFAULT_EXACT });
    if (quick.kind !== 'solved' || exact?.kind === 'infeasible') throw new Error(`${item.name}, seed ${seed}: no plan`);
    solves.push({ ...row, bound: quick.lagrangianBound, value: quick.incumbent.value, gap: quick.gap, seconds: quickSeconds, ...(exact === undefined ? {} : { exactValue: exact.incumbent.value, exactGap: exact.gap, exactSeconds: seconds(again) }) });
    process.stderr.write('.');
  }
}
const sweeps = [];
for (const item of fronts) {
  for (const seed of item.heads === 64 ? seeds.slice(0, 1) : seeds) {
    const instance = syntheticInstance(item, seed);
    const request = syntheticRequest(0.5);
    const start = performance.now();
    const first = await solveWeighted(instance, request);
    if ('proven' in first) throw new Error('no plan');
    const front = await solveFront(instance, request, first);
    sweeps.push({ name: item.name, seed, seconds: seconds(start), solves: front.solves, points: front.points.length, unanswered: front.unanswered, worstGap: Math.max(...front.points.map(({ solved }) => solved.gap)) });
    process.stderr.write('.');
  }
}
process.stderr.write('\n');
console.log(table([['problem', 'seed', 'candidates', 'gap', 'seconds', 'exact gap', 'exact seconds'], ...solves.map((row) => [row.name, String(row.seed), String(row.candidates), percent(row.gap), row.seconds.toFixed(2), row.exactGap === undefined ? '-' : percent(row.exactGap), row.exactSeconds?.toFixed(2) ?? '-'])]));
console.log('');
console.log(table([['front', 'seed', 'seconds', 'solves', 'points', 'unanswered', 'worst gap'], ...sweeps.map((row) => [row.name, String(row.seed), row.seconds.toFixed(1), String(row.solves), String(row.points), String(row.unanswered), percent(row.worstGap)])]));
if (values.output !== undefined) writeJson(values.output, { command: 'node dist-bench/search/solver.js', node: process.version, cpu: cpus()[0]?.model ?? '', solves, fronts: sweeps });
