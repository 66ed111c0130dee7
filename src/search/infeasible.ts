/** Why no plan holds the bounds: which of them cannot be held, and what is nearest. */
import type { Diagnostic } from '../util/diagnostics.ts';
import { leastUse, problemOf, resourceOf, type Instance } from './instance.ts';
import type { Constraint, SearchRequest } from './request.ts';
import { solveDual } from './solve/dual.ts';
import { withRounding } from './solve/problem.ts';
import { DEFAULT_EXACT, solve } from './solve/solve.ts';

/** @param proven false when the search for a plan was given up */
export async function explainInfeasible(instance: Instance, request: SearchRequest, proven: boolean): Promise<Diagnostic> {
  const alone = request.constraints.flatMap((constraint) => {
    const least = leastBound(instance, constraint);
    return least > withRounding(constraint.bound) ? [`${describe(constraint)}: the least that any candidate keeps there is ${roundedUp(least)}`] : [];
  });
  if (alone.length > 0) {
    return { code: 'MOA7301', severity: 'error', message: alone.join('; '), help: 'loosen the bound, or use a finer grid (--alpha-step, --betas), whose candidates may be shorter' };
  }
  const nearest = await nearestFeasible(instance, request);
  const bounds = request.constraints.map(describe).join(', ');
  const help =
    nearest === undefined
      ? 'loosen the bounds'
      : `all bounds together times ${nearest.scale.toFixed(3)} can be held: ${nearest.constraints.map(describe).join(', ')}`;
  if (proven) return { code: 'MOA7301', severity: 'error', message: `each bound can be held alone, but not all together: ${bounds}`, help };
  return { code: 'MOA7302', severity: 'error', message: `no plan was found that holds ${bounds}; whether there is one was not proven`, help };
}

const describe = ({ kind, length, bound }: Constraint): string => `${kind} ${bound} at ${length}`;

/** With four digits, and no less, so that it can be held. */
const roundedUp = (bound: number): number => Math.ceil(bound * 1e4 * (1 - 1e-12)) / 1e4;

/** The least bound that a plan can hold when it has no other: all heads take the cheapest candidate. */
function leastBound(instance: Instance, constraint: Constraint): number {
  const { cost, limit } = resourceOf(instance, { ...constraint, bound: 1 });
  return leastUse(instance, cost) / limit;
}

/** The least factor, in steps of a thousandth, by which all bounds have to grow for a plan to be found. */
async function nearestFeasible(instance: Instance, request: SearchRequest): Promise<{ scale: number; constraints: readonly Constraint[] } | undefined> {
  // Bounds are parts of what dense heads cost, and asked for with the digits that the message has.
  const scaled = (scale: number): Constraint[] => request.constraints.map((constraint) => ({ ...constraint, bound: Math.min(1, roundedUp(constraint.bound * scale)) }));
  const relaxed = (scale: number): boolean => solveDual(problemOf(instance, request.objectives, scaled(scale), request.rulesPerLayer)).feasible;
  let [low, high] = [1, 2];
  while (!relaxed(high)) {
    if (high > 1e6) return undefined;
    [low, high] = [high, 2 * high];
  }
  while (high - low > 0.001) {
    const middle = (low + high) / 2;
    if (relaxed(middle)) high = middle;
    else low = middle;
  }
  const held = async (thousandths: number): Promise<boolean> => {
    const solved = await solve(problemOf(instance, request.objectives, scaled(thousandths / 1000), request.rulesPerLayer), { gap: 1, exact: { ...DEFAULT_EXACT, maxNodes: 100 } });
    return solved.kind === 'solved';
  };
  // In steps that double, then by halves; a bound that is looser is held too.
  let [without, found] = [Math.ceil(high * 1000) - 1, Infinity];
  for (let step = 1; found === Infinity; step *= 2) {
    if (without > 1500 * high + 10) return undefined;
    if (await held(without + step)) found = without + step;
    else without += step;
  }
  while (found - without > 1) {
    const middle = Math.floor((without + found) / 2);
    if (await held(middle)) found = middle;
    else without = middle;
  }
  return { scale: found / 1000, constraints: scaled(found / 1000) };
}
