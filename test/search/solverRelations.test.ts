/** What a change of a problem does to its best value, whatever that is. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { indexOf, type Problem } from '../../src/search/solve/problem.ts';
import { DEFAULT_EXACT, solve, type SolveResult } from '../../src/search/solve/solve.ts';
import { randomOf } from '../random.ts';
import { arbitraryShape, close, given, problemOfShape, type ProblemShape } from './tinyProblems.ts';

const exactly = async (problem: Problem): Promise<SolveResult> => solve(problem, { gap: 0, exact: DEFAULT_EXACT });

/** The best value; Infinity when there is none. */
async function best(problem: Problem): Promise<number> {
  const result = await exactly(problem);
  if (result.kind === 'infeasible') expect(result.proven).toBe(true);
  return result.kind === 'solved' ? result.incumbent.value : Infinity;
}

/** Limits a little above what some assignment uses, so that rounding decides nothing. */
const shapes = arbitraryShape({ layers: 4, heads: 4, candidates: 6, resources: 3 });
const clear = (shape: ProblemShape): Problem => {
  const problem = problemOfShape({ ...shape, resources: shape.resources.map(({ perHead, tightness }) => ({ perHead, tightness: tightness === 'exact' ? 0.3 : tightness })) });
  return { ...problem, resources: problem.resources.map((resource) => ({ ...resource, limit: resource.limit * (1 + 1e-6) })) };
};

const holds = (check: (shape: ProblemShape) => Promise<void>, usual: number): Promise<void> => fc.assert(fc.asyncProperty(shapes, check), given(usual));

test('the order of layers and heads does not matter', async () => {
  await holds(async (shape) => {
    const problem = clear(shape);
    const { layers, heads, candidates } = problem;
    const order = (count: number, from: number): number[] => {
      const random = randomOf(from);
      return Array.from({ length: count }, (_, i) => ({ i, key: random() })).sort((a, b) => a.key - b.key).map(({ i }) => i);
    };
    const [layerOrder, headOrders] = [order(layers, 1), Array.from({ length: layers }, (_, layer) => order(heads, layer))];
    const move = (numbers: Float64Array): Float64Array => {
      if (numbers.length === candidates) return numbers;
      const moved = new Float64Array(numbers.length);
      for (let layer = 0; layer < layers; layer += 1) {
        for (let candidate = 0; candidate < candidates; candidate += 1) {
          for (let head = 0; head < heads; head += 1) moved[indexOf(problem, layerOrder[layer]!, candidate, headOrders[layer]![head]!)] = numbers[indexOf(problem, layer, candidate, head)]!;
        }
      }
      return moved;
    };
    const moved = { ...problem, value: move(problem.value), resources: problem.resources.map((resource) => ({ ...resource, cost: move(resource.cost) })) };
    expect(close(await best(moved), await best(problem))).toBe(true);
  }, 6);
});

test.each([1e-10, 1e5])('values times %d', async (factor) => {
  await holds(async (shape) => {
    const problem = clear(shape);
    const [plain, scaled] = [await best(problem), await best({ ...problem, value: problem.value.map((value) => value * factor) })];
    expect(plain === scaled || Math.abs(scaled - factor * plain) <= 1e-9 * factor * Math.max(1, plain)).toBe(true);
  }, 5);
});

test.each([1e-9, 1e4])('costs and limits times %d', async (factor) => {
  await holds(async (shape) => {
    const problem = clear(shape);
    const resources = problem.resources.map(({ name, limit, cost }) => ({ name, limit: limit * factor, cost: cost.map((one) => one * factor) }));
    expect(close(await best({ ...problem, resources }), await best(problem))).toBe(true);
  }, 5);
});

test('a looser limit, or one rule more, never makes the best worse', async () => {
  await holds(async (shape) => {
    const problem = problemOfShape(shape);
    const loose = { ...problem, resources: problem.resources.map((resource, k) => (k === 0 ? { ...resource, limit: resource.limit * 1.1 + 0.1 } : resource)) };
    const more = { ...problem, maxRules: problem.maxRules === 0 ? 0 : (problem.maxRules + 1) % 4 };
    const value = await best(problem);
    for (const easier of [loose, more]) expect(await best(easier)).toBeLessThanOrEqual(value * (1 + 1e-9) + 1e-12);
  }, 6);
});

test('a candidate that is nowhere better than another adds nothing', async () => {
  await holds(async (shape) => {
    const problem = clear(shape);
    const random = randomOf(shape.seed);
    const { layers, heads, candidates } = problem;
    const worse = Math.floor(random() * candidates);
    const add = (numbers: Float64Array): Float64Array => {
      const more = (number: number): number => number + (random() < 0.5 ? 0 : 0.1 * random());
      if (numbers.length === candidates) return Float64Array.from([...numbers, more(numbers[worse]!)]);
      return Float64Array.from(
        Array.from({ length: layers }, (_, layer) => {
          const part = numbers.subarray(layer * candidates * heads, (layer + 1) * candidates * heads);
          return [...part, ...part.subarray(worse * heads, (worse + 1) * heads).map(more)];
        }).flat(),
      );
    };
    const added = { ...problem, candidates: candidates + 1, value: add(problem.value), resources: problem.resources.map((resource) => ({ ...resource, cost: add(resource.cost) })) };
    expect(close(await best(added), await best(problem))).toBe(true);
  }, 6);
});

describe('whole numbers', () => {
  test('are exact', async () => {
    await holds(async (shape) => {
      const problem = problemOfShape({ ...shape, integers: 1000 });
      const thousands = { ...problem, value: problem.value.map((value) => value * 1024), resources: problem.resources.map(({ name, limit, cost }) => ({ name, limit: limit * 64, cost: cost.map((one) => one * 64) })) };
      const [value, scaled] = [await best(problem), await best(thousands)];
      expect(Number.isInteger(value) || value === Infinity).toBe(true);
      expect(scaled).toBe(value * 1024);
    }, 6);
  });
});
