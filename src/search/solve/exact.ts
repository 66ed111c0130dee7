/**
 * From a good assignment and a bound to (nearly) the best one: what reduced costs leave is solved as a mixed-integer program by HiGHS, in a worker. A worker that
 * fails is discarded with all it knows.
 */
import { Worker } from 'node:worker_threads';
import type { HighsAnswer, HighsTask } from './highsWorker.ts';
import { integerProgram } from './integerProgram.ts';
import type { Incumbent } from './primal.ts';
import { isFeasible, totalsOf, type Problem } from './problem.ts';
import { reduceProblem } from './reduce.ts';

export interface ExactOptions {
  /** (value - bound) / value that is good enough. */
  readonly gap: number;
  /** Nodes of the search tree of one program; results depend on it, but not on the machine. */
  readonly maxNodes: number;
  /** Sets and changes that a program may have. */
  readonly maxChanges: number;
}

export interface ExactResult {
  readonly incumbent: Incumbent | undefined;
  readonly bound: number;
  /** Whether no assignment holds the limits: proven. */
  readonly infeasible: boolean;
  /** Why HiGHS gave no answer, when it failed: the rest holds all the same. */
  readonly failure?: string;
}

/** @param bound that of `multipliers` */
export async function solveExactly(problem: Problem, multipliers: Float64Array, bound: number, start: Incumbent | undefined, options: ExactOptions): Promise<ExactResult> {
  let incumbent = start;
  let proven = bound;
  let failure: string | undefined;
  for (const margin of marginsOf(bound, start)) {
    if (incumbent !== undefined && gapOf(incumbent.value, proven) <= options.gap) break;
    const reduced = reduceProblem(problem, multipliers, margin, options.maxChanges);
    if (reduced === undefined) break;
    const { program, read } = integerProgram(problem, reduced);
    const answer = await runHighs({ program, relativeGap: options.gap / 2, maxNodes: options.maxNodes });
    if ('failure' in answer) {
      ({ failure } = answer);
      break;
    }
    if (answer.solution !== undefined) {
      const assignment = read(answer.solution);
      const { value } = totalsOf(problem, assignment);
      if (isFeasible(problem, assignment) && (incumbent === undefined || value < incumbent.value)) incumbent = { assignment, value };
    }
    if (answer.status === 'infeasible' && margin === Infinity && incumbent === undefined) return { incumbent, bound: proven, infeasible: true };
    // What the program leaves out is no better than bound + margin; what it holds is no better than its own bound.
    const inside = answer.status === 'infeasible' ? Infinity : answer.bound * program.unit;
    if (!Number.isNaN(inside)) proven = Math.max(proven, Math.min(bound + margin, inside, incumbent?.value ?? Infinity));
    if (answer.status === 'limit' && incumbent !== undefined) break;
  }
  return { incumbent, bound: proven, infeasible: false, ...(failure === undefined ? {} : { failure }) };
}

/** The proven gap, as a part of the value; 0 for values of 0. */
export const gapOf = (value: number, bound: number): number => (value <= bound ? 0 : (value - bound) / Math.max(Math.abs(value), 1e-300));

/**
 * How far above the bound to look. Optima lie close to it, so a small margin, with a small program, is tried first; the last margin leaves nothing out.
 */
function* marginsOf(bound: number, incumbent: Incumbent | undefined): Generator<number> {
  const scale = Math.max(Math.abs(bound), 1e-12);
  if (incumbent === undefined) {
    for (const part of [1e-3, 1e-2, 1e-1, 1]) yield part * scale;
    yield Infinity;
    return;
  }
  const whole = incumbent.value - bound;
  if (whole > 2e-4 * scale) yield whole / 4;
  yield whole;
}

/** Runs HiGHS on one program; when it fails, whatever way, says how. */
async function runHighs(task: HighsTask): Promise<HighsAnswer | { readonly failure: string }> {
  // A worker runs compiled code; sources, as tests run them, have theirs in dist.
  const url = new URL(import.meta.url.endsWith('.ts') ? '../../../dist/search/solve/highsWorker.js' : './highsWorker.js', import.meta.url);
  const worker = new Worker(url, { workerData: task, stdout: true, stderr: true });
  try {
    return await new Promise((resolve) => {
      worker.once('message', (answer: HighsAnswer) => resolve(answer));
      worker.once('error', (error) => resolve({ failure: error.message }));
      worker.once('exit', (code) => resolve({ failure: `its worker ended with code ${code}` }));
    });
  } finally {
    await worker.terminate();
  }
}
