/** Reports of searches that never ran, in any size; the same for the same size. */
import type { ReportHead, ReportPlan, SearchReport } from '../../src/search/report/searchReport.ts';

export interface SyntheticSize {
  readonly layers: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly plans: number;
  /** Pages of the influence maps. */
  readonly pages: number;
  readonly profiled: readonly number[];
  readonly extrapolated: readonly number[];
  readonly validated: boolean;
}

export const small: SyntheticSize = { layers: 24, queryHeads: 14, kvHeads: 2, plans: 7, pages: 32, profiled: [1024, 2048], extrapolated: [4096], validated: true };
export const large: SyntheticSize = { ...small, layers: 80, queryHeads: 64, kvHeads: 8, plans: 12, pages: 128, profiled: [2048, 4096, 8192], extrapolated: [16384, 32768] };

const spanLength = 4096;

export function syntheticReport(size: SyntheticSize = small): SearchReport {
  const random = lehmer(7);
  const lengths = [...size.profiled.map((length) => ({ length, profiled: true, samples: 16 })), ...size.extrapolated.map((length) => ({ length, profiled: false }))];
  const rules = ['128', '0.0625 N + 64', '0.25 N', '0.5 N - 128', 'N'];
  const ruleSpans = [128, 320, 1024, 1920, spanLength];
  const group = size.queryHeads / size.kvHeads;
  const chosenRules = Array.from({ length: size.layers }, () => {
    const kv = Array.from({ length: size.kvHeads }, () => Math.floor(random() ** 2.2 * ruleSpans.length));
    return Array.from({ length: size.queryHeads }, (_, head) => kv[Math.floor(head / group)]!);
  });
  const uses = rules.map((rule, index) => ({ rule, heads: chosenRules.flat().filter((used) => used === index).length }));
  const ladder = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];
  const plans = Array.from({ length: size.plans }, (_, index) => syntheticPlan(index, size, lengths.length));
  const chosen = plans[Math.floor(size.plans / 2)]!;
  const head = (index: number, reach: number): ReportHead => ({ layer: (index * 5) % size.layers, queryHead: (index * 3) % size.queryHeads, influence: influenceOf(size.pages, reach, random) });
  return {
    model: { name: 'example/tiny-0.5b', layers: size.layers, queryHeads: size.queryHeads, kvHeads: size.kvHeads, headDim: 64 },
    lengths,
    granularity: 'kv-head',
    rulesPerLayer: 2,
    candidates: 61,
    constraints: ['density at 2048 <= 25.0 %', 'loss at 4096 <= 0.31'],
    plans,
    chosen: chosen.id,
    reason: 'lowest validated loss at 2048 tokens',
    ...(size.validated ? { validation: { length: 2048, samples: 32, dense: { loss: 0.10342, accuracy: 0.9904 } } } : {}),
    plan: {
      spans: chosenRules.map((row) => row.map((rule) => ruleSpans[rule]!)),
      spanLength,
      rules: uses.sort((a, b) => b.heads - a.heads),
      curve: ladder.map((length) => {
        const at = lengths.findIndex((known) => known.length === length);
        return { length, cacheDensity: 0.21 + 120 / length, computeDensity: 0.35 + 70 / length, ...(at >= 0 ? { loss: chosen.losses[at]! } : {}) };
      }),
    },
    mostGlobal: [20, 14, 10, 9].map((reach, index) => head(index, reach)),
    mostLocal: [0.2, 0.3, 0.4, 0.5].map((reach, index) => head(index + 4, reach)),
    seconds: [
      { stage: 'read profile', seconds: 0.42 },
      { stage: 'fit candidates', seconds: 3.18 },
      { stage: 'solve', seconds: 74.6 },
      { stage: 'validate', seconds: 191 },
    ],
    version: '0.1.0',
  };
}

/** Along a front: what is lower at the first length is higher at the last. */
function syntheticPlan(index: number, { plans, validated }: SyntheticSize, lengths: number): ReportPlan {
  const along = plans === 1 ? 0.5 : index / (plans - 1);
  const losses = Array.from({ length: lengths }, (_, at) => {
    const late = lengths === 1 ? 0.5 : at / (lengths - 1);
    return (0.12 + 0.09 * at) * (1 + 0.3 * ((1 - late) * along ** 2 + late * (1 - along) ** 2)) + 0.003 * ((index * 7) % 5) * (at % 2);
  });
  return {
    id: String(index + 1),
    losses,
    densities: losses.map((_, at) => 0.247 - 0.004 * at - 0.0011 * index),
    gap: index === 0 ? 0 : 0.00031 * index,
    ...(validated ? { validation: { loss: 0.1123 + 0.0007 * ((index * 3) % 7), accuracy: 0.9871 - 0.0013 * ((index * 5) % 7) } } : {}),
  };
}

function influenceOf(pages: number, reach: number, random: () => number): number[][] {
  return Array.from({ length: pages }, (_row, query) =>
    Array.from({ length: pages }, (_cell, key) => (key > query ? 0 : 1e-3 * (0.4 + random()) * (Math.exp((key - query) / reach) + (key === 0 ? 0.3 : 1e-5)))),
  );
}

function lehmer(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}
