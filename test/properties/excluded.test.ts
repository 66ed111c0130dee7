import type fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { caseArbitrary, type CaseOptions } from './arbitraries.ts';
import type { Case } from './case.ts';
import * as excluded from './excluded.ts';
import { Suite, target, timeout } from './suite.ts';

const { base, dense, short, middling } = excluded;

/** Cases that are known to have been wrong, and their like. */
const cases: Readonly<Record<string, Case>> = {
  'a prompt, and windows that tokens leave': base,
  'a prompt of 100 tokens and one of 28 in the same tile': { ...base, prefill: [100, 28], decodes: 0 },
  'chunks': { ...base, chunk: 90 },
  'fp16': { ...base, shape: 'fp16_d64_6x2', rules: [[dense, short, middling, short, short, middling]], seed: 6 },
  'headDim 128': { ...base, shape: 'bf16_d128_3x1', rules: [[dense, short, middling]], prefill: [230, 70], seed: 7 },
  'chunks of headDim 128, cut in two': { ...base, shape: 'bf16_d128_3x1', rules: [[dense, short, middling]], prefill: [300, 70], chunk: 190, splitPages: 0, decodes: 0, seed: 22 },
  'a cache in E4M3': { ...base, cacheType: 'e4m3', chunk: 130, seed: 8 },
  'decode on CUDA cores, with a peaked softmax, 9': { ...base, ablations: ['cuda-cores'], decodes: 4, queryScale: 12, seed: 9 },
  'decode on CUDA cores, with a peaked softmax, 15': { ...base, ablations: ['cuda-cores'], decodes: 4, queryScale: 3, seed: 15 },
  // A short window's head keeps its maximum on the page on which the long one's rises.
  'decode on CUDA cores, tokens that have just left a window': {
    ...base,
    ablations: ['cuda-cores'],
    rules: [[dense, middling, dense, middling]],
    bound: 330,
    prefill: [293, 293, 293, 293, 293, 293],
    decodes: 2,
    queryScale: 0.2,
    seed: 45,
    multiprocessors: 1,
  },
};

describe.each(['portable', 'hopper'] as const)('excluded tokens do not matter, %s', (family) => {
  const suite = new Suite(`excluded, ${family}`);

  test.each(Object.entries(cases))('%s', { timeout }, async (_, testCase) => {
    const compared = await excluded.comparedWithout(target, { ...testCase, family });
    suite.count();
    expect(compared).toBeGreaterThan(0);
  });

  // Warpgroups begin on different pages: of one a page may be all attended that leaves the windows of the next one's rows.
  test.each([100, 150, 210])('token %i, whose page some rows attend as a whole', { timeout }, async (token) => {
    const testCase: Case = { ...base, shape: 'bf16_d128_3x1', rules: [[short, short, middling]], prefill: [380], decodes: 0, family };
    expect(await excluded.comparedWithout(target, testCase, {}, [token])).toBeGreaterThan(0);
  });

  test('in a graph', { timeout }, async () => {
    expect(await excluded.comparedWithout(target, { ...base, family, decodes: 5, seed: 10 }, { capture: true })).toBeGreaterThan(0);
  });

  test.each([
    ['headDim 64', base],
    ['chunks', { ...base, chunk: 90, decodes: 2, seed: 11 }],
    ['headDim 128', { ...base, shape: 'bf16_d128_3x1', rules: [[dense, short, middling]], prefill: [230, 70], seed: 12 }],
    ['chunks of headDim 128, cut in two', { ...base, shape: 'bf16_d128_3x1', rules: [[dense, short, middling]], prefill: [300, 70], chunk: 190, splitPages: 0, decodes: 0, seed: 13 }],
  ] as const)('rows that attend what is not finite show it in its column, and nothing else changes: %s', { timeout }, async (_, testCase) => {
    let spoiled = 0;
    for (const [n, value] of [NaN, Infinity, NaN, -Infinity].entries()) spoiled += await excluded.spoiledElements(target, { ...testCase, seed: testCase.seed + 100 * n, family }, value);
    suite.count(4);
    expect(spoiled).toBeGreaterThan(0);
  });

  test('infinite values of E4M3 show where they are attended', { timeout }, async () => {
    expect(await excluded.spoiledElements(target, { ...base, cacheType: 'e4m3', chunk: 130, seed: 14, family }, Infinity)).toBeGreaterThan(0);
  });

  test('random cases', { timeout }, async () => {
    const random = (options: CaseOptions): fc.Arbitrary<Case> => caseArbitrary({ lanes: ['normal'], tiles: 8, bound: 400, with: { family }, ...options });
    await suite.relation(excluded.excludedTokensDoNotMatter, random({ decodes: 3, chunks: true }), 6);
    await suite.relation(excluded.excludedTokensDoNotMatterInGraphs, random({ decodes: 4 }), 3);
  });
});
