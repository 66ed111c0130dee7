/** RoPE of configs as transformers computes it; `python/tests/search/make_rope_vectors.py` makes the file. */
import { readFileSync } from 'node:fs';

export interface RopeVectors {
  readonly positions: readonly number[];
  readonly cases: readonly {
    readonly name: string;
    readonly config: object;
    readonly lengthBound: number;
    readonly inverseFrequencies: readonly number[];
    readonly attentionFactor: number;
    /** `[positions][pairs]`, of some cases. */
    readonly cos?: readonly number[];
    readonly sin?: readonly number[];
  }[];
}

export const ropeVectors = JSON.parse(
  readFileSync(new URL('./fixtures/ropeVectors.json', import.meta.url), 'utf8'),
) as RopeVectors;
