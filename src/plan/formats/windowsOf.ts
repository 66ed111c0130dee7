import { withoutNulls } from '../readFields.ts';
import type { Scope } from '../report.ts';
import { readLayerTypes } from './readLayerTypes.ts';
import { WINDOW_RULES } from './windowRules.ts';

/** Keys of configs that say something of what layers attend, and those that hold where windows are not switched off. */
const LAYER_KEYS: readonly string[] = ['layer_types', 'attention_chunk_size'];
const WINDOW_KEYS: readonly string[] = ['sliding_window', 'sliding_window_pattern', '_sliding_window_pattern'];

/**
 * The model's own sliding window of each of `layers` layers, in tokens; null where a layer attends everything. `text` is the
 * config of the language model as it is written, `type` the model type of the file. A model of an unknown type has none
 * where no key speaks of windows, unless `strict`. Undefined with an error where they cannot be told (`readLayerTypes`).
 */
export function windowsOf(
  text: Scope,
  type: string | undefined,
  layers: number,
  strict: boolean,
): (number | null)[] | undefined {
  const { members } = withoutNulls(text.node);
  const own = members.get('model_type')?.value;
  const known = WINDOW_RULES.has((own?.kind === 'string' ? own.value : type) ?? '');
  const enabled = members.get('use_sliding_window')?.value;
  const off = enabled?.kind === 'boolean' && !enabled.value;
  const keys = off ? LAYER_KEYS : [...LAYER_KEYS, ...WINDOW_KEYS];
  if (!strict && !known && !keys.some((key) => members.has(key))) {
    return Array.from({ length: layers }, () => null);
  }
  const read = readLayerTypes(text, type, layers);
  return read?.slides.map((slides) => (slides ? read.window! : null));
}
