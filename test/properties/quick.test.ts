/** A few fixed cases that touch everything: the tests that planted bugs are held against (`scripts/mutations.mjs`). */
import { describe, test } from 'vitest';
import type { Case } from './case.ts';
import { fixedHistory, graphSpec, runHistory } from './graphHistory.ts';
import { largestNumbersStay } from './largestNumbers.ts';
import * as relations from './metamorphic.ts';
import { firstDifference, outputsOf } from './outputs.ts';
import type { RuleSpec } from './plans.ts';
import { makeTokens } from './runCase.ts';
import { beginLife, CheckCaches, Decode, Fork, Join, Leave, Prefill, runLife, Truncate } from './sequencesModel.ts';
import { Suite, target, timeout } from './suite.ts';

const dense: RuleSpec = [0, 1, 1];
const short: RuleSpec = [128, 0, 1];
const half: RuleSpec = [0, 1, 2];
const facts = { bound: 420, seed: 1, multiprocessors: 8 } as const;
const mixed: Case = { ...facts, shape: 'bf16_d64_4x2', rules: [[dense, short, short, half]], prefill: [200, 0, 65], decodes: 3, lane: 'normal', shufflePages: true, compareWhole: true };

const cases: Readonly<Record<string, Case>> = {
  'mixed rules': mixed,
  'mixed rules, one-hot': { ...mixed, lane: 'oneHot', seed: 2 },
  'mixed rules, exact counts': { ...mixed, lane: 'uniform', seed: 3, prefill: [129, 64, 1], multiprocessors: 32 },
  'windows that leave tiles out': { ...mixed, lane: 'uniform', rules: [[short, short, [192, 0, 1], short]], prefill: [400], seed: 4, decodes: 2 },
  'equal windows': { ...mixed, lane: 'oneHot', rules: [[short, short, short, short]], prefill: [191, 0], seed: 5, decodes: 70, multiprocessors: 3, compareWhole: false },
  'more pages than stages': { ...mixed, lane: 'oneHot', rules: [[dense, short, dense, half]], prefill: [330, 417], decodes: 2, seed: 8, multiprocessors: 1, compareWhole: false },
  'a short sink': { ...mixed, shape: 'bf16_d64_2x1_sink4', lane: 'uniform', rules: [[short, [192, 0, 1]]], prefill: [0, 130], decodes: 140, seed: 6, compareWhole: false, multiprocessors: 1 },
  'headDim 128 with RoPE': { ...mixed, shape: 'bf16_d128_3x1', rules: [[short, half, dense], [short, short, short]], prefill: [70, 131], decodes: 3, rope: true, seed: 7, queryScale: 2 },
};

const bulk = { family: 'hopper', compareWhole: false } as const;
const bulkCases: Readonly<Record<string, Case>> = {
  'mixed rules in bulk': { ...mixed, ...bulk, seed: 9 },
  'more pages than stages in bulk, one-hot': { ...mixed, ...bulk, lane: 'oneHot', rules: [[dense, short, dense, half], [short, short, short, short]], prefill: [330, 417, 200, 199], decodes: 2, seed: 10, multiprocessors: 1 },
  'over 32 pages in bulk': { ...mixed, ...bulk, shape: 'bf16_d64_2x1', rules: [[dense, short]], bound: 2300, prefill: [2200], decodes: 1, seed: 22, sampleRows: 100 },
  // Three groups: the last page, alone in its step, is one of the first group's.
  'windows without a sink in bulk': { ...mixed, ...bulk, shape: 'bf16_d64_2x2_sink0', rules: [[short, [192, 0, 1]]], prefill: [384, 330], decodes: 1, seed: 23 },
  'two layers with RoPE in bulk': { ...mixed, ...bulk, shape: 'bf16_d64_4x2', rules: [[dense, half, short, dense], [short, short, short, short]], prefill: [70, 131], decodes: 3, rope: true, seed: 11 },
};

