/** Which rank gets which heads: against every assignment where there are few, and against bounds where there are many. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inspectRanks } from '../../src/inspectRanks.ts';
import type { HeadModule } from '../../src/ir/nodes.ts';
import { assignRanks, contiguousRanks, queryHeadsOf } from '../../src/passes/assignRanks.ts';
import { compareUnevenness, costVector, unevenness, type CostVector, type Unevenness } from '../../src/passes/assignRanks/balance.ts';
import { headCosts } from '../../src/passes/assignRanks/headCosts.ts';
import { orderParts, type PartLoads } from '../../src/passes/assignRanks/orderParts.ts';
import { contiguousParts, headClasses, partitionHeads, rateParts } from '../../src/passes/assignRanks/partitionHeads.ts';
import { rankProblem } from '../../src/passes/assignRanks/rankProblem.ts';
import { selectRank } from '../../src/passes/selectRank.ts';
import { parseModelConfig } from '../../src/plan/parseModelConfig.ts';
import { readPlan } from '../../src/plan/readPlan.ts';
import { usualAttention } from '../../src/ir/attention.ts';
import { collect, listPublishedPlans, publishedFor, readRepositoryFile } from '../plan/support.ts';
import { parseRule } from '../ir/readHeadModule.ts';
import { randomOf } from '../random.ts';
import { arbitraryBound, arbitraryModule, deepFreeze } from './arbitraryModule.ts';

const property = <Values extends [unknown, ...unknown[]]>(check: fc.IPropertyWithHooks<Values>, numRuns = 200): void => fc.assert(check, { seed: 20261126, numRuns });

const divisors = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1).filter((ranks) => count % ranks === 0);

/** A module of one head a KV head and these rules, `[layer][head]`. */
function moduleOf(rows: readonly (readonly string[])[], groupSize = 1): HeadModule {
  const queryHeads = rows[0]!.length;
  return {
    kind: 'headModule',
    shape: { layers: rows.length, queryHeads, kvHeads: queryHeads / groupSize, headDim: 128 },
    attention: usualAttention({ headDim: 128 }),
    rope: null,
    limits: { sink: 64, minSpan: 128, page: 64 },
    layers: rows.map((rules, layer) => ({ kind: 'headLayer', modelWindow: null, heads: rules.map((rule, head) => ({ kind: 'head', rule: parseRule(rule), origin: { path: `alphas[${layer}][${head}]` } })) })),
  };
}

/** Rules as the authors' search draws them. */
function randomModule(layers: number, queryHeads: number, kvHeads: number): HeadModule {
  const random = randomOf(layers * 1000 + queryHeads + kvHeads);
  const draw = (): string => `${Math.floor(random() * 17 - 4) * 512} + ${Math.floor(random() * 9)}/8*N`;
  return moduleOf(Array.from({ length: layers }, () => Array.from({ length: queryHeads }, draw)), queryHeads / kvHeads);
}

/** Every way to share heads out among ranks, but for the order of ranks. */
function* everyPartition(heads: readonly number[], size: number): Generator<number[][]> {
  const [first, ...others] = heads;
  if (first === undefined) {
    yield [];
    return;
  }
  for (const fellows of combinations(others, size - 1)) {
    const rest = others.filter((head) => !fellows.includes(head));
    for (const parts of everyPartition(rest, size)) yield [[first, ...fellows], ...parts];
  }
}

function* combinations(values: readonly number[], count: number): Generator<number[]> {
  if (count === 0) yield [];
  else for (const [index, value] of values.entries()) for (const more of combinations(values.slice(index + 1), count - 1)) yield [value, ...more];
}

const loadOf = (costs: readonly CostVector[], heads: readonly number[]): number[] => costs[0]!.map((_, at) => heads.reduce((sum, head) => sum + costs[head]![at]!, 0));

function unevennessOf(costs: readonly CostVector[], parts: readonly (readonly number[])[]): Unevenness {
  const loads = parts.map((heads) => loadOf(costs, heads));
  return unevenness(costs[0]!.map((_, at) => Math.max(...loads.map((load) => load[at]!))), loadOf(costs, costs.map((_, head) => head)), parts.length);
}

/** Of all partitions. */
function mostEven(costs: readonly CostVector[], ranks: number): Unevenness {
  let best: Unevenness | undefined;
  for (const parts of everyPartition(costs.map((_, head) => head), costs.length / ranks)) {
    const value = unevennessOf(costs, parts);
    if (best === undefined || compareUnevenness(value, best) < 0) best = value;
  }
  return best!;
}

