/**
 * The part of a plan that one rank runs: in every layer the query heads of its KV heads, in their order. Heads keep the path of the plan they came from.
 *
 *     layer 0: heads 1/8*N, N, 1/8*N, N                (two ranks, rank 1 has KV heads 1 3)
 *   becomes
 *     layer 0: heads N, N
 *
 * Invariant: the ranks' heads together are those of the plan, and all ranks have one shape.
 */
import type { HeadModule } from '../ir/nodes.ts';
import { queryHeadsOf, type RankAssignment } from './assignRanks.ts';

export function selectRank(module: HeadModule, { ranks, groupSize, layers }: RankAssignment, rank: number): HeadModule {
  if (ranks === 1) return module;
  const { shape } = module;
  return {
    ...module,
    shape: { ...shape, queryHeads: shape.queryHeads / ranks, kvHeads: shape.kvHeads / ranks },
    layers: module.layers.map((layer, index) => ({ ...layer, heads: queryHeadsOf(layers[index]!.kvHeads[rank]!, groupSize).map((head) => layer.heads[head]!) })),
  };
}
