/** What a GPU run does: random cases, relations, real plans, and sizes past 2^31. */
import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { caseArbitrary, modelWindowsArbitrary, windowedCases, type CaseOptions } from '../properties/arbitraries.ts';
import type { Case } from '../properties/case.ts';
import type { Tally } from '../properties/checkRows.ts';
import type { Target } from '../properties/harness.ts';
import { largestNumbersStay } from '../properties/largestNumbers.ts';
import * as excluded from '../properties/excluded.ts';
import * as relations from '../properties/metamorphic.ts';
import type { PlanSpec, RuleSpec } from '../properties/plans.ts';
import { runCase } from '../properties/runCase.ts';
import { shapeOf } from '../properties/shapes.ts';
import { isBatchInvariant } from '../properties/batchInvariance.ts';
import { beginLife, lifeArbitrary, livesOf, runLife, type Life } from '../properties/sequencesModel.ts';
import { mixtureIsEager } from '../properties/mixtures.ts';
import { largeOffsets } from './largeOffsets.ts';
import { replayIsEager } from '../properties/replay.ts';
import { gpuShapes, shapesWith } from './packages.ts';

export interface Job {
  readonly name: string;
  readonly testCase?: Case;
  readonly run: (target: Target) => Promise<Tally | void>;
}

const families = ['portable', 'hopper'] as const;
const smallShapes = gpuShapes.filter((name) => shapeOf(name).queryHeads <= 16);
const ropeShapes = ['bf16_d64_4x2', 'fp16_d64_6x2', 'bf16_d128_3x1', 'fp16_d128_2x2', 'bf16_d256_2x1'];

/** Of learned sinks; null is none. */
const sinkLogits = [0.5, null, -3, 2, 5];

const caseJob = (name: string, testCase: Case): Job => ({ name, testCase, run: (target) => runCase(target, testCase) });

function randomCases(name: string, options: CaseOptions, count: number, seed: number, cases = caseArbitrary): Job[] {
  return fc.sample(cases({ shapes: smallShapes, ...options }), { numRuns: count, seed }).map((testCase, n) => caseJob(`${name} ${n}`, testCase));
}

function relationJobs(name: string, relation: relations.Relation, options: CaseOptions, count: number, seed: number): Job[] {
  return fc
    .sample(caseArbitrary({ shapes: smallShapes, lanes: ['normal'], bound: 400, tiles: 20, ...options }), { numRuns: count, seed })
    .map((testCase, n) => ({ name: `${name} ${n}`, testCase, run: (target) => relation(target, testCase) }));
}