const headCount = fc.constantFrom(1, 2, 3, 4, 5, 6, 8);
const costsOf = (dimensions: number, values: fc.Arbitrary<number>): fc.Arbitrary<number[][]> => headCount.chain((heads) => fc.array(fc.array(values, { minLength: dimensions, maxLength: dimensions }), { minLength: heads, maxLength: heads }));
/** Few different costs, so that heads are alike, or any. */
const arbitraryCosts = fc.oneof(costsOf(2, fc.integer({ min: 1, max: 4 })), costsOf(4, fc.integer({ min: 1, max: 1000 })), costsOf(6, fc.constantFrom(1, 10, 100)));

test('unevenness: the fullest rank beside the mean, worst and sum, of pages and then of tiles', () => {
  // Two lengths, two ranks: pages 6 of 10 and 15 of 20, tiles 3 of 4 and 10 of 16.
  expect(unevenness([6, 15, 3, 10], [10, 20, 4, 16], 2)).toEqual([1.5, 1.2 + 1.5, 1.5, 1.5 + 1.25]);
  expect(compareUnevenness([1, 2, 3, 4], [1, 2, 3, 5])).toBeLessThan(0);
  expect(compareUnevenness([1, 2, 3, 4], [1, 1, 9, 9])).toBeGreaterThan(0);
});

describe('the heads of a layer', () => {
  test('up to 8: no partition of all is more even, and that is known', () => {
    property(
      fc.property(arbitraryCosts, fc.nat(), (costs, pick) => {
        const ranks = divisors(costs.length)[pick % divisors(costs.length).length]!;
        const classes = headClasses(costs);
        const found = partitionHeads(classes, ranks);
        expect(found).toMatchObject({ unevenness: mostEven(costs, ranks), proven: true });
        expect(compareUnevenness(found.bound, found.unevenness)).toBeLessThanOrEqual(0);
        expect(rateParts({ classes, ranks, totals: loadOf(costs, costs.map((_, head) => head)) }, found.parts)).toEqual(found.unevenness);
      }),
      400,
    );
  });

  test('12 of up to three kinds, in every pattern of four, among 2 and 6', () => {
    for (let kinds = 0; kinds < 3 ** 4; kinds += 1) {
      const costs = Array.from({ length: 12 }, (_, head) => [[1, 5], [3, 9], [7, 8]][Math.floor(kinds / 3 ** (head % 4)) % 3]!);
      for (const ranks of kinds % 9 === 0 ? [2, 6] : [2]) {
        const found = partitionHeads(headClasses(costs), ranks);
        expect(found).toMatchObject({ unevenness: mostEven(costs, ranks), proven: true });
      }
    }
  });

  test('what a contiguous split makes of them is kept where nothing is better', () => {
    property(
      fc.property(arbitraryCosts, (costs) => {
        for (const ranks of divisors(costs.length)) {
          const classes = headClasses(costs);
          const before = contiguousParts(classes, ranks);
          const value = unevennessOf(costs, contiguousRanks({ shape: { layers: 1, queryHeads: costs.length, kvHeads: costs.length, headDim: 64 } }, ranks));
          const found = partitionHeads(classes, ranks);
          const gain = compareUnevenness(found.unevenness, value);
          expect(gain).toBeLessThanOrEqual(0);
          if (gain === 0) expect(found.parts).toEqual(before);
        }
      }),
    );
  });

  test.each([
    [32, 2, 1.006],
    [32, 4, 1.03],
    [32, 8, 1.14],
    [64, 2, 1.004],
    [64, 4, 1.01],
    [64, 8, 1.04],
  ])('%i of random spans among %i: within a factor of %d of a bound that no partition is below', (heads, ranks, factor) => {
    const costs = headCosts(randomModule(12, heads, heads), [4096, 8192, 16384, 32768]);
    for (const layer of costs) {
      const { unevenness: found, bound } = partitionHeads(headClasses(layer.map(costVector)), ranks);
      expect(found[0]).toBeGreaterThanOrEqual(bound[0]);
      expect(found[0] / bound[0]).toBeLessThanOrEqual(factor);
    }
  });
});

