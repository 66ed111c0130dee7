/**
 * Queries, keys and values of one sequence, in three lanes:
 *
 *   normal  : random; the output is compared within the tolerance
 *   uniform : q = 0, so the output is the mean of the attended values, which are -1, 0 and 1: their sum is found exactly
 *   oneHot  : each query matches the code word of one key so strongly that the output is that key's value, bit for bit
 */
import { attendedKeys, newestKept, type OracleMask } from '../oracle/mask.ts';
import { toElement } from '../oracle/rounding.ts';
import type { ElementType } from '../../src/ir/nodes.ts';
import type { OracleSequence } from '../oracle/attention.ts';
import { Random } from './random.ts';
import type { Shape } from './shapes.ts';

export type Lane = 'normal' | 'uniform' | 'oneHot';

export interface SequenceInputs extends OracleSequence {
  /** One-hot lane: the key that each (position, head) finds. */
  readonly targets: Int32Array;
}

export interface InputOptions {
  readonly shape: Shape;
  readonly lane: Lane;
  readonly length: number;
  /** Of each query head. */
  readonly masks: readonly OracleMask[];
  readonly seed: number;
  /** Size of queries in the normal lane: 1 gives a flat softmax, 8 a peaked one. */
  readonly queryScale?: number;
  /** The session's; `1 / sqrt(headDim)` by default. */
  readonly scale?: number | undefined;
  readonly softCap?: number | undefined;
  /** Of each query head. */
  readonly sinkLogits?: readonly number[] | undefined;
  /** Values from a table of random ones, each row from another place on. */
  readonly cheap?: boolean | undefined;
}

/** Large enough that every other key's weight is 0 in float32. */
export const codeSize = 8;

export function makeInputs(options: InputOptions): SequenceInputs {
  const { shape, length, lane, seed, queryScale = 1, scale = 1 / Math.sqrt(shape.headDim) } = options;
  const { queryHeads, kvHeads, headDim, elementType } = shape;
  const random = new Random(seed);
  const normal = (count: number, size: number): Float32Array => {
    const values = new Float32Array(count);
    if (options.cheap === true) return fromTable(values, headDim, random, normalTable(elementType, random, size));
    for (let i = 0; i < count; i += 1) values[i] = toElement(elementType, random.normal() * size);
    return values;
  };
  const queries = length * queryHeads * headDim;
  const keys = length * kvHeads * headDim;
  const { softCap, sinkLogits } = options;
  const facts = { length, queryHeads, kvHeads, headDim, scale, ...(softCap === undefined ? {} : { softCap }), ...(sinkLogits === undefined ? {} : { sinkLogits }) };
  const none = new Int32Array(0);
  if (lane === 'normal') return { ...facts, q: normal(queries, queryScale), k: normal(keys, 1), v: normal(keys, 1), targets: none };
  if (lane === 'uniform') {
    const share = Math.min(1 / 3, 200 / Math.max(1, length));
    const sign = (): number => (random.next() < share ? (random.next() < 0.5 ? -1 : 1) : 0);
    const v = new Float32Array(keys);
    if (options.cheap === true) fromTable(v, headDim, random, Float32Array.from({ length: tableSize }, sign));
    else v.forEach((_, i) => (v[i] = sign()));
    return { ...facts, q: new Float32Array(queries), k: normal(keys, 4), v, targets: none };
  }
  const k = Float32Array.from({ length: keys }, () => (random.next() < 0.5 ? -codeSize : codeSize));
  const targets = chooseTargets(options, random);
  const q = new Float32Array(queries);
  targets.forEach((target, index) => {
    const kvHead = Math.floor((index % queryHeads) / (queryHeads / kvHeads));
    const from = (target * kvHeads + kvHead) * headDim;
    q.set(k.subarray(from, from + headDim), index * headDim);
  });
  return { ...facts, q, k, v: normal(keys, 1), targets };
}

const tableSize = 1 << 18;

function normalTable(type: ElementType, random: Random, size: number): Float32Array {
  return Float32Array.from({ length: tableSize }, () => toElement(type, random.normal() * size));
}

/** Fills rows of `headDim` from random places of the table. */
function fromTable(values: Float32Array, headDim: number, random: Random, table: Float32Array): Float32Array {
  for (let at = 0; at < values.length; at += headDim) {
    const from = random.below(tableSize - headDim);
    values.set(table.subarray(from, from + headDim), at);
  }
  return values;
}

/** For each (position, head) an attended key: the first and last of the sink and of the window, the query's own, or any. */
function chooseTargets({ shape, length, masks }: InputOptions, random: Random): Int32Array {
  const targets = new Int32Array(length * shape.queryHeads);
  for (let head = 0; head < shape.queryHeads; head += 1) {
    const { sink } = masks[head]!;
    const window = newestKept(masks[head]!);
    for (let i = 0; i < length; i += 1) {
      const edges = [0, Math.min(sink - 1, i), Math.max(0, i - window + 1), i];
      const choice = random.below(edges.length + 1);
      let target = edges[choice] ?? -1;
      if (target < 0 || (target >= sink && i - target >= window)) {
        const keys = attendedKeys(masks[head]!, i);
        target = keys[random.below(keys.length)]!;
      }
      targets[i * shape.queryHeads + head] = target;
    }
  }
  return targets;
}
