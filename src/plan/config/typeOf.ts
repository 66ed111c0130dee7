import type { UnderstoodType } from './modelType.ts';

/** What most model types have in common: the keys of Llama, plain scores, attention in every layer, no window. */
export const PLAIN: UnderstoodType = {
  status: 'understood',
  keys: {
    layers: 'num_hidden_layers',
    queryHeads: 'num_attention_heads',
    headDim: 'head_dim',
    hiddenSize: 'hidden_size',
  },
  kvHeads: { from: 'key', key: 'num_key_value_heads' },
  defaults: {},
  scale: { from: 'headDim' },
  softCap: 0,
  learnedSinks: 'never',
  windows: { rule: 'never' },
  normAfterRope: false,
  harmless: [],
  refuses: [],
};

/** Defaults of transformers: layers, query heads, KV heads, headDim, hidden size. null: made of the others. */
export type ShapeDefaults = readonly [
  layers: number,
  queryHeads: number,
  kvHeads: number | null,
  headDim: number | null,
  hiddenSize: number,
];

/** A model type by its defaults and by what differs from plain ones. */
export function typeOf(shape: ShapeDefaults, differs: Partial<UnderstoodType> = {}): UnderstoodType {
  const type = { ...PLAIN, ...differs };
  const { layers, queryHeads, headDim, hiddenSize } = type.keys;
  const defaults = {
    [layers]: shape[0],
    [queryHeads]: shape[1],
    ...(type.kvHeads.from === 'key' ? { [type.kvHeads.key]: shape[2] } : {}),
    [headDim]: shape[3],
    [hiddenSize]: shape[4],
    ...differs.defaults,
  };
  return { ...type, defaults };
}