describe('the order of parts', () => {
  const loads = fc.record({ layers: fc.integer({ min: 1, max: 4 }), ranks: fc.integer({ min: 1, max: 3 }) }).chain(({ layers, ranks }) =>
    fc.array(fc.array(fc.tuple(fc.integer({ min: 1, max: 50 })), { minLength: ranks, maxLength: ranks }), { minLength: layers, maxLength: layers }),
  );
  const sumsOf = (of: PartLoads, order: readonly (readonly number[])[]): number[] => of[0]!.map((_, rank) => of.reduce((sum, parts, layer) => sum + parts[order[layer]![rank]!]![0]!, 0));
  const spread = (values: readonly number[]): number => Math.max(...values) - Math.min(...values);

  test('each rank gets a part of each layer; the fullest has no more than in place, and than the mean and what one layer differs by', () => {
    property(
      fc.property(loads, (of) => {
        const order = orderParts(of);
        for (const ranks of order) expect(ranks.toSorted((a, b) => a - b)).toEqual(ranks.map((_, rank) => rank));
        const sums = sumsOf(of, order);
        const mean = sums.reduce((sum, value) => sum + value, 0) / sums.length;
        expect(Math.max(...sums)).toBeLessThanOrEqual(Math.max(...sumsOf(of, of.map((parts) => parts.map((_, part) => part)))));
        expect(Math.max(...sums)).toBeLessThanOrEqual(mean + Math.max(...of.map((parts) => spread(parts.map(([load]) => load!)))));
      }),
      500,
    );
  });

  test('parts that are even in place stay there', () => {
    expect(orderParts([[[1], [2]], [[2], [1]]])).toEqual([[0, 1], [0, 1]]);
  });

  test('two ranks and layers that differ by as much take turns', () => {
    const order = orderParts(Array.from({ length: 6 }, () => [[3], [1]]));
    expect(sumsOf(Array.from({ length: 6 }, () => [[3], [1]]), order)).toEqual([12, 12]);
  });
});

describe('an assignment', () => {
  test('gives every KV head one rank, in order, as many to each, and waits no longer than contiguous blocks in any layer', () => {
    property(
      fc.property(arbitraryModule, fc.array(arbitraryBound, { minLength: 1, maxLength: 3 }), (module, lengths) => {
        deepFreeze(module);
        const { kvHeads } = module.shape;
        for (const ranks of divisors(kvHeads)) {
          const assignment = assignRanks(module, ranks, lengths);
          expect(assignRanks(module, ranks, lengths)).toEqual(assignment);
          expect(assignment).toMatchObject({ ranks, lengths, groupSize: module.shape.queryHeads / kvHeads });
          const costs = headCosts(module, lengths).map((heads) => heads.map(costVector));
          const blocks = contiguousRanks(module, ranks);
          assignment.layers.forEach(({ kvHeads: parts }, layer) => {
            expect(parts.flat().toSorted((a, b) => a - b)).toEqual(costs[layer]!.map((_, head) => head));
            for (const heads of parts) {
              expect(heads).toHaveLength(kvHeads / ranks);
              expect(heads.toSorted((a, b) => a - b)).toEqual(heads);
            }
            expect(compareUnevenness(unevennessOf(costs[layer]!, parts), unevennessOf(costs[layer]!, blocks))).toBeLessThanOrEqual(0);
            // Heads that cost the same stay in their order.
            for (const { members } of headClasses(costs[layer]!)) expect(parts.flatMap((heads) => heads.filter((head) => members.includes(head)))).toEqual(members);
          });
        }
      }),
    );
  });

  test('of a plan without differences changes nothing', () => {
    for (const rules of [['N'], ['1/2*N'], ['256']]) {
      const module = moduleOf([Array.from({ length: 16 }, () => rules[0]!), Array.from({ length: 16 }, () => '1024')], 2);
      for (const ranks of [1, 2, 4, 8]) expect(assignRanks(module, ranks).layers.map(({ kvHeads }) => kvHeads)).toEqual([contiguousRanks(module, ranks), contiguousRanks(module, ranks)]);
    }
  });

  test('balances where contiguous blocks put long heads together, and lets ranks take turns where a layer cannot be even', () => {
    const halves = ['N', 'N', '128', '128'];
    const one = ['N', '128', '128', '128'];
    const { layers } = assignRanks(moduleOf([halves, one, one]), 2);
    expect(layers.map(({ kvHeads, proven }) => [kvHeads, proven])).toEqual([
      [[[0, 2], [1, 3]], true],
      [[[0, 1], [2, 3]], true],
      [[[1, 2], [0, 3]], true],
    ]);
  });

  test('the cost of a KV head is its ring, and the pairs of its query heads', () => {
    const [[first, second]] = headCosts(moduleOf([['N', '128', '128', '128']], 2), [1024]) as [[ReturnType<typeof headCosts>[number][number], ReturnType<typeof headCosts>[number][number]]];
    const short = 64 * 65 / 2 + (1024 - 64) * 64 + 64 * 65 / 2 + (1024 - 64 - 64) * 64;
    expect(first).toEqual({ pages: [16], tiles: [Math.ceil((1024 * 1025 / 2 + short) / 4096)] });
    expect(second).toEqual({ pages: [2], tiles: [Math.ceil(2 * short / 4096)] });
  });

  test('80 layers of 64 query heads on 8 KV heads take less than a second, and are proven', () => {
    const module = randomModule(80, 64, 8);
    for (const ranks of [2, 4, 8]) {
      const begin = performance.now();
      const { layers } = assignRanks(module, ranks);
      expect(performance.now() - begin).toBeLessThan(1000);
      expect(layers.every(({ proven }) => proven)).toBe(true);
    }
  });

  test.each([[32, 32, 1.14], [80, 64, 1.07]])('%i layers of %i heads of their own, among 8: no layer waits for more than %d of the mean', (layers, heads, worst) => {
    const module = randomModule(layers, heads, heads);
    const begin = performance.now();
    const assignment = assignRanks(module, 8);
    // About two seconds; the limit is for a machine that does other things as well.
    expect(performance.now() - begin).toBeLessThan(20_000);
    for (const { contiguous, assigned } of inspectRanks(module, assignment, assignment.lengths).lengths) {
      expect(assigned.worstLayer).toBeLessThan(worst);
      expect(contiguous.worstLayer).toBeGreaterThan(1.3);
      expect(Math.max(...assigned.cacheBytes) / Math.min(...assigned.cacheBytes)).toBeLessThan(1.02);
    }
  });

  test('of heads that no model has comes to an end', () => {
    const random = randomOf(5);
    const module = moduleOf([Array.from({ length: 1024 }, () => `${Math.floor(random() * 25) * 97} + ${Math.floor(random() * 10)}/10*N`.replace('0/10*N', '0*N').replace(/ \+ 0\*N$/, ''))]);
    for (const ranks of [2, 512]) expect(assignRanks(module, ranks).layers[0]!.kvHeads.map((heads) => heads.length)).toEqual(Array.from({ length: ranks }, () => 1024 / ranks));
  });

  test('is refused for ranks that cannot have as many KV heads each', () => {
    const shape = { kvHeads: 8 };
    for (const ranks of [1, 2, 4, 8]) expect(rankProblem(shape, ranks)).toBeUndefined();
    for (const ranks of [9, 16]) expect(rankProblem(shape, ranks)).toMatchObject({ code: 'MOA3001', help: 'ranks may be 1, 2, 4, 8' });
    for (const ranks of [3, 5, 6, 7, 0, -2, 3.5, 8.5, Number.NaN, Infinity]) expect(rankProblem(shape, ranks)).toMatchObject({ code: 'MOA3002' });
    expect(() => assignRanks(moduleOf([['N', 'N']]), 3)).toThrow('MOA3001');
  });
});

