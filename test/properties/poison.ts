/**
 * Tokens whose queries, keys and values are NaN and infinite. A row that does not attend one has to come out as if it were not there;
 * a row that attends one has to come out as NaN, since a number would hide it.
 */
import { attends, type OracleMask } from '../oracle/mask.ts';
import type { Case } from './case.ts';
import { Random } from './random.ts';
import type { SequenceInputs } from './inputs.ts';

/** What stands for numbers. Each row of keys has NaN, so that its scores are NaN whatever the query is. */
const values = [NaN, Infinity, -Infinity, NaN];

/**
 * The poisoned positions of a sequence, of `length` tokens in all. Of cases with an even seed none. Half of the other sequences have their last token poisoned, which no
 * other row attends; a third have one anywhere, which later rows attend until it leaves their windows; and of several sequences
 * in a batch one in six is poisoned as a whole, which must not show in its neighbours.
 */
export function poisonOf(testCase: Pick<Case, 'seed' | 'clean' | 'prefill'>, layer: number, sequence: number, length: number): readonly number[] {
  if (testCase.clean === true || testCase.seed % 2 === 0 || length === 0) return [];
  const random = new Random(testCase.seed * 31 + 1009 * layer + 17 * sequence + 5);
  if (testCase.prefill.length > 1 && random.below(6) === 0) return Array.from({ length }, (_, position) => position);
  const positions = new Set<number>();
  if (random.below(2) === 0) positions.add(length - 1);
  if (random.below(3) === 0) positions.add(random.below(length));
  return [...positions];
}

/** The inputs with these tokens poisoned: new tensors. */
export function poisoned(inputs: SequenceInputs, positions: readonly number[]): SequenceInputs {
  if (positions.length === 0) return inputs;
  const { queryHeads, kvHeads, headDim } = inputs;
  const spoil = (tensor: Float32Array, heads: number): Float32Array => {
    const result = tensor.slice();
    const row = heads * headDim;
    for (const position of positions) for (let at = 0; at < row; at += 1) result[position * row + at] = values[at % values.length]!;
    return result;
  };
  return { ...inputs, q: spoil(inputs.q, queryHeads), k: spoil(inputs.k, kvHeads), v: spoil(inputs.v, kvHeads), poison: positions };
}

/** Whether the row at `position` attends a poisoned token. */
export function attendsPoison({ poison }: Pick<SequenceInputs, 'poison'>, mask: OracleMask, position: number): boolean {
  return poison !== undefined && poison.some((token) => attends(mask, position, token));
}
