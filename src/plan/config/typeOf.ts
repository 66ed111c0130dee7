import type { UnderstoodType } from './modelType.ts';

/** What most model types have in common: the keys of Llama, plain scores, attention in every layer, no window. */
const PLAIN: UnderstoodType = {
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
  learnedSinks: 'never',
  windows: { rule: 'never' },
  harmless: [],
  refuses: [],
};

/** A model type by what differs from plain ones. */
export const typeOf = (differs: Partial<UnderstoodType> = {}): UnderstoodType => ({ ...PLAIN, ...differs });