test('the part of a rank has its query heads, with where they came from; one rank has the plan as it came', () => {
  property(
    fc.property(arbitraryModule, (module) => {
      for (const ranks of divisors(module.shape.kvHeads)) {
        const assignment = assignRanks(module, ranks, [1000]);
        const parts = Array.from({ length: ranks }, (_, rank) => selectRank(module, assignment, rank));
        if (ranks === 1) expect(parts[0]).toBe(module);
        const { queryHeads, kvHeads } = module.shape;
        parts.forEach((part, rank) => {
          expect(part.shape).toEqual({ ...module.shape, queryHeads: queryHeads / ranks, kvHeads: kvHeads / ranks });
          part.layers.forEach(({ heads }, layer) => {
            const from = queryHeadsOf(assignment.layers[layer]!.kvHeads[rank]!, queryHeads / kvHeads);
            expect(heads.map(({ origin }) => origin.path)).toEqual(from.map((head) => `alphas[${layer}][${head}]`));
            heads.forEach((head, place) => expect(head).toBe(module.layers[layer]!.heads[from[place]!]));
          });
        });
      }
    }),
    100,
  );
});

const published = listPublishedPlans();

describe.skipIf(published.size === 0)('the published plans (skipped without ../shared/plans)', () => {
  test.each(publishedFor)('%s: every layer is proven, none waits longer, and the memory of ranks differs by less', (name, file) => {
    const config = { text: readRepositoryFile(`examples/${name}/config.json`), file: 'config.json' };
    const { value } = collect((diagnostics) => {
      expect(parseModelConfig(config.text, config.file, diagnostics)).toBeDefined();
      return readPlan({ text: published.get(file)!, file }, config, {}, diagnostics);
    });
    for (const ranks of [2, 4, 8]) {
      const assignment = assignRanks(value!.module, ranks);
      const { lengths, provenLayers } = inspectRanks(value!.module, assignment, [4096, 8192, 16384, 32768]);
      expect(provenLayers).toBe(value!.module.layers.length);
      for (const { contiguous, assigned } of lengths) {
        expect(assigned.worstLayer).toBeLessThanOrEqual(contiguous.worstLayer);
        expect(assigned.meanOfLayers).toBeLessThanOrEqual(contiguous.meanOfLayers);
        expect(Math.max(...assigned.cacheBytes)).toBeLessThan(Math.max(...contiguous.cacheBytes));
      }
    }
  });
});
