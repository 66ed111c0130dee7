/** Keys that refuse a config of any type, and why. */
import type { KeyRefusal } from './modelType.ts';

const LATENT =
  'keys and values are made from a latent vector (MLA), which is not this kind of cache';
const BY_LAYER = 'heads differ by layer, and a plan has one shape for all layers';
const SIZES = 'keys and values have different sizes, which is not this kind of cache';
const SHARED = 'layers of the model share the keys of others, which a plan does not say';
const ALIBI = 'scores get a bias by distance (ALiBi), which the kernels do not add';
const NOT_CAUSAL = 'the attention of the model is not causal';
const BY_SCORE = 'tokens are chosen by their scores at run time, and a plan is made before';
const LENGTH = 'scores are scaled by the position of the query, which the kernels do not do';
const CROSS = 'layers attend another input (cross attention)';
const SINKS = 'layers have learned sinks by a key that is not known for this model type';

const geometry = (
  why: string,
  unless: KeyRefusal['unless'],
  ...keys: readonly string[]
): KeyRefusal[] => keys.map((key) => ({ key, unless, why, about: 'geometry' }));

const attention = (
  why: string,
  unless: KeyRefusal['unless'],
  ...keys: readonly string[]
): KeyRefusal[] => keys.map((key) => ({ key, unless, why, about: 'attention' }));

export const REFUSED_KEYS: readonly KeyRefusal[] = [
  ...geometry(LATENT, [0], 'kv_lora_rank', 'q_lora_rank', 'o_lora_rank', 'kv_latent_dim'),
  ...geometry(LATENT, [0], 'qk_nope_head_dim', 'qk_rope_head_dim', 'qk_head_dim', 'rope_head_dim'),
  ...geometry(SIZES, [0, 'headDim'], 'v_head_dim', 'value_head_dim', 'qk_dim', 'swa_v_head_dim'),
  ...geometry(BY_LAYER, ['queryHeads'], 'num_attention_heads_per_layer', 'num_heads_per_layer'),
  ...geometry(BY_LAYER, ['queryHeads'], 'swa_num_attention_heads', 'num_query_heads'),
  ...geometry(BY_LAYER, ['kvHeads'], 'num_key_value_heads_per_layer', 'num_kv_heads_per_layer'),
  ...geometry(BY_LAYER, ['kvHeads'], 'num_global_key_value_heads', 'swa_num_key_value_heads'),
  ...geometry(BY_LAYER, ['kvHeads'], 'global_num_key_value_heads'),
  ...geometry(BY_LAYER, ['headDim'], 'global_head_dim', 'local_head_dim', 'swa_head_dim'),
  ...geometry(BY_LAYER, ['headDim'], 'head_dim_per_layer'),
  ...geometry(BY_LAYER, [], 'per_layer_config', 'block_configs', 'layer_configs', 'layers_config'),
  ...geometry(BY_LAYER, [], 'attention_other_setting', 'per_layer_configs', 'layer_config'),
  ...geometry('layers use keys as values, which is not this kind of cache', [false], 'attention_k_eq_v'),
  ...attention('all layers attend in chunks (chunked_attention), not in a window', [0], 'attention_chunk_size'),
  ...attention('layers attend in chunks, not in a window', [], 'dual_chunk_attention_config'),
  ...attention('the model has an encoder, whose attention is not causal', [false], 'is_encoder_decoder'),
  ...attention(NOT_CAUSAL, [false], 'use_bidirectional_attention'),
  ...attention(NOT_CAUSAL, [false], 'bidirectional', 'bidirectional_attention', 'is_prefix_lm', 'prefix_lm'),
  ...attention(NOT_CAUSAL, [true], 'is_causal', 'causal', 'use_causal_mask'),
  ...attention(SHARED, [0], 'num_kv_shared_layers', 'kv_source_layers'),
  ...attention(SHARED, [false], 'use_cla', 'use_cross_layer_attention'),
  ...attention(SHARED, [0, 1], 'cla_share_factor'),
  ...attention(CROSS, [false], 'add_cross_attention'),
  ...attention(CROSS, [0], 'cross_attention_layers', 'cross_attention_interval'),
  ...attention(ALIBI, [false], 'alibi', 'use_alibi'),
  ...attention('positions are learned', [false], 'use_learned_position_embeddings'),
  ...attention(BY_SCORE, [0], 'index_topk', 'index_n_heads', 'index_head_dim', 'indexer_n_heads'),
  ...attention(BY_SCORE, [false], 'use_sparse_attention', 'sparse_attention'),
  ...attention(BY_SCORE, [], 'sparse_attention_config', 'nsa_config', 'moba_config'),
  ...attention(LENGTH, [false, 0], 'attn_temperature_tuning', 'use_logn_attn', 'logn_attn'),
  ...attention(LENGTH, [0], 'log_scaling_alpha', 'log_scaling_n_floor'),
  ...attention('scores differ by layer', [false], 'scale_attn_by_inverse_layer_idx'),
  ...attention('scores are not scaled', [true], 'scale_attn_weights'),
  ...attention('queries and keys are multiplied by a factor of the model', [1], 'qk_scale_factor'),
  ...attention('values are multiplied by a factor of the model', [1], 'attention_value_scale'),
  ...attention(SINKS, [false], 'add_swa_attention_sink_bias', 'add_full_attention_sink_bias'),
  ...attention(SINKS, [false], 'attention_sinks', 'use_attention_sinks', 'learnable_sink'),
];
