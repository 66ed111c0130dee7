/**
 * The Pareto front: plans of which none is better at every length. By epsilon constraints, upper ones only (Haimes 1971): the loss at one length is minimised while
 * those at the others are bounded, for bounds on a grid between the best and the worst that single solves give. A box whose answer is known is not solved.
 */
import { problemOf, type Instance } from './instance.ts';
import type { Constraint, Objective, SearchRequest } from './request.ts';
import type { Assignment } from './solve/problem.ts';
import { DEFAULT_EXACT, solve, type SolveOptions, type SolveResult } from './solve/solve.ts';
import type { WarmStart } from './solve/dual.ts';

/** A plan with what proves its value. */
export interface FrontPoint {
  readonly assignment: Assignment;
  /** At each objective's length, in nats. */
  readonly losses: readonly number[];
  readonly objectives: readonly Objective[];
  /** Those of the request, and bounds on losses. */
  readonly constraints: readonly Constraint[];
  readonly solved: Extract<SolveResult, { kind: 'solved' }>;
}

export interface Front {
  /** First the plan for the request's own weights, then by loss at the first length. */
  readonly points: readonly FrontPoint[];
  readonly solves: number;
  /** Boxes in which no plan was found, though that none exists was not proven. */
  readonly unanswered: number;
}

/** Weight of the other lengths beside the one that is minimised: breaks ties, so that points are not dominated. */
const TIE_BREAK = 1e-3;
/** Solves of a front, at most. */
const MAX_BOXES = 64;
/** Along the front points need not be as close as the chosen one. */
const FRONT_GAP = 5e-3;
/** Losses that differ by no more than this part are alike: a length at which all are has nothing to trade, and of points alike at every length one is kept. */
const ALIKE = 1e-4;

export type Progress = (done: number, total: number) => void;

/** The plan for the request's weights. That none holds the bounds is the caller's to explain. */
export async function solveWeighted(instance: Instance, request: SearchRequest): Promise<FrontPoint | { readonly proven: boolean }> {
  return solvePoint(instance, request, request.objectives, request.constraints, options(request, request.gap));
}

/** A point of the front again, as closely as the request asks; the point itself when that gives no better one. */
export async function refinePoint(instance: Instance, request: SearchRequest, point: FrontPoint): Promise<FrontPoint> {
  if (!request.exact || point.solved.gap <= request.gap) return point;
  const again = await solvePoint(instance, request, point.objectives, point.constraints, options(request, request.gap, point.solved.next));
  return 'proven' in again || again.solved.incumbent.value > point.solved.incumbent.value ? point : again;
}

const options = ({ exact }: SearchRequest, gap: number, warm?: WarmStart): SolveOptions => ({ gap, ...(exact ? { exact: DEFAULT_EXACT } : {}), ...(warm === undefined ? {} : { warm }) });

async function solvePoint(instance: Instance, request: SearchRequest, objectives: readonly Objective[], constraints: readonly Constraint[], how: SolveOptions): Promise<FrontPoint | { readonly proven: boolean }> {
  const solved = await solve(problemOf(instance, objectives, constraints, request.rulesPerLayer), how);
  if (solved.kind === 'infeasible') return { proven: solved.proven };
  const assignment = solved.incumbent.assignment.map((candidate, at) => instance.shortest[Math.floor(at / instance.heads)]![candidate]!);
  return { assignment, losses: request.objectives.map(({ length }) => lossOf(instance, length, assignment)), objectives, constraints, solved };
}

/** A plan's loss at a length. */
export function lossOf(instance: Instance, length: number, assignment: Assignment): number {
  const { heads, candidates, losses } = instance;
  const loss = losses.get(length)!;
  return assignment.reduce((sum, candidate, at) => sum + loss[(Math.floor(at / heads) * candidates.length + candidate) * heads + (at % heads)]!, 0);
}

