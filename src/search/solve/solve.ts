/** The whole solver: bound, assignment, and what is between them made small. */
import { setImmediate } from 'node:timers/promises';
import { solveDual, type DualSolution, type WarmStart } from './dual.ts';
import { gapOf, solveExactly, type ExactOptions } from './exact.ts';
import { findAssignment, type Incumbent } from './primal.ts';
import { checkProblem, type Problem } from './problem.ts';

export interface SolveOptions {
  /** (value - bound) / value that is good enough; nothing more is done then. */
  readonly gap: number;
  /** Without it, the assignment of the exchanges is the answer. */
  readonly exact?: Omit<ExactOptions, 'gap'>;
  readonly warm?: WarmStart;
}

export type SolveResult =
  | {
      readonly kind: 'solved';
      readonly incumbent: Incumbent;
      /** At these, the Lagrangian is `lagrangianBound`; anyone can compute it. */
      readonly multipliers: Float64Array;
      readonly lagrangianBound: number;
      /** The better bound of branch and bound, or the same. */
      readonly bound: number;
      readonly gap: number;
      /** Why the exact step gave no answer, when it failed. */
      readonly failure?: string;
      readonly next: WarmStart;
    }
  /** No assignment holds the limits; `proven` unless the search for one was given up. */
  | { readonly kind: 'infeasible'; readonly proven: boolean; readonly failure?: string };

export const DEFAULT_EXACT: Omit<ExactOptions, 'gap'> = { maxNodes: 5000, maxChanges: 20_000 };

export async function solve(problem: Problem, { gap, exact, warm }: SolveOptions): Promise<SolveResult> {
  checkProblem(problem);
  // Nothing below waits for anything but HiGHS, which not every problem needs; signals and progress have to be served between two problems all the same.
  await setImmediate();
  const dual = solveDual(problem, warm);
  if (!dual.feasible) return { kind: 'infeasible', proven: true };
  const found = findAssignment(problem, dual, { enough: gap });
  const needsMore = found === undefined || gapOf(found.value, dual.bound) > gap;
  const closer = exact !== undefined && needsMore ? await solveExactly(problem, dual.multipliers, dual.bound, found, { ...exact, gap }) : undefined;
  const incumbent = closer?.incumbent ?? found;
  if (incumbent === undefined) return { kind: 'infeasible', proven: closer?.infeasible === true, ...(closer?.failure === undefined ? {} : { failure: closer.failure }) };
  const bound = Math.min(closer?.bound ?? dual.bound, incumbent.value);
  return {
    kind: 'solved',
    incumbent,
    multipliers: dual.multipliers,
    lagrangianBound: dual.bound,
    bound,
    gap: gapOf(incumbent.value, bound),
    ...(closer?.failure === undefined ? {} : { failure: closer.failure }),
    next: nextStart(dual),
  };
}

/** What helps the next problem with the same heads and candidates: the columns that the best combination uses, and the prices. */
const nextStart = ({ multipliers, master }: DualSolution): WarmStart => ({ multipliers, choices: master.parts.map(({ column }) => ({ layer: column.layer, choice: column.choice })) });
