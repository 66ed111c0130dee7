/**
 * The reduced problem as a mixed-integer program. For each layer one set is chosen (`z`), and heads of a chosen set may change (`w <= z`):
 *
 *     min  sum value z + sum (change of value) w      sum of a layer's z = 1,   sum of a head's w in a set <= its z,   sum use <= limits
 *
 * The relaxation is the convex hull of each layer, so its bound is that of the Lagrangian. HiGHS has absolute tolerances (1e-7 on reduced costs, 1e-9 on rows), so
 * the objective and the limits are brought to a fixed size, by powers of two, which round nothing.
 */
import { costOf, indexOf, type Assignment, type Problem } from './problem.ts';
import type { ReducedSet } from './reduce.ts';

/** Arrays by column, as HiGHS takes them. All columns are binary. */
export interface IntegerProgram {
  readonly columns: number;
  readonly rows: number;
  readonly cost: Float64Array;
  readonly rowLower: Float64Array;
  readonly rowUpper: Float64Array;
  readonly starts: Int32Array;
  readonly indices: Int32Array;
  readonly values: Float64Array;
  /** Added to the objective. */
  readonly offset: number;
  /** The objective times this is the value. */
  readonly unit: number;
}

export interface ReducedProgram {
  readonly program: IntegerProgram;
  /** The assignment that a solution's columns say. */
  readonly read: (solution: Float64Array) => Assignment;
}

const OBJECTIVE_SIZE = 2 ** 13;
const LIMIT_SIZE = 2 ** 9;

export function integerProgram(problem: Problem, reduced: readonly (readonly ReducedSet[])[]): ReducedProgram {
  const { layers, heads, resources } = problem;
  const cost: number[] = [];
  const starts: number[] = [0];
  const indices: number[] = [];
  const values: number[] = [];
  const linkUpper: number[] = [];
  const meaning: { set: ReducedSet; change?: { head: number; to: number } }[] = [];
  const firstLink = layers + resources.length;
  // Values of a layer are counted from its least, so that costs are small numbers.
  const base = reduced.map((sets) => Math.min(...sets.map(({ value }) => value)));
  const scales = resources.map(({ limit, cost: costs }) => powerOfTwo((limit > 0 ? limit : costs.reduce((most, one) => Math.max(most, one), 0)) / LIMIT_SIZE));

  const end = (value: number, entries: readonly (readonly [number, number])[]): void => {
    cost.push(value);
    for (const [row, amount] of entries) {
      if (amount === 0) continue;
      indices.push(row);
      values.push(amount);
    }
    starts.push(indices.length);
  };
  for (const sets of reduced) {
    for (const set of sets) {
      const { layer, choice, changes } = set;
      const links = new Map<number, number>();
      for (const { head } of changes) {
        if (links.has(head)) continue;
        links.set(head, firstLink + linkUpper.length);
        linkUpper.push(0);
      }
      meaning.push({ set });
      end(set.value - base[layer]!, [[layer, 1], ...resources.map((_, k) => [layers + k, set.use[k]! / scales[k]!] as const), ...[...links.values()].map((row) => [row, -1] as const)]);
      for (const change of changes) {
        const { head, to } = change;
        const from = choice[head]!;
        meaning.push({ set, change });
        const value = problem.value[indexOf(problem, layer, to, head)]! - problem.value[indexOf(problem, layer, from, head)]!;
        const use = resources.map((resource, k) => [layers + k, (costOf(problem, resource, layer, to, head) - costOf(problem, resource, layer, from, head)) / scales[k]!] as const);
        end(value, [...use, [links.get(head)!, 1]]);
      }
    }
  }
  const offset = base.reduce((sum, value) => sum + value, 0);
  const unit = powerOfTwo(cost.reduce((most, one) => Math.max(most, Math.abs(one)), offset) / OBJECTIVE_SIZE);
  const rows = firstLink + linkUpper.length;
  const rowLower = new Float64Array(rows).fill(-Infinity);
  rowLower.fill(1, 0, layers);
  const rowUpper = Float64Array.from([...new Array<number>(layers).fill(1), ...resources.map(({ limit }, k) => limit / scales[k]!), ...linkUpper]);
  const program = {
    columns: cost.length,
    rows,
    cost: Float64Array.from(cost, (one) => one / unit),
    rowLower,
    rowUpper,
    starts: Int32Array.from(starts),
    indices: Int32Array.from(indices),
    values: Float64Array.from(values),
    offset: offset / unit,
    unit,
  };
  const read = (solution: Float64Array): Assignment => {
    const assignment = new Uint16Array(layers * heads);
    // Solvers return 0.9999999 for 1: rounded, never truncated.
    const isOne = (column: number): boolean => Math.round(solution[column]!) === 1;
    meaning.forEach(({ set, change }, column) => {
      if (change === undefined && isOne(column)) assignment.set(set.choice, set.layer * heads);
    });
    meaning.forEach(({ set, change }, column) => {
      if (change !== undefined && isOne(column)) assignment[set.layer * heads + change.head] = change.to;
    });
    return assignment;
  };
  return { program, read };
}

/** The power of two next to a number; 1 for 0. */
const powerOfTwo = (number: number): number => (number > 0 ? 2 ** Math.round(Math.log2(number)) : 1);