/** @param first the plan for the request's weights */
export async function solveFront(instance: Instance, request: SearchRequest, first: FrontPoint, progress: Progress = () => {}): Promise<Front> {
  const { objectives } = request;
  const found: FrontPoint[] = [first];
  let solves = 1;
  let unanswered = 0;
  let warm: WarmStart = first.solved.next;
  if (objectives.length < 2) return { points: found, solves, unanswered };

  const attempt = async (weights: readonly Objective[], extra: readonly Constraint[]): Promise<FrontPoint | 'none' | 'unknown'> => {
    const constraints = [...request.constraints, ...extra];
    // Prices of the request's constraints are much the same in each problem; those of loss bounds begin at 0 where the last had none.
    const multipliers = new Float64Array(constraints.length);
    multipliers.set(warm.multipliers.subarray(0, multipliers.length));
    const point = await solvePoint(instance, request, weights, constraints, options({ ...request, exact: true }, FRONT_GAP, { ...warm, multipliers }));
    solves += 1;
    if ('proven' in point) {
      if (!point.proven) unanswered += 1;
      return point.proven ? 'none' : 'unknown';
    }
    warm = point.solved.next;
    found.push(point);
    return point;
  };

  const solvesFor = (traded: number): number => objectives.length + traded * boxesOf(traded).length;

  const single: FrontPoint[] = [];
  for (const [n, objective] of objectives.entries()) {
    const point = await attempt(favouring(objectives, objective), []);
    // The first plan holds the same bounds, so it is an answer where no better one was found.
    single.push(typeof point === 'string' ? first : point);
    progress(n + 1, solvesFor(objectives.length));
  }
  const ranges = objectives.map((_, n) => ({ best: Math.min(...single.map(({ losses }) => losses[n]!)), worst: Math.max(...single.map(({ losses }) => losses[n]!)) }));

  const traded = [...objectives.keys()].filter((n) => ranges[n]!.worst - ranges[n]!.best > ALIKE * ranges[n]!.best);
  const boxes = boxesOf(traded.length);
  let done = objectives.length;
  for (const primary of traded) {
    const others = traded.filter((n) => n !== primary);
    const answered: { readonly bounds: readonly number[]; readonly losses: readonly number[] | undefined }[] = [{ bounds: others.map(() => Infinity), losses: single[primary]!.losses }];
    for (const edges of boxes) {
      done += 1;
      progress(done, solvesFor(traded.length));
      const bounds = others.map((n, i) => ranges[n]!.best + (ranges[n]!.worst - ranges[n]!.best) * edges[i]!);
      // The answer of a looser box that lies in this one is this one's; and where a looser box has none, this one has none.
      const known = answered.some((box) => box.bounds.every((bound, i) => bound >= bounds[i]!) && (box.losses === undefined || others.every((n, i) => box.losses![n]! <= bounds[i]!)));
      if (known) continue;
      const point = await attempt(favouring(objectives, objectives[primary]!), others.map((n, i) => ({ kind: 'loss', length: objectives[n]!.length, bound: bounds[i]! })));
      if (point !== 'unknown') answered.push({ bounds, losses: point === 'none' ? undefined : point.losses });
    }
  }
  return { points: [first, ...undominated(found.slice(1), first)], solves, unanswered };
}

const favouring = (objectives: readonly Objective[], primary: Objective): Objective[] => objectives.map(({ length }) => ({ length, weight: length === primary.length ? 1 : TIE_BREAK }));

/**
 * Upper edges of boxes of the losses at all lengths but one, as parts of their ranges, the loosest first.
 * MoA's 4 intervals of each range for up to three lengths, fewer for more.
 */
function boxesOf(lengths: number): readonly (readonly number[])[] {
  if (lengths < 2) return [];
  let intervals = 4;
  while (intervals > 1 && lengths * intervals ** (lengths - 1) > MAX_BOXES) intervals -= 1;
  let boxes: readonly (readonly number[])[] = [[]];
  for (let d = 1; d < lengths; d += 1) {
    boxes = boxes.flatMap((box) => Array.from({ length: intervals }, (_, i) => [...box, (intervals - i) / intervals]));
  }
  const sum = (box: readonly number[]): number => box.reduce((total, edge) => total + edge, 0);
  return [...boxes].sort((a, b) => sum(b) - sum(a));
}

/** The points that no other, and not `first`, is at least as good as at every length; of those alike the first. */
function undominated(points: readonly FrontPoint[], first: FrontPoint): FrontPoint[] {
  const covers = (a: FrontPoint, b: FrontPoint, part: number): boolean => a.losses.every((loss, n) => loss <= b.losses[n]! * (1 + part) + 1e-12);
  const best = points.filter((point) => !points.some((other) => covers(other, point, 0) && !covers(point, other, 0)));
  const kept: FrontPoint[] = [];
  for (const point of best) if (![first, ...kept].some((other) => covers(other, point, ALIKE))) kept.push(point);
  return kept.sort((a, b) => a.losses[0]! - b.losses[0]!);
}
