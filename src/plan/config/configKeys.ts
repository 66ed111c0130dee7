/**
 * Keys of configs, whatever the model type. A key whose name holds one of `RELEVANT_WORDS` may change geometry, masks, scores or
 * positions: it is understood, harmless, or refused.
 */
import type { KeyRefusal } from './modelType.ts';

/** Where the config of the language model may be within that of a multimodal one; the first that is there counts. */
export const NESTED_KEYS: readonly string[] = [
  'text_config',
  'llm_config',
  'language_config',
  'thinker_config',
];

/** Parts of the names of keys that may matter. */
export const RELEVANT_WORDS: readonly string[] = [
  'head',
  'attn',
  'attention',
  'kv',
  'key_value',
  'query',
  'qk',
  'group',
  'rope',
  'rotary',
  'position',
  'alibi',
  'window',
  'sliding',
  'swa',
  'causal',
  'mask',
  'chunk',
  'sink',
  'scale',
  'scaling',
  'softcap',
  'softmax',
  'latent',
  'mla',
  'lora_rank',
  'linear',
  'mamba',
  'ssm',
  'conv',
  'recurrent',
  'hybrid',
  'sparse',
  'layer_types',
  'block_types',
  'layers_block_type',
  'block_config',
  'layer_config',
  'global',
  'nope',
];

const LATENT = 'keys and values are made from a latent vector (MLA), which is not this kind of cache';

/** Keys that refuse a config of any type. */
export const REFUSED_KEYS: readonly KeyRefusal[] = [{ key: 'kv_lora_rank', unless: [0], why: LATENT }];

/** Keys of any type that look as if they mattered and do not. */
export const HARMLESS_KEYS: readonly string[] = ['attention_bias', 'attention_dropout'];
