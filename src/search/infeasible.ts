/** Why no plan holds the bounds: which of them cannot be held, and what is nearest. */
import type { Diagnostic } from '../util/diagnostics.ts';
import { problemOf, resourceOf, type Instance } from './instance.ts';
import type { Constraint, SearchRequest } from './request.ts';
import { solveDual } from './solve/dual.ts';
import { DEFAULT_EXACT, solve } from './solve/solve.ts';

/** @param proven false when the search for a plan was given up */
export async function explainInfeasible(instance: Instance, request: SearchRequest, proven: boolean): Promise<Diagnostic> {
  const alone = request.constraints.flatMap((constraint) => {
    const least = leastBound(instance, constraint);
    return least > constraint.bound ? [`${describe(constraint)}: the least that any candidate keeps there is ${least.toFixed(4)}`] : [];
  });
  if (alone.length > 0) {
    return { code: 'MOA7301', severity: 'error', message: alone.join('; '), help: 'loosen the bound, or use a finer grid (--alpha-step, --betas), whose candidates may be shorter' };
  }
  const nearest = await nearestFeasible(instance, request);
  const bounds = request.constraints.map(describe).join(', ');
  const help =
    nearest === undefined
      ? 'loosen the bounds'
      : `all bounds together times ${nearest.scale.toFixed(3)} can be held: ${nearest.constraints.map(({ kind, length, bound }) => `${kind} ${bound.toFixed(4)} at ${length}`).join(', ')}`;
  if (proven) return { code: 'MOA7301', severity: 'error', message: `each bound can be held alone, but not all together: ${bounds}`, help };
  return { code: 'MOA7302', severity: 'error', message: `no plan was found that holds ${bounds}; whether there is one was not proven`, help };
}

const describe = ({ kind, length, bound }: Constraint): string => `${kind} ${bound} at ${length}`;

/** The least bound that a plan can hold when it has no other: all heads take the cheapest candidate. */
function leastBound(instance: Instance, constraint: Constraint): number {
  const { cost, limit } = resourceOf(instance, constraint);
  const least = cost.reduce((a, b) => Math.min(a, b));
  const heads = instance.model.layers * instance.heads;
  return constraint.bound === 0 ? least : (least * heads * constraint.bound) / limit;
}

/** The least factor, in steps of a thousandth, by which all bounds have to grow for a plan to be found. */
async function nearestFeasible(instance: Instance, request: SearchRequest): Promise<{ scale: number; constraints: readonly Constraint[] } | undefined> {
  const scaled = (scale: number): Constraint[] => request.constraints.map((constraint) => ({ ...constraint, bound: constraint.bound * scale }));
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
  for (let scale = Math.ceil(high * 1000) / 1000; scale < high * 1.5 + 0.01; scale += Math.max(0.001, 0.002 * high)) {
    const solved = await solve(problemOf(instance, request.objectives, scaled(scale), request.rulesPerLayer), { gap: 1, exact: { ...DEFAULT_EXACT, maxNodes: 100 } });
    if (solved.kind === 'solved') return { scale, constraints: scaled(scale) };
  }
  return undefined;
}
