/** Model types whose attention is what kernels do: the facts of transformers 5. */
import type { UnderstoodType } from './modelType.ts';
import { typeOf } from './typeOf.ts';

export const UNDERSTOOD_TYPES: Readonly<Record<string, UnderstoodType>> = {
  llama: typeOf(),
  mistral: typeOf({ windows: { rule: 'always' }, defaults: { num_key_value_heads: 8 } }),
  gemma2: typeOf({
    windows: { rule: 'allButEvery', n: 2 },
    scale: { from: 'key', key: 'query_pre_attn_scalar', as: 'inverseRoot', default: 256 },
    softCap: { key: 'attn_logit_softcapping', default: 50 },
    defaults: { head_dim: 256 },
  }),
};
