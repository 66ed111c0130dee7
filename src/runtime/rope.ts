/** Rotary position embedding, NeoX pairing: dimensions i and i + headDim / 2 (RoFormer, arXiv 2104.09864). */
import { sessionError } from './sessionChecks.ts';

export type RopeOptions =
  /** Inverse frequencies `theta^(-2i / headDim)`. */
  | { readonly theta: number }
  /** Inverse frequency in radians a token of each of the headDim / 2 pairs, for scaled variants. */
  | { readonly inverseFrequencies: ArrayLike<number> }
  /** `[positions, headDim / 2, 2]`: cos and sin of every pair, interleaved; at least the length bound positions. */
  | { readonly cosSin: Float32Array };

/** The table `[positions, headDim / 2, 2]` that append and decode read; angles are computed in float64. */
export function buildRopeTable(options: RopeOptions, headDim: number, positions: number): Float32Array {
  const pairs = headDim / 2;
  if ('cosSin' in options) {
    if (options.cosSin.length < positions * headDim) {
      throw sessionError('badOptions', `rope.cosSin has ${options.cosSin.length} values; ${positions} positions of ${pairs} pairs need ${positions * headDim}`);
    }
    return options.cosSin.subarray(0, positions * headDim);
  }
  const frequencies = inverseFrequencies(options, headDim);
  const table = new Float32Array(positions * headDim);
  for (let position = 0; position < positions; position += 1) {
    for (let pair = 0; pair < pairs; pair += 1) {
      const angle = position * frequencies[pair]!;
      table[position * headDim + 2 * pair] = Math.cos(angle);
      table[position * headDim + 2 * pair + 1] = Math.sin(angle);
    }
  }
  return table;
}

function inverseFrequencies(options: { theta: number } | { inverseFrequencies: ArrayLike<number> }, headDim: number): ArrayLike<number> {
  const pairs = headDim / 2;
  if ('theta' in options) {
    if (!(options.theta > 0)) throw sessionError('badOptions', `rope.theta is ${options.theta}; it must be positive`);
    return Float64Array.from({ length: pairs }, (_, pair) => options.theta ** ((-2 * pair) / headDim));
  }
  if (options.inverseFrequencies.length !== pairs) {
    throw sessionError('badOptions', `rope.inverseFrequencies has ${options.inverseFrequencies.length} values; headDim ${headDim} needs ${pairs}`);
  }
  return options.inverseFrequencies;
}