/** @param plans folder of published plans, or undefined */
export function makeJobs(seed: number, scale: number, plans: string | undefined): Job[] {
  const count = (usual: number): number => Math.max(1, Math.round(usual * scale));
  const times = Math.min(250, Math.max(20, count(250)));
  return [
    ...planJobs(plans),
    ...families.flatMap((family) => [
      { name: `tensors past 2^31 elements, ${family}`, run: (target: Target) => largeOffsets(target, family) },
      caseJob(`pool past 2^31 elements, ${family}`, { ...poolPast31Bits, family }),
      { name: `the largest numbers of fp16 in e4m3, ${family}`, run: (target: Target) => largestNumbersStay(target, 'fp16_d64_6x2', family) },
      { name: `the largest numbers of bf16 in e4m3, ${family}`, run: (target: Target) => largestNumbersStay(target, 'bf16_d64_4x2', family) },
      repeated(times, `decodes, ${family}`, { decodes: 1, prefill: [700, 64, 129, 1, 300, 500, 0, 999], family }),
      repeated(times, `prefills, ${family}`, { decodes: 0, prefill: [700, 64, 129, 1, 300, 500, 0, 999], family }),
      repeated(times, `prefills in chunks, ${family}`, { decodes: 0, prefill: [700, 64, 129, 1, 300, 500, 0, 999], chunk: 256, family }),
    ]),
    ...families.flatMap((family) => [
      { name: `5000 steps of a graph, ${family}`, run: (target: Target) => replayIsEager(target, { ...replayed, family }, { steps: 5000 }) },
      { name: `5000 mixed steps of a graph, ${family}`, run: async (target: Target) => void (await mixtureIsEager(target, { ...replayed, family }, { steps: 5000, pages: 400 })) },
      { name: `1500 steps of a graph, balanced over sequences, ${family}`, run: (target: Target) => replayIsEager(target, { ...replayed, family }, { steps: 1500, every: 101 }) },
      { name: `1500 steps of 4 tokens of a graph, ${family}`, run: (target: Target) => replayIsEager(target, { ...replayed, family, slack: 64, decodeTokens: 16 }, { steps: 1500, tokens: 4 }) },
    ]),
    repeated(times, 'prefills in chunks, cut in two', { decodes: 0, prefill: [700, 64, 129, 1, 300, 500, 0, 999], chunk: 256, family: 'hopper', splitPages: 2 }),
    repeated(times, 'prefills of headDim 64, cut in two', {
      decodes: 0,
      prefill: [700, 64, 129, 1, 300, 500, 0, 999],
      family: 'hopper',
      splitPages: 3,
      shape: 'bf16_d64_4x2',
      rules: [alternating(4, [[0, 1, 2], [128, 0, 1], [0, 1, 1]])],
    }),
    repeated(times, 'decodes, e4m3', { decodes: 1, prefill: [700, 64, 129, 1, 300, 500, 0, 999], family: 'hopper', cacheType: 'e4m3', shape: 'bf16_d64_4x2', rules: [alternating(4, [[0, 1, 2], [128, 0, 1], [0, 1, 1]])] }),
    ...randomCases('prefill', { layers: 2, tiles: 100, bound: 1500 }, count(120), seed),
    ...randomCases('chunks', { layers: 2, chunks: true, decodes: 2, compareWhole: true, tiles: 60, bound: 1500 }, count(80), seed + 13),
    ...randomCases('chunks with RoPE', { shapes: ropeShapes, lanes: ['normal'], rope: true, chunks: true, compareWhole: true, decodes: 2, tiles: 20 }, count(20), seed + 14),
    ...randomCases('decode', { layers: 2, decodes: 8, tiles: 60, bound: 1500 }, count(120), seed + 1),
    ...randomCases('invariant', { compareWhole: true, decodes: 8, tiles: 60 }, count(80), seed + 2),
    ...randomCases('RoPE', { shapes: ropeShapes, lanes: ['normal'], rope: true, compareWhole: true, decodes: 5, tiles: 20 }, count(40), seed + 3),
    repeated(times, 'prefills in chunks, e4m3', { decodes: 0, prefill: [700, 64, 129, 1, 300, 500, 0, 999], chunk: 256, family: 'hopper', cacheType: 'e4m3', shape: 'bf16_d64_4x2', rules: [alternating(4, [[0, 1, 2], [128, 0, 1], [0, 1, 1]])] }),
    ...randomCases('e4m3', { shapes: shapesWith({ cacheType: 'e4m3' }), decodes: 8, tiles: 40, bound: 1500, with: { cacheType: 'e4m3' } }, count(60), seed + 9),
    ...randomCases('e4m3 with RoPE', { shapes: shapesWith({ cacheType: 'e4m3' }).filter((name) => ropeShapes.includes(name)), lanes: ['normal'], rope: true, decodes: 5, tiles: 20, with: { cacheType: 'e4m3' } }, count(20), seed + 10),
    ...randomCases('headDim 256', { shapes: gpuShapes.filter((name) => shapeOf(name).headDim === 256), layers: 2, chunks: true, decodes: 5, tiles: 40, bound: 1500 }, count(40), seed + 20),
    ...randomCases('headDim 256 with little shared memory', { shapes: shapesWith({ architecture: 'sm_86' }), chunks: true, decodes: 8, tiles: 40, bound: 1500, with: { family: 'portable', architecture: 'sm_86' } }, count(20), seed + 21),
    ...randomCases('chunks of e4m3', { shapes: shapesWith({ cacheType: 'e4m3' }), layers: 2, chunks: true, compareWhole: true, decodes: 2, tiles: 60, bound: 1500, with: { cacheType: 'e4m3' } }, count(80), seed + 23),
    ...randomCases('chunks of e4m3 with RoPE', { shapes: shapesWith({ cacheType: 'e4m3' }).filter((name) => ropeShapes.includes(name)), lanes: ['normal'], rope: true, chunks: true, decodes: 2, tiles: 20, with: { cacheType: 'e4m3' } }, count(20), seed + 24),
    ...(['unspecialised', 'cuda-cores'] as const).flatMap((ablation, n) =>
      randomCases(ablation, { shapes: shapesWith({ ablations: [ablation] }), decodes: 8, tiles: 40, bound: 1500, with: { ablations: [ablation] } }, count(40), seed + 11 + n),
    ),
    ...randomCases('capped scores and learned sinks', { shapes: shapesWith({ softCap: 2.5, learnedSinks: true }), lanes: ['normal', 'uniform'], chunks: true, compareWhole: true, decodes: 5, tiles: 40, bound: 1500, layers: 2, with: { softCap: 2.5, sinkLogits } }, count(60), seed + 15),
    ...randomCases('learned sinks', { shapes: shapesWith({ learnedSinks: true }), chunks: true, decodes: 5, tiles: 40, bound: 1500, with: { sinkLogits } }, count(40), seed + 16),
    ...randomCases('capped scores and learned sinks, e4m3', { shapes: shapesWith({ cacheType: 'e4m3', softCap: 2.5, learnedSinks: true }), lanes: ['normal'], chunks: true, decodes: 8, tiles: 40, bound: 1500, with: { cacheType: 'e4m3', softCap: 2.5, sinkLogits } }, count(20), seed + 17),
    ...windowJobs(count, seed + 30),
    ...lives('sequences', lifeArbitrary(shapesWith({ slack: 64, decodeTokens: 16 }).filter((name) => name !== 'llama3')), count(120), seed + 18),
    ...lives('sequences, e4m3', lifeArbitrary(shapesWith({ cacheType: 'e4m3', slack: 64, decodeTokens: 16 }), 'e4m3'), count(60), seed + 25),
    ...relationJobs('decode in a batch', isBatchInvariant, { decodes: 4, layers: 2 }, count(20), seed + 19),
    ...relationJobs('chunks in a batch', isBatchInvariant, { chunks: true, decodes: 1, layers: 2 }, count(10), seed + 20),
    ...relationJobs('chunks in a batch, e4m3', isBatchInvariant, { shapes: shapesWith({ cacheType: 'e4m3' }), chunks: true, decodes: 2, layers: 2, with: { cacheType: 'e4m3' } }, count(20), seed + 21),
    ...relationJobs('pages, chunks of e4m3', relations.pageOrderDoesNotMatter, { shapes: shapesWith({ cacheType: 'e4m3' }), chunks: true, decodes: 2, with: { cacheType: 'e4m3' } }, count(10), seed + 22),
    ...relationJobs('excluded tokens', excluded.excludedTokensDoNotMatter, { decodes: 4, layers: 2, chunks: true }, count(60), seed + 30),
    ...relationJobs('excluded tokens, e4m3', excluded.excludedTokensDoNotMatter, { shapes: shapesWith({ cacheType: 'e4m3' }), chunks: true, decodes: 3, with: { cacheType: 'e4m3' } }, count(20), seed + 31),
    ...relationJobs('excluded tokens in graphs', excluded.excludedTokensDoNotMatterInGraphs, { decodes: 5, layers: 2 }, count(20), seed + 32),
    ...relationJobs('spoiled elements', async (target, testCase) => void (await excluded.spoiledElements(target, testCase, NaN)), { decodes: 3, chunks: true }, count(40), seed + 33),
    ...relationJobs('pages', relations.pageOrderDoesNotMatter, { decodes: 4 }, count(20), seed + 4),
    ...relationJobs('capture', relations.captureIsEager, { decodes: 8, layers: 2 }, count(20), seed + 5),
    ...relationJobs('batch', relations.prefillIsBatchInvariant, { layers: 2 }, count(20), seed + 6),
    ...relationJobs('permuted', relations.headsArePermuted, { shapes: ['bf16_d64_2x2', 'bf16_d64_4x2', 'fp16_d64_6x2', 'fp16_d128_2x2'] }, count(20), seed + 7),
    ...relationJobs('repeated heads', relations.groupsAreRepeatedHeads('bf16_d64_2x2'), { shapes: ['bf16_d64_2x1'] }, count(10), seed + 8),
  ];
}