const middling: RuleSpec = [192, 0, 1];
const long: RuleSpec = [320, 0, 1];
const chunked = { ...mixed, rules: [[short, long, middling, short]], decodes: 1 } as const;
const chunkCases: Readonly<Record<string, Case>> = {
  'chunks, of rings that have gone round': { ...chunked, prefill: [81, 0, 400], chunk: 50, seed: 12 },
  'chunks in bulk, of rings that have gone round': { ...chunked, family: 'hopper', prefill: [400, 0, 81], chunk: 45, seed: 13 },
  'chunks of whole pages in bulk, one-hot': { ...chunked, family: 'hopper', lane: 'oneHot', prefill: [419, 129], chunk: 128, seed: 14, multiprocessors: 1 },
  'chunks with RoPE': { ...chunked, shape: 'bf16_d128_3x1', rules: [[short, long, dense], [short, short, short]], prefill: [131, 270], chunk: 100, rope: true, seed: 15 },
  'chunks of headDim 128 in bulk, with RoPE': { ...chunked, family: 'hopper', shape: 'bf16_d128_3x1', rules: [[short, middling, dense]], prefill: [370, 131], chunk: 193, rope: true, seed: 16, multiprocessors: 2 },
  'chunks with a short sink': { ...chunked, shape: 'bf16_d64_2x1_sink4', rules: [[short, middling]], prefill: [300, 3], chunk: 70, seed: 17 },
  'chunks with a short sink in bulk': { ...chunked, family: 'hopper', shape: 'bf16_d64_2x1_sink4', rules: [[short, middling]], prefill: [300, 3], chunk: 210, seed: 18 },
  'chunks in bulk, cut in two': { ...chunked, family: 'hopper', prefill: [400, 65, 20], chunk: 100, seed: 20, splitPages: 0 },
  'chunks of headDim 128 in bulk, cut in two, one-hot': { ...chunked, family: 'hopper', lane: 'oneHot', shape: 'bf16_d128_3x1', rules: [[short, middling, dense]], prefill: [370, 131], chunk: 193, seed: 21, splitPages: 3, multiprocessors: 2 },
  'chunks without a sink in bulk': { ...chunked, family: 'hopper', shape: 'bf16_d64_2x2_sink0', rules: [[short, middling]], prefill: [200, 3], chunk: 63, seed: 19 },
};

const expanded = { ...chunked, cacheType: 'e4m3', shape: 'bf16_d64_4x2', rules: [[short, long, middling, short], [dense, short, short, short]] } as const;
const expandedCases: Readonly<Record<string, Case>> = {
  'chunks behind a cache in E4M3': { ...expanded, prefill: [81, 0, 300], chunk: 100, seed: 26 },
  'chunks behind a cache in E4M3 in bulk, one-hot': { ...expanded, family: 'hopper', lane: 'oneHot', prefill: [320, 129, 3], chunk: 128, seed: 27, multiprocessors: 1 },
  'chunks of headDim 128 behind a cache in E4M3, with RoPE': { ...expanded, shape: 'bf16_d128_3x1', rules: [[short, middling, dense]], prefill: [270, 70], chunk: 193, rope: true, seed: 28, compareWhole: false },
};

/** Layers with windows of the model's own, where there is no sink, beside one with the plan's, whose windows are as long. */
const windowed = { ...mixed, rules: [[dense, long, half, short], [middling, middling, middling, middling]], modelWindows: [128, null] } as const;
const windowCases: Readonly<Record<string, Case>> = {
  'windows of the model': { ...windowed, prefill: [300, 0, 65], decodes: 2, seed: 30 },
  'windows of the model that cut some heads, exact counts': { ...windowed, lane: 'uniform', modelWindows: [192, 64], prefill: [400, 191], seed: 31 },
  'windows of the model in bulk': { ...windowed, family: 'hopper', prefill: [129, 300], decodes: 1, seed: 32 },
  'rings of windows of the model go round, one-hot': { ...windowed, lane: 'oneHot', prefill: [100, 0], decodes: 140, seed: 33, compareWhole: false },
  'chunks behind windows of the model in bulk': { ...windowed, family: 'hopper', lane: 'oneHot', modelWindows: [null, 64], prefill: [300, 65], chunk: 90, decodes: 1, seed: 34, compareWhole: false },
};

/** Sinks of which some outweigh all keys, and a cap that bends all scores. */
const scored = { ...chunked, rules: [[short, long, middling, short], [short, short, dense, short]], softCap: 2.5, sinkLogits: [0.5, null, 1e4, 3, -2], decodes: 2 } as const;
const scoreCases: Readonly<Record<string, Case>> = {
  'capped scores and learned sinks': { ...scored, prefill: [81, 0, 300], chunk: 170, seed: 24, multiprocessors: 32 },
  'capped scores and learned sinks in bulk, cut in two': { ...scored, family: 'hopper', prefill: [300, 0, 81], chunk: 170, seed: 25, splitPages: 0 },
};

