/**
 * Tensor parallelism: which rank has which KV heads, in each layer, with all their query heads. The blocks that a contiguous split makes are uneven where
 * spans are; since ranks meet after every layer, each layer is balanced by itself (`assignRanks/partitionHeads.ts`), and then the sums over layers, which
 * are the ranks' memory (`assignRanks/orderParts.ts`).
 *
 *     layer 0: rings N | N | 128 | 128; layer 1: 128 | 128 | 128 | 128       (two ranks)
 *   becomes
 *     layer 0: rank 0 has 0 2, rank 1 has 1 3; layer 1: rank 0 has 0 1, rank 1 has 2 3
 *
 * Invariant: in every layer each KV head has one rank, all ranks have as many, and no rank waits longer than with contiguous blocks at the worst length.
 */
import type { HeadModule, ModelShape } from '../ir/nodes.ts';
import { DiagnosticError } from '../util/diagnostics.ts';
import { costVector } from './assignRanks/balance.ts';
import { headCosts } from './assignRanks/headCosts.ts';
import { orderParts } from './assignRanks/orderParts.ts';
import { addUp, headClasses, partitionHeads, type HeadClass } from './assignRanks/partitionHeads.ts';
import { rankProblem } from './assignRanks/rankProblem.ts';

/** Length bounds at which ranks are balanced, unless others are given. */
export const balancedLengths: readonly number[] = [4096, 8192, 16384, 32768];

export interface RankLayer {
  /** By rank: its KV heads, in the order that they have there, rising. */
  readonly kvHeads: readonly (readonly number[])[];
  /** Whether no other assignment of this layer is more even; otherwise the search ended before it knew. */
  readonly proven: boolean;
}

export interface RankAssignment {
  readonly ranks: number;
  /** Length bounds that were balanced, tokens. */
  readonly lengths: readonly number[];
  /** Query heads of a KV head, which stay with it. */
  readonly groupSize: number;
  readonly layers: readonly RankLayer[];
}

/** Throws a DiagnosticError (MOA3001, MOA3002) when the KV heads cannot be shared out evenly. */
export function assignRanks(module: HeadModule, ranks: number, lengths: readonly number[] = balancedLengths): RankAssignment {
  const problem = rankProblem(module.shape, ranks);
  if (problem !== undefined) throw new DiagnosticError([problem], 2);
  const classes = headCosts(module, lengths).map((costs) => headClasses(costs.map(costVector)));
  const partitions = layersAlike(classes, (layer) => partitionHeads(layer, ranks));
  const pages = partitions.map(({ parts }, layer) => parts.map((counts) => addUp(classes[layer]!, counts).slice(0, lengths.length)));
  const order = orderParts(pages);
  const layers = partitions.map(({ parts, proven }, layer): RankLayer => ({ kvHeads: dealHeads(classes[layer]!, order[layer]!.map((part) => parts[part]!)), proven }));
  return { ranks, lengths, groupSize: groupSizeOf(module.shape), layers };
}

/** What everyone does: the first KV heads to rank 0, and so on. */
export function contiguousRanks({ shape }: Pick<HeadModule, 'shape'>, ranks: number): number[][] {
  const size = shape.kvHeads / ranks;
  return Array.from({ length: ranks }, (_, rank) => Array.from({ length: size }, (_head, place) => rank * size + place));
}

/** The query heads of KV heads, in the order of these. */
export function queryHeadsOf(kvHeads: readonly number[], groupSize: number): number[] {
  return kvHeads.flatMap((kvHead) => Array.from({ length: groupSize }, (_, place) => kvHead * groupSize + place));
}

const groupSizeOf = ({ queryHeads, kvHeads }: ModelShape): number => queryHeads / kvHeads;

/** Solves layers of the same heads once. */
function layersAlike<Result>(layers: readonly (readonly HeadClass[])[], solve: (layer: readonly HeadClass[]) => Result): Result[] {
  const known = new Map<string, Result>();
  return layers.map((layer) => {
    const key = JSON.stringify(layer);
    const found = known.get(key) ?? solve(layer);
    known.set(key, found);
    return found;
  });
}

/** The heads behind the counts: those of a class to the ranks in order, so that equal heads stay in order. */
function dealHeads(classes: readonly HeadClass[], ranks: readonly (readonly number[])[]): number[][] {
  const next = classes.map(() => 0);
  return ranks.map((counts) =>
    counts
      .flatMap((count, index) => {
        const from = next[index]!;
        next[index] = from + count;
        return classes[index]!.members.slice(from, from + count);
      })
      .sort((a, b) => a - b),
  );
}
