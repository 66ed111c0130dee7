/** Random problems for the solver, small enough to try every assignment. */
import fc from 'fast-check';
import { indexOf, type Assignment, type Problem, type Resource } from '../../src/search/solve/problem.ts';
import { randomOf } from '../random.ts';

/** `npm test` runs a quarter of the random cases, `npm run test:full` all, and `MOA_PROPERTY_RUNS=10` ten times as many. */
const scale = Number(process.env['MOA_PROPERTY_RUNS'] ?? (process.env['MOA_TEST_LANE'] === 'everyday' ? 0.25 : 1));
const seed = Number(process.env['MOA_PROPERTY_SEED'] ?? 20261126);
export const given = (usual: number): { readonly seed: number; readonly numRuns: number } => ({ seed, numRuns: Math.max(1, Math.round(usual * scale)) });

export interface ResourceShape {
  /** Costs of each head, as losses have; otherwise those of candidates. */
  readonly perHead: boolean;
  /** From what the cheapest assignment uses (0) to what the dearest does (1). `exact`: what some assignment uses, to the last bit. */
  readonly tightness: number | 'exact';
}

export interface ProblemShape {
  readonly layers: number;
  readonly heads: number;
  readonly candidates: number;
  readonly maxRules: number;
  /** Whether values fall with the candidate and costs rise, as those of spans do. */
  readonly ordered: boolean;
  /** Whole numbers up to this; 0 for reals. */
  readonly integers: number;
  readonly resources: readonly ResourceShape[];
  readonly seed: number;
}

const tightness = fc.oneof({ weight: 3, arbitrary: fc.double({ min: 0.02, max: 0.9, noNaN: true }) }, { weight: 2, arbitrary: fc.constant('exact' as const) }, { weight: 1, arbitrary: fc.constantFrom(-0.1, 0, 1) });

export const arbitraryShape = (bounds: { readonly layers?: number; readonly heads?: number; readonly candidates?: number; readonly resources?: number } = {}): fc.Arbitrary<ProblemShape> =>
  fc.record({
    layers: fc.integer({ min: 1, max: bounds.layers ?? 2 }),
    heads: fc.integer({ min: 1, max: bounds.heads ?? 3 }),
    candidates: fc.integer({ min: 1, max: bounds.candidates ?? 6 }),
    maxRules: fc.integer({ min: 0, max: 3 }),
    ordered: fc.boolean(),
    integers: fc.constantFrom(0, 0, 3, 100),
    resources: fc.array(fc.record({ perHead: fc.boolean(), tightness }), { minLength: 1, maxLength: bounds.resources ?? 4 }),
    seed: fc.nat(1e9),
  });

export function problemOfShape({ layers, heads, candidates, maxRules, ordered, integers, resources, seed: from }: ProblemShape): Problem {
  const random = randomOf(from);
  const size = layers * candidates * heads;
  const draw = (): number => (integers > 0 ? Math.floor(random() * (integers + 1)) : random());
  /** Of each head, `candidates` numbers, which rise or fall if `ordered`. */
  const perHead = (direction: 1 | -1): Float64Array => {
    const numbers = new Float64Array(size);
    for (let layer = 0; layer < layers; layer += 1) {
      for (let head = 0; head < heads; head += 1) {
        const own = Array.from({ length: candidates }, draw);
        if (ordered) own.sort((a, b) => direction * (a - b));
        own.forEach((number, candidate) => (numbers[(layer * candidates + candidate) * heads + head] = number));
      }
    }
    return numbers;
  };
  const value = perHead(-1);
  const some = Uint16Array.from({ length: layers * heads }, () => Math.floor(random() * (maxRules === 0 ? candidates : Math.min(maxRules, candidates))));
  const unlimited: Problem = { layers, heads, candidates, value, resources: [], maxRules };
  const made = resources.map((shape, k): Resource => {
    const cost = shape.perHead ? perHead(1) : Float64Array.from({ length: candidates }, draw);
    if (!shape.perHead && ordered) cost.sort();
    const costAt = (layer: number, candidate: number, head: number): number => (shape.perHead ? cost[indexOf(unlimited, layer, candidate, head)]! : cost[candidate]!);
    let [least, most, exact] = [0, 0, 0];
    for (let layer = 0; layer < layers; layer += 1) {
      for (let head = 0; head < heads; head += 1) {
        const own = Array.from({ length: candidates }, (_, candidate) => costAt(layer, candidate, head));
        least += Math.min(...own);
        most += Math.max(...own);
        exact += own[some[layer * heads + head]!]!;
      }
    }
    const between = shape.tightness === 'exact' ? exact : least + shape.tightness * (most - least);
    return { name: `resource ${k}`, cost, limit: integers > 0 ? Math.floor(between) : between };
  });
  return { ...unlimited, resources: made };
}

