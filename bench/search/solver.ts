/**
 * How fast the solver is and what it proves, on synthetic problems of the size of real models and on profiles of models:
 *
 *     node dist-bench/search/solver.js [--seeds 3] [--profile profile.safetensors] [-o results.json]
 *
 * Each is solved by exchanges alone, and then to a gap of 0.01 % with the exact step; the last rows are whole fronts. A profile is searched at densities 0.5, 0.25 and 0.125,
 * at its own lengths and twice the longest.
 */
import { parseArgs } from 'node:util';
import { cpus } from 'node:os';
import { solveFront, solveWeighted } from '../../dist/search/front.js';
import { influenceOf, problemOf, type Instance } from '../../dist/search/instance.js';
import { readProfile } from '../../dist/search/profile/readProfile.js';
import type { SearchRequest } from '../../dist/search/request.js';
import { instanceOf } from '../../dist/search/searchPlans.js';
import type { Problem } from '../../dist/search/solve/problem.js';
import { DEFAULT_EXACT, solve } from '../../dist/search/solve/solve.js';
import { DiagnosticError, DiagnosticList } from '../../dist/util/diagnostics.js';
import { table } from '../../dist/cli/output.js';
import { writeJson } from '../lib/writeJson.ts';
import { syntheticInstance, syntheticProblem, syntheticRequest, type InstanceKind, type InstanceSize } from './instances.ts';

interface Case extends InstanceSize {
  readonly name: string;
  readonly density?: number;
  readonly rulesPerLayer?: number;
  readonly kind?: InstanceKind;
  /** The exchanges end once this gap is proven; 0 by default. */
  readonly enough?: number;
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
  { name: '80x64, 0.1 % is enough', layers: 80, heads: 64, enough: 1e-3 },
];
const fronts: readonly Case[] = [
  { name: '32x8', layers: 32, heads: 8 },
  { name: '32x32', layers: 32, heads: 32 },
  { name: '80x64', layers: 80, heads: 64 },
];

const { values } = parseArgs({ options: { seeds: { type: 'string', default: '3' }, profile: { type: 'string' }, output: { type: 'string', short: 'o' } } });
const seeds = Array.from({ length: Number(values.seeds) }, (_, n) => n + 1);
const percent = (gap: number): string => `${(100 * gap).toFixed(4)} %`;
const seconds = (from: number): number => Math.round(performance.now() - from) / 1000;

async function timeSolve(name: string, seed: number | undefined, problem: Problem, { enough = 0, heuristicOnly = false } = {}) {
  const start = performance.now();
  const quick = await solve(problem, { gap: enough });
  const quickSeconds = seconds(start);
  const again = performance.now();
  const exact = heuristicOnly ? undefined : await solve(problem, { gap: 1e-4, exact: DEFAULT_EXACT });
  if (quick.kind !== 'solved' || exact?.kind === 'infeasible') throw new Error(`${name}: no plan`);
  process.stderr.write('.');
  const closer = exact === undefined ? {} : { exactValue: exact.incumbent.value, exactGap: exact.gap, exactSeconds: seconds(again) };
  return { name, seed, layers: problem.layers, heads: problem.heads, candidates: problem.candidates, bound: quick.lagrangianBound, value: quick.incumbent.value, gap: quick.gap, seconds: quickSeconds, ...closer };
}

async function timeFront(name: string, seed: number | undefined, instance: Instance, request: SearchRequest) {
  const start = performance.now();
  const first = await solveWeighted(instance, request);
  if ('proven' in first) throw new Error(`${name}: no plan`);
  const front = await solveFront(instance, request, first);
  process.stderr.write('.');
  return { name, seed, seconds: seconds(start), solves: front.solves, points: front.points.length, unanswered: front.unanswered, worstGap: Math.max(...front.points.map(({ solved }) => solved.gap)) };
}

/** A model's own problems, by KV head. */
async function profileRequests(path: string): Promise<readonly { readonly name: string; readonly instance: Instance; readonly request: SearchRequest }[]> {
  const diagnostics = new DiagnosticList();
  const profile = await readProfile(path, diagnostics);
  if (profile === undefined) throw new DiagnosticError(diagnostics.toArray(), 2);
  const lengths = profile.lengths.map(({ length }) => length);
  const bounded = [...lengths, 2 * lengths.at(-1)!];
  return [0.5, 0.25, 0.125].map((density) => {
    const request: SearchRequest = {
      ...syntheticRequest(density),
      alphaStep: 128,
      objectives: bounded.map((length) => ({ length, weight: 1 })),
      constraints: bounded.map((length) => ({ kind: 'density', length, bound: density })),
    };
    const instance = instanceOf(influenceOf(profile, 1), request, diagnostics);
    if (instance === undefined) throw new DiagnosticError(diagnostics.toArray(), 2);
    return { name: `profile, density ${density}`, instance, request };
  });
}

const solves = [];
const sweeps = [];
for (const item of cases) for (const seed of seeds) solves.push(await timeSolve(item.name, seed, syntheticProblem(item, seed, item), item));
const requests = values.profile === undefined ? [] : await profileRequests(values.profile);
for (const { name, instance, request } of requests) solves.push(await timeSolve(name, undefined, problemOf(instance, request.objectives, request.constraints, request.rulesPerLayer)));
for (const item of fronts) for (const seed of item.heads === 64 ? seeds.slice(0, 1) : seeds) sweeps.push(await timeFront(item.name, seed, syntheticInstance(item, seed), syntheticRequest(0.5)));
for (const { name, instance, request } of requests) sweeps.push(await timeFront(name, undefined, instance, request));
process.stderr.write('\n');
const seedOf = (row: { readonly seed: number | undefined }): string => String(row.seed ?? '-');
console.log(table([['problem', 'seed', 'layers x heads x candidates', 'gap', 'seconds', 'exact gap', 'exact seconds'], ...solves.map((row) => [row.name, seedOf(row), `${row.layers} x ${row.heads} x ${row.candidates}`, percent(row.gap), row.seconds.toFixed(2), row.exactGap === undefined ? '-' : percent(row.exactGap), row.exactSeconds?.toFixed(2) ?? '-'])]));
console.log('');
console.log(table([['front', 'seed', 'seconds', 'solves', 'points', 'unanswered', 'worst gap'], ...sweeps.map((row) => [row.name, seedOf(row), row.seconds.toFixed(1), String(row.solves), String(row.points), String(row.unanswered), percent(row.worstGap)])]));
if (values.output !== undefined) writeJson(values.output, { command: 'node dist-bench/search/solver.js', node: process.version, cpu: cpus()[0]?.model ?? '', solves, fronts: sweeps });
