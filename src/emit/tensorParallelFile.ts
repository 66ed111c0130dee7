import type { ModelShape } from '../ir/nodes.ts';
import { queryHeadsOf, type RankAssignment } from '../passes/assignRanks.ts';
import { stableJson } from '../util/stableJson.ts';

/** What `format` and `version` say in the file (docs/tensor-parallel.md). */
export const tensorParallelFormat = 'moa-tensor-parallel';
export const tensorParallelVersion = 1;

/** Where the file is in a package of ranks, and the folder of each rank's own package. */
export const tensorParallelPath = 'tensor-parallel.json';
export const rankFolder = (rank: number): string => `rank${rank}`;

/**
 * Which heads each rank has, for whoever loads the projections: of each layer and rank the KV heads and the query heads, in the order that they have on the
 * rank.
 * @param shape of the whole model
 */
export function tensorParallelFile(shape: ModelShape, { ranks, lengths, groupSize, layers }: RankAssignment): string {
  return stableJson({
    format: tensorParallelFormat,
    version: tensorParallelVersion,
    model: shape,
    ranks,
    lengths,
    packages: Array.from({ length: ranks }, (_, rank) => rankFolder(rank)),
    layers: layers.map(({ kvHeads }) => ({ kvHeads, queryHeads: kvHeads.map((heads) => queryHeadsOf(heads, groupSize)) })),
  });
}