/** Layers with windows of the model's own, and no sink there, beside others. */
function windowJobs(count: (usual: number) => number, seed: number): Job[] {
  const modelWindows = [4096, 4096];
  const options: CaseOptions = { shapes: shapesWith({ modelWindows }), decodes: 5, tiles: 60, bound: 1500 };
  const chunked: CaseOptions = { ...options, chunks: true, compareWhole: true };
  const e4m3: CaseOptions = { ...chunked, shapes: shapesWith({ cacheType: 'e4m3', modelWindows }), with: { cacheType: 'e4m3' } };
  const life = fc
    .tuple(lifeArbitrary(shapesWith({ slack: 64, decodeTokens: 16, modelWindows })), modelWindowsArbitrary)
    .map(([begun, windows]): Life => ({ ...begun, modelWindows: begun.rules.map((_, layer) => windows[layer]!) }));
  return [
    ...randomCases('windows of the model', options, count(80), seed, windowedCases),
    ...randomCases('chunks behind windows of the model', chunked, count(60), seed + 1, windowedCases),
    ...randomCases('chunks of e4m3 behind windows of the model', e4m3, count(30), seed + 2, windowedCases),
    ...lives('sequences with windows of the model', life, count(40), seed + 3),
  ];
}

/** Lives of sessions: of up to 30 commands each. */
function lives(name: string, life: fc.Arbitrary<Life>, count: number, seed: number): Job[] {
  return fc.sample(fc.tuple(life, livesOf(30)), { numRuns: count, seed }).map(([begun, commands], n) => ({ name: `${name} ${n}`, run: async (target) => runLife(await beginLife(target, begun), commands) }));
}

