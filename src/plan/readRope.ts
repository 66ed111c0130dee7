import type { ModelRope } from '../ir/rope.ts';
import type { Scope } from './report.ts';

/** What the reader of RoPE has to know of the model besides its config's own keys. */
export interface RopeModel {
  readonly layers: number;
  readonly headDim: number;
  /** The type of the text model, else that of the file. */
  readonly modelType: string | undefined;
  /** `layer_types`, or what stands for them, where they are known: `sliding_attention`, `full_attention`. */
  readonly layerTypes?: readonly string[] | undefined;
}

/**
 * Reads the rotary position embedding of `scope`, the config of a language model. Null where the model has none that it says. Undefined
 * when an error was reported.
 */
export function readRope(_scope: Scope, _model: RopeModel): ModelRope | null | undefined {
  return null;
}
