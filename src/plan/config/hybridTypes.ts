/** Model types that have attention in some layers only, or where it depends on keys of their own. Facts of transformers 5.24. */
import type { AttentionLayers, LayerRule, UnderstoodType } from './modelType.ts';
import { typeOf } from './typeOf.ts';

const byNames = (otherwise: LayerRule, ...leftOut: readonly string[]): AttentionLayers => ({
  names: ['layer_types', 'layers_block_type'],
  leftOut,
  otherwise,
});
const NOTHING: LayerRule = { by: 'nothing' };
const LINEAR = byNames(
  { by: 'interval', key: 'full_attention_interval', default: 4 },
  'linear_attention',
);
const LINEAR_KEYS = ['linear_', 'full_attention_interval', 'mamba_', 'mtp_'];
const MAMBA_KEYS = ['mamba_', 'ssm_', 'use_mamba_kernels', 'use_mambapy', 'conv_', 'chunk_size'];

export const HYBRID_TYPES: Readonly<Record<string, UnderstoodType>> = {
  bamba: typeOf([32, 32, 8, null, 4096], {
    attentionLayers: byNames({ by: 'numbers', key: 'attn_layer_indices' }, 'mamba', 'linear_attention'),
    harmless: [...MAMBA_KEYS, 'attn_layer_indices', 'attn_rotary_emb'],
  }),
  // Attention in all layers, beside a Mamba block.
  falcon_h1: typeOf([32, 32, 8, null, 4096], {
    attentionLayers: byNames({ by: 'all' }),
    harmless: [...MAMBA_KEYS, 'attention_in_multiplier', 'attention_out_multiplier', 'attn_layer_indices'],
  }),
  // Layers share keys, and heads differ, unless the config says otherwise.
  gemma3n_text: typeOf([35, 8, 2, 256, 2048], {
    windows: { rule: 'stated' },
    defaults: { sliding_window: 512 },
    scale: { from: 'constant', value: 1 },
    harmless: ['altup_correct_scale', 'activation_sparsity_pattern'],
    refuses: [
      {
        key: 'num_kv_shared_layers',
        unless: [0],
        why: 'layers of the model share the keys of others, which a plan does not say',
        about: 'attention',
        whereAbsent: 15,
      },
    ],
  }),
  gemma4_text: typeOf([30, 8, 4, 256, 2304], {
    windows: { rule: 'stated' },
    defaults: { sliding_window: 512 },
    scale: { from: 'constant', value: 1 },
    refuses: [
      {
        key: 'global_head_dim',
        unless: ['headDim'],
        why: 'heads differ by layer, and a plan has one shape for all layers',
        about: 'geometry',
        whereAbsent: 512,
      },
    ],
  }),
  granitemoehybrid: typeOf([32, 32, null, null, 4096], {
    attentionLayers: byNames(NOTHING, 'mamba', 'linear_attention'),
    scale: { from: 'key', key: 'attention_multiplier', as: 'factor', default: 1 },
    harmless: MAMBA_KEYS,
  }),
  jamba: typeOf([32, 32, 8, null, 4096], {
    attentionLayers: byNames(
      { by: 'period', period: 'attn_layer_period', offset: 'attn_layer_offset' },
      'mamba',
      'linear_attention',
    ),
    harmless: [...MAMBA_KEYS, 'attn_layer_period', 'attn_layer_offset'],
  }),
  lfm2: typeOf([32, 32, 8, null, 2560], {
    attentionLayers: byNames({ by: 'numbers', key: 'full_attn_idxs' }, 'conv', 'linear_attention'),
    harmless: ['conv_', 'full_attn_idxs', 'use_pos_enc'],
  }),
  lfm2_moe: typeOf([32, 32, 8, null, 2048], {
    attentionLayers: byNames({ by: 'numbers', key: 'full_attn_idxs' }, 'conv', 'linear_attention'),
    harmless: ['conv_', 'full_attn_idxs'],
  }),
  minimax: typeOf([32, 32, 8, null, 4096], {
    attentionLayers: byNames(NOTHING, 'linear_attention'),
    harmless: ['linear_attn_', 'full_attn_', 'layernorm_'],
  }),
  nemotron_h: typeOf([52, 32, 8, 128, 4096], {
    attentionLayers: byNames(
      {
        by: 'letters',
        key: 'hybrid_override_pattern',
        attention: '*',
        leftOut: { M: 'mamba', '-': 'mlp', E: 'moe' },
      },
      'mamba',
      'linear_attention',
      'mlp',
      'moe',
    ),
    harmless: [...MAMBA_KEYS, 'hybrid_override_pattern', 'rescale_prenorm_residual', 'use_conv_bias'],
  }),
  olmo_hybrid: typeOf([32, 30, null, null, 3840], {
    attentionLayers: byNames(NOTHING, 'linear_attention'),
    harmless: LINEAR_KEYS,
  }),
  qwen3_5_moe_text: typeOf([40, 16, 2, 256, 2048], { attentionLayers: LINEAR, harmless: LINEAR_KEYS }),
  qwen3_5_text: typeOf([32, 16, 4, 256, 4096], { attentionLayers: LINEAR, harmless: LINEAR_KEYS }),
  qwen3_next: typeOf([48, 16, 2, 256, 2048], { attentionLayers: LINEAR, harmless: LINEAR_KEYS }),
};
