import { effectiveMask, evaluate } from '../../ir/affine.ts';
import type { HeadModule } from '../../ir/nodes.ts';
import type { Rule } from '../../ir/rule.ts';
import { activePairs } from '../../mask/sinkWindow.ts';
import { canonicalizeRules } from '../canonicalizeRules.ts';
import { groupHeads } from '../groupHeads.ts';
import { layoutKvCache } from '../layoutKvCache.ts';
import { resolveGqa } from '../resolveGqa.ts';

/** What a KV head costs the rank that has it, at each length bound. Integers, so that sums do not depend on their order. */
export interface HeadCost {
  /** Pages of its ring: cache bytes, and what decode reads. */
  readonly pages: readonly number[];
  /** Pairs that prefill attends for its query heads, in tiles of a page of queries and a page of keys, rounded up. */
  readonly tiles: readonly number[];
}

/** The cost of each KV head, by layer. */
export function headCosts(module: HeadModule, lengths: readonly number[]): HeadCost[][] {
  const heads = canonicalizeRules(module);
  const { layers, limits, shape } = layoutKvCache(groupHeads(resolveGqa(heads, { slack: 0 })), { cacheType: 'element' });
  const groupSize = shape.queryHeads / shape.kvHeads;
  const known = new Map<number | null, Map<Rule, readonly number[]>>();
  const pairsOf = (rule: Rule, modelWindow: number | null): readonly number[] => {
    const inLayer = known.get(modelWindow) ?? new Map<Rule, readonly number[]>();
    known.set(modelWindow, inLayer);
    const pairs = inLayer.get(rule) ?? lengths.map((length) => {
      const { window, sink } = effectiveMask(rule, limits, length, modelWindow);
      return activePairs(length, window, sink);
    });
    inLayer.set(rule, pairs);
    return pairs;
  };
  return layers.map(({ ringGroups, modelWindow }, layer) => {
    const costs = new Array<HeadCost>(shape.kvHeads);
    for (const { group, pages } of ringGroups) {
      const counts = lengths.map((length) => evaluate(pages, { N: length }));
      for (const kvHead of group.kvHeads) {
        const members = heads.layers[layer]!.heads.slice(kvHead * groupSize, (kvHead + 1) * groupSize).map(({ rule }) => pairsOf(rule, modelWindow));
        costs[kvHead] = { pages: counts, tiles: lengths.map((_, at) => Math.ceil(members.reduce((sum, each) => sum + each[at]!, 0) / limits.page ** 2)) };
      }
    }
    return costs;
  });
}