/** Two layers of Llama-3-8B's shape; each ring is far shorter than the steps. */
const replayed: PlanSpec = { shape: 'llama3', rules: [alternating(32, [[128, 0, 1], [320, 0, 1], [0, 1, 8], [1024, 0, 1]]), alternating(32, [[192, 0, 1]])], rope: false };

function alternating(heads: number, rules: readonly RuleSpec[]): RuleSpec[] {
  return Array.from({ length: heads }, (_, head) => rules[head % rules.length]!);
}

/** The same case so many times over, with equal results. */
function repeated(times: number, name: string, part: Pick<Case, 'decodes' | 'prefill'> & Partial<Case>): Job {
  const testCase: Case = { shape: 'llama3', rules: [alternating(32, [[0, 1, 2], [128, 0, 1], [0, 1, 1]])], bound: 1024, lane: 'normal', seed: 77, ...part };
  return { name: `${times} ${name}`, testCase, run: (target) => relations.repeatsAreEqual(times)(target, testCase) };
}

/** Rings of the last sequences lie past 2^31 elements: 17 sequences x 32 heads x 256 pages of 16384 elements. */
const poolPast31Bits: Case = {
  shape: 'vicuna',
  rules: [alternating(32, [[0, 1, 1]])],
  bound: 16384,
  prefill: [...Array.from({ length: 15 }, () => 0), 300, 129],
  decodes: 2,
  lane: 'uniform',
  seed: 3,
  sampleHeads: [0, 13, 31],
};

/** The vicuna-7b and Llama-3-8B plans at their real length; a sample of rows, and of heads with all the rules that occur. */
function planJobs(folder: string | undefined): Job[] {
  const files = { vicuna: 'lmsys--vicuna-7b-v1.5-16k.json', llama3: 'gradientai--Llama-3-8B-Instruct-262k.json' };
  return Object.entries(files).flatMap(([shape, file]): Job[] => {
    const path = `${folder}/${file}`;
    if (folder === undefined || !existsSync(path)) {
      console.log(`NOT RUN: ${file} is not in ${folder ?? 'any folder'}; name the folder of published plans with MOA_PLANS`);
      return [];
    }
    const { alphas, betas } = JSON.parse(readFileSync(path, 'utf8')) as { alphas: number[][]; betas: number[][] };
    return [3, 17].flatMap((layer) =>
      (['normal', 'uniform'] as const).flatMap((lane) => families.map((family): Job => {
        const rules = alphas[layer]!.map((alpha, head): RuleSpec => [alpha, Math.round(betas[layer]![head]! * 2 ** 20), 2 ** 20]);
        const different = new Map(rules.map((rule, head) => [rule.join(), head]));
        return caseJob(`${shape} plan, layer ${layer}, ${lane}, ${family}`, {
          shape, rules: [rules], bound: 16384, prefill: [16384 - 4], ...(layer === 17 ? { chunk: 5000 } : {}), decodes: 4, lane, family, seed: layer, sampleRows: 64, sampleHeads: [...new Set([0, ...different.values()])].slice(0, 6), cheapInputs: true,
        });
      })),
    );
  });
}
