/** The search proper: from influence and a request to plans with proofs. Python, files and the command line are elsewhere. */
import { DiagnosticError, type Diagnostic, type DiagnosticList } from '../util/diagnostics.ts';
import { candidateGrid } from './candidates.ts';
import { MAX_CANDIDATES } from './check/certificate.ts';
import type { SearchCode } from './codes.ts';
import { refinePoint, solveWeighted, type Front, type FrontPoint, type Progress } from './front.ts';
import { explainInfeasible } from './infeasible.ts';
import { keptSlots, makeInstance, type Influence, type Instance } from './instance.ts';
import type { SearchRequest } from './request.ts';

/** Prices of sets of candidates that one pricing may compute; more take seconds each. */
const MAX_PRICES = 4e9;

/** The instance of a request. Reports what makes it too large (MOA7303). */
export function instanceOf(influence: Influence, request: SearchRequest, diagnostics: DiagnosticList): Instance | undefined {
  const { granularity, limits, objectives, constraints, rulesPerLayer } = request;
  const withLoss = rising([...influence.lengths, ...objectives.map(({ length }) => length)]);
  const lengths = rising([...withLoss, ...constraints.map(({ length }) => length)]);
  const { alphaStep, betas } = request;
  const candidates = candidateGrid({ profiled: influence.lengths, lengths, ...(alphaStep === undefined ? {} : { alphaStep }), ...(betas === undefined ? {} : { betas }), limits, windows: influence.windows });
  const count = candidates.length;
  if (count === 0) return fail(diagnostics, 'MOA7303', 'the grid has no candidate: none is legal at every length', 'use a smaller --alpha-step, or lengths that are closer together');
  if (count > MAX_CANDIDATES) return fail(diagnostics, 'MOA7303', `the grid has ${count} candidates; at most ${MAX_CANDIDATES} can be told apart in a certificate`, 'use a larger --alpha-step or fewer --betas');
  const sets = rulesPerLayer === 3 ? (count * (count - 1) * (count - 2)) / 6 : (count * (count - 1)) / 2;
  const heads = influence.model.layers * (granularity === 'kv-head' ? influence.model.kvHeads : influence.model.queryHeads);
  if (rulesPerLayer > 1 && sets * heads > MAX_PRICES) {
    return fail(diagnostics, 'MOA7303', `${count} candidates in sets of ${rulesPerLayer} are too many for ${heads} heads`, 'use fewer rules a layer, a larger --alpha-step or fewer --betas');
  }
  for (const constraint of constraints) {
    if (constraint.kind !== 'latency') continue;
    const first = constraint.table.lengths.find((row) => row.length === constraint.length)!.spans[0]!;
    const windows = [...new Set(influence.windows ?? [null])];
    const shortest = Math.min(...candidates.flatMap((rule) => windows.map((window) => keptSlots(rule, limits, constraint.length, window))));
    if (shortest < first) return fail(diagnostics, 'MOA7206', `the latency table begins with a span of ${first} tokens at ${constraint.length}, and a candidate keeps ${shortest}`, `measure shorter spans, or use --min-span ${64 * Math.ceil(first / 64)}`);
  }
  return makeInstance(influence, granularity, limits, candidates, withLoss, lengths);
}

function fail(diagnostics: DiagnosticList, code: SearchCode, message: string, help: string): undefined {
  diagnostics.add({ code, severity: 'error', message, help });
}

const rising = (lengths: readonly number[]): number[] => [...new Set(lengths)].sort((a, b) => a - b);

/** The plan for the request's weights. Throws a DiagnosticError that names the bound that cannot be held (MOA7301, MOA7302). */
export async function bestPlan(instance: Instance, request: SearchRequest): Promise<FrontPoint> {
  const point = await solveWeighted(instance, request);
  if (!('proven' in point)) return point;
  throw new DiagnosticError([await explainInfeasible(instance, request, point.proven)], 2);
}

/** Up to `count` plans along the front, the first among them, each solved as closely as the request asks. */
export async function refineFront(instance: Instance, request: SearchRequest, front: Front, count: number, progress: Progress = () => {}): Promise<readonly FrontPoint[]> {
  const refined: FrontPoint[] = [];
  const chosen = spread(front.points, count);
  for (const [n, point] of chosen.entries()) {
    refined.push(await refinePoint(instance, request, point));
    progress(n + 1, chosen.length);
  }
  return refined;
}

/** The first of `points` and others at even steps, in their order. */
function spread<Item>(points: readonly Item[], count: number): readonly Item[] {
  if (points.length <= count) return points;
  const [first, ...others] = points;
  const picked = new Set(Array.from({ length: count - 1 }, (_, n) => Math.round((n * (others.length - 1)) / Math.max(count - 2, 1))));
  return [first!, ...others.filter((_, n) => picked.has(n))];
}

/** Solver's remarks that a user should hear: it failed (MOA7304). */
export function remarksOn(point: FrontPoint): Diagnostic[] {
  const { failure, gap } = point.solved;
  if (failure === undefined) return [];
  const message = `HiGHS failed (${failure}); the plan is that of the exchanges, at most ${(100 * gap).toPrecision(2)} % from the best`;
  return [{ code: 'MOA7304', severity: 'warning', message }];
}
