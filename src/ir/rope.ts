/**
 * The rotary position embedding of a model (RoPE, arXiv 2104.09864) as data: everything that
 * inverse frequencies and the attention factor follow from, and which layers rotate how.
 */

/**
 * Which elements turn together: i and i + rotaryDim / 2 (GPT-NeoX, Llama), or 2i and 2i + 1 (GPT-J,
 * GLM, Cohere).
 */
export type RopePairing = 'halves' | 'interleaved';

/** How frequencies differ from those of theta alone. Lengths are in tokens. */
export type RopeScaling =
  | { readonly type: 'default' }
  /** All frequencies are divided by the factor. */
  | { readonly type: 'linear'; readonly factor: number }
  /** Theta grows with the length, beyond the original one. */
  | { readonly type: 'dynamic'; readonly factor: number; readonly originalLength: number }
  /** Low frequencies are divided by the factor, with a ramp between two wavelengths. */
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalLength: number;
    }
  /**
   * Frequencies that turn less than `betaSlow` times in the original length are divided by the
   * factor (arXiv 2309.00071).
   */
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Whether the ends of the ramp are rounded to whole pairs. */
      readonly truncate: boolean;
      readonly originalLength: number;
      readonly attentionFactor: number;
    }
  /**
   * A factor for each pair: one list up to the original length, one beyond it (arXiv 2402.13753).
   */
  | {
      readonly type: 'longrope';
      readonly shortFactors: readonly number[];
      readonly longFactors: readonly number[];
      readonly originalLength: number;
      readonly attentionFactor: number;
    };

/** One rotation. */
export interface Rope {
  readonly theta: number;
  /** Elements of a head that turn, from its first on; the others stay as they are. */
  readonly rotaryDim: number;
  readonly pairing: RopePairing;
  readonly scaling: RopeScaling;
}

/** The rotations of a model. */
export interface ModelRope {
  /** Each once. */
  readonly ropes: readonly Rope[];
  /** By layer: an index into `ropes`, or null for a layer without RoPE. */
  readonly layers: readonly (number | null)[];
}

/**
 * `rotaryDim` has to be a multiple of this: a thread turns whole chunks of 8 elements, and their
 * partners.
 */
export const ROTARY_DIM_STEP = 16;