const wide = { ...mixed, shape: 'bf16_d256_2x1', rules: [[dense, short]], compareWhole: false } as const;
const wideCases: Readonly<Record<string, Case>> = {
  'headDim 256 in bulk': { ...wide, family: 'hopper', prefill: [330, 40, 200], decodes: 1, seed: 24, multiprocessors: 1 },
  'headDim 256, half a page at a time': { ...wide, architecture: 'sm_86', prefill: [130, 3, 417], seed: 25, multiprocessors: 2 },
};

describe('quick', () => {
  const suite = new Suite('quick');
  test.each(Object.entries({ ...cases, ...bulkCases, ...chunkCases, ...expandedCases, ...windowCases, ...scoreCases, ...wideCases }))('%s', { timeout }, async (_, testCase) => void (await suite.run(testCase)));

  test('timing does not matter', { timeout }, async () => {
    await relations.seedsDoNotMatter(target, { ...mixed, decodes: 4, multiprocessors: 32, prefill: [200, 3, 129, 1] });
    // Rings in five splits: the sum of two does not depend on their order.
    await relations.seedsDoNotMatter(target, { ...mixed, bound: 700, rules: [[dense, dense, dense, dense]], decodes: 4, multiprocessors: 32, prefill: [640] });
    // Few stages: the producer is soon where others still read.
    await relations.seedsDoNotMatter(target, { ...chunkCases['chunks of headDim 128 in bulk, with RoPE']!, decodes: 0 });
    // Which of two parts is the last to end.
    await relations.seedsDoNotMatter(target, { ...chunkCases['chunks of headDim 128 in bulk, cut in two, one-hot']!, lane: 'normal', decodes: 0, multiprocessors: 8 });
  });

  test('capture is eager, and prefill batch invariant', { timeout }, async () => {
    await relations.captureIsEager(target, mixed);
    await relations.prefillIsBatchInvariant(target, mixed);
  });

  test.each([2, 24])('sequences come and go, on %i multiprocessors', { timeout }, async (multiprocessors) => {
    const life = { shape: 'bf16_d64_4x2', rules: [[half, short, dense, short], [short, short, half, half]], slack: 64, decodeTokens: 16, family: 'hopper', cacheType: 'element', batch: 3, lengthBound: 420, poolPercent: 100, seed: 3, multiprocessors } as const;
    const [one, several] = [new Decode(2, true, 1), new Decode(1, true, 5)];
    const drafts = [new Decode(1, false, 5, [2, 0, 4]), new Decode(1, true, 5, [1, 5, 0]), new Decode(1, true, 5, [0, 3, 4]), new Decode(1, false, 1, [0, 1, 0])];
    // Truncations of rings that have gone round: one token more than the slack has room for, the most, and then no more, of a copy either.
    const turns = [new Truncate(0, 66), new Truncate(0, 65), new Truncate(0, 1), new Fork(0), new Truncate(0, 1), new Truncate(2, 1)];
    const commands = [
      new Join(100), new Decode(1, false, 3), new Join(50), ...drafts, new Prefill([330, 201]), one, several, ...turns, one, several, new CheckCaches(),
      new Leave(0), one, new Join(40), new Prefill([130, 0, 60]), several, ...drafts, one, new Leave(1), new Leave(1), several, ...drafts, new CheckCaches(),
    ];
    suite.add(await runLife(await beginLife(target, life), commands));
  });

  test('graphs count what they launch, for every session in them', { timeout }, async () => {
    const device = await target.device({ multiprocessors: 8 });
    using plan = await target.load(device, graphSpec);
    runHistory(device, plan, 2, fixedHistory);
  });

  test('infinite values stay with their sequence', { timeout }, async () => {
    for (const family of ['portable', 'hopper'] as const) {
      // Of one page, of two, and of one that is the last of three.
      for (const length of [30, 100, 130]) {
        const testCase: Case = { ...mixed, family, prefill: [length, 70], decodes: 0 };
        const tokens = makeTokens(testCase);
        const bad = tokens.map(([first, second]) => [first!, { ...second!, given: { ...second!.given, v: second!.given.v.map(() => Infinity) } }]);
        const [clean, found] = [await outputsOf(target, testCase, { tokens }), await outputsOf(target, testCase, { tokens: bad })];
        const count = length * 4 * 64;
        firstDifference(`${family}, ${length} tokens`, clean.out[0]![0]!.subarray(0, count), found.out[0]![0]!.subarray(0, count));
      }
    }
  });

  test('the largest numbers stay', { timeout }, () => largestNumbersStay(target, 'bf16_d64_4x2', 'portable'));

  test('no bank conflicts', { timeout }, async () => {
    await outputsOf(target, { ...mixed, clean: true }, { device: { failOnBankConflict: true, multiprocessors: 8 } });
  });
});