export const arbitraryProblem = (...bounds: Parameters<typeof arbitraryShape>): fc.Arbitrary<Problem> => arbitraryShape(...bounds).map(problemOfShape);

/** A choice for a layer with what it costs, word by word. */
export interface LayerChoice {
  readonly choice: Uint16Array;
  readonly value: number;
  readonly use: readonly number[];
}

/** All choices of a layer with at most `maxRules` candidates. */
export function choicesOf(problem: Problem, layer: number): readonly LayerChoice[] {
  const { heads, candidates, value, resources, maxRules } = problem;
  const all: LayerChoice[] = [];
  for (let code = 0; code < candidates ** heads; code += 1) {
    const choice = Uint16Array.from({ length: heads }, (_, head) => Math.floor(code / candidates ** head) % candidates);
    if (maxRules > 0 && new Set(choice).size > maxRules) continue;
    const sumOf = (costs: Float64Array): number => {
      let sum = 0;
      choice.forEach((candidate, head) => (sum += costs.length === candidates ? costs[candidate]! : costs[(layer * candidates + candidate) * heads + head]!));
      return sum;
    };
    let total = 0;
    choice.forEach((candidate, head) => (total += value[(layer * candidates + candidate) * heads + head]!));
    all.push({ choice, value: total, use: resources.map(({ cost }) => sumOf(cost)) });
  }
  return all;
}

/** Calls `visit` with every assignment that keeps to `maxRules`, whether or not it holds the limits. `parts` and `use` are reused. */
export function visitAssignments(problem: Problem, visit: (value: number, use: Float64Array, parts: readonly LayerChoice[]) => void): void {
  const layers = Array.from({ length: problem.layers }, (_, layer) => choicesOf(problem, layer));
  const parts: LayerChoice[] = [];
  const uses = Array.from({ length: problem.layers + 1 }, () => new Float64Array(problem.resources.length));
  const descend = (layer: number, value: number): void => {
    if (layer === problem.layers) {
      visit(value, uses[layer]!, parts);
      return;
    }
    for (const part of layers[layer]!) {
      parts[layer] = part;
      for (let k = 0; k < part.use.length; k += 1) uses[layer + 1]![k] = uses[layer]![k]! + part.use[k]!;
      descend(layer + 1, value + part.value);
    }
  };
  descend(0, 0);
}

/** A limit with a little more room for rounding than the solver takes. */
export const withRoom = (limit: number): number => limit + 6e-10 * Math.abs(limit);

export interface Optimum {
  /** Of assignments that hold the limits; Infinity when there is none. */
  readonly value: number;
  /** Of those that hold them but for a little more rounding than the solver allows: at most `value`. */
  readonly atLeast: number;
}

export function bruteForce(problem: Problem): Optimum {
  let [value, atLeast] = [Infinity, Infinity];
  visitAssignments(problem, (total, use) => {
    if (total < value && problem.resources.every(({ limit }, k) => use[k]! <= limit + 1e-13 * Math.abs(limit))) value = total;
    if (total < atLeast && problem.resources.every(({ limit }, k) => use[k]! <= withRoom(limit))) atLeast = total;
  });
  return { value, atLeast };
}

/** Value and uses of an assignment, summed word by word. */
export function sums(problem: Problem, assignment: Assignment): { value: number; use: number[]; rules: number } {
  const { layers, heads, candidates, value, resources } = problem;
  let total = 0;
  const use = resources.map(() => 0);
  let rules = 0;
  for (let layer = 0; layer < layers; layer += 1) {
    const used = new Set<number>();
    for (let head = 0; head < heads; head += 1) {
      const candidate = assignment[layer * heads + head]!;
      used.add(candidate);
      const at = (layer * candidates + candidate) * heads + head;
      total += value[at]!;
      resources.forEach(({ cost }, k) => (use[k]! += cost.length === candidates ? cost[candidate]! : cost[at]!));
    }
    rules = Math.max(rules, used.size);
  }
  return { value: total, use, rules };
}

/** Whether `a` and `b` differ by rounding alone. */
export const close = (a: number, b: number, relative = 1e-9): boolean => a === b || Math.abs(a - b) <= relative * Math.max(Math.abs(a), Math.abs(b)) + 1e-12;
