/** How even ranks are under tensor parallelism: contiguous blocks of heads beside an assignment of ours. The numbers behind `inspect --tp`. */
import type { CacheType, HeadModule } from './ir/nodes.ts';
import { contiguousRanks, type RankAssignment } from './passes/assignRanks.ts';
import { headCosts, type HeadCost } from './passes/assignRanks/headCosts.ts';
import { pageBytesOf } from './passes/layoutKvCache.ts';

/** Ratios are of the rank that has most and the mean of the ranks: 1 where all have the same. */
export interface RankBalance {
  /** KV pages: what decode reads, and waits for. */
  readonly worstLayer: number;
  readonly meanOfLayers: number;
  /** The sum over layers of what the fullest rank has, and of the mean: the time of all layers beside that of even ones. */
  readonly allLayers: number;
  /** Pairs that prefill attends, in tiles of a page of queries and a page of keys. */
  readonly prefillWorstLayer: number;
  readonly prefillMeanOfLayers: number;
  /** KV cache of one sequence, by rank. */
  readonly cacheBytes: readonly number[];
}

export interface RankFigures {
  readonly ranks: number;
  /** Length bounds that were balanced, tokens. */
  readonly balancedLengths: readonly number[];
  /** Layers of which it is known that no assignment is more even. */
  readonly provenLayers: number;
  /** By layer and rank: its KV heads. */
  readonly kvHeads: readonly (readonly (readonly number[])[])[];
  readonly lengths: readonly { readonly length: number; readonly contiguous: RankBalance; readonly assigned: RankBalance }[];
}

/** @param cacheType what keys and values are stored as */
export function inspectRanks(module: HeadModule, assignment: RankAssignment, lengths: readonly number[], cacheType: CacheType = 'element'): RankFigures {
  const { ranks, layers } = assignment;
  const costs = headCosts(module, lengths);
  const pageBytes = pageBytesOf(module, cacheType);
  const contiguous = layers.map(() => contiguousRanks(module, ranks));
  const assigned = layers.map(({ kvHeads }) => kvHeads);
  return {
    ranks,
    balancedLengths: assignment.lengths,
    provenLayers: layers.filter(({ proven }) => proven).length,
    kvHeads: assigned,
    lengths: lengths.map((length, at) => ({
      length,
      contiguous: balanceOf(costs, contiguous, at, pageBytes),
      assigned: balanceOf(costs, assigned, at, pageBytes),
    })),
  };
}

function balanceOf(costs: readonly (readonly HeadCost[])[], kvHeads: RankFigures['kvHeads'], at: number, pageBytes: number): RankBalance {
  const loadsOf = (kind: keyof HeadCost): number[][] => kvHeads.map((ranks, layer) => ranks.map((heads) => heads.reduce((sum, head) => sum + costs[layer]![head]![kind][at]!, 0)));
  const pages = loadsOf('pages');
  const [ratios, prefill] = [pages, loadsOf('tiles')].map((layers) => layers.map((ranks) => Math.max(...ranks) / mean(ranks))) as [number[], number[]];
  return {
    worstLayer: Math.max(...ratios),
    meanOfLayers: mean(ratios),
    allLayers: mean(pages.map((ranks) => Math.max(...ranks))) / mean(pages.map(mean)),
    prefillWorstLayer: Math.max(...prefill),
    prefillMeanOfLayers: mean(prefill),
    cacheBytes: pages[0]!.map((_, rank) => pages.reduce((sum, ranks) => sum + ranks[rank]!, 0) * pageBytes),
  };
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
