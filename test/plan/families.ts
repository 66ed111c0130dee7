/**
 * Configs of public models, cut down to the keys that matter here, and what has to come of them: numbers, or what is said. Written from the
 * models' own configs and from what transformers 5.24 passes to its attention.
 */

export interface Understood {
  /** Layers with attention, query heads, KV heads, headDim. */
  readonly shape: readonly [number, number, number, number];
  /** Windows in tokens by layer, `-` for none; only the first layers. */
  readonly windows?: string;
  readonly scale?: number;
  readonly softCap?: number;
  readonly learnedSinks?: boolean;
  /** Numbers in the model, where layers are left out. */
  readonly layerNumbers?: readonly number[];
  /** Codes of notes and warnings. */
  readonly notes?: readonly string[];
}

export type Family = readonly [name: string, config: object, expected: Understood | string];

const all = (count: number, kind: string): string[] => Array.from({ length: count }, () => kind);
/** Each n-th layer has full attention. */
const every = (n: number, count: number, other: string): string[] =>
  Array.from({ length: count }, (_, layer) => ((layer + 1) % n === 0 ? 'full_attention' : other));
const numbers = (n: number, count: number): number[] =>
  Array.from({ length: count }, (_, layer) => layer).filter((layer) => (layer + 1) % n === 0);

const shape = (layers: number, heads: number, kvHeads: number, hidden: number): object => ({
  num_hidden_layers: layers,
  num_attention_heads: heads,
  num_key_value_heads: kvHeads,
  hidden_size: hidden,
});

export const FAMILIES: readonly Family[] = [
  ['Llama 3 8B', { model_type: 'llama', ...shape(32, 32, 8, 4096), attention_bias: false, rope_theta: 5e5 }, { shape: [32, 32, 8, 128] }],
  ['Llama 2 7B', { model_type: 'llama', num_hidden_layers: 32, num_attention_heads: 32, hidden_size: 4096, pretraining_tp: 1 }, { shape: [32, 32, 32, 128] }],
  ['Mistral 7B v0.1', { model_type: 'mistral', ...shape(32, 32, 8, 4096), sliding_window: 4096 }, { shape: [32, 32, 8, 128], windows: '4096 4096' }],
  ['Mistral Nemo', { model_type: 'mistral', ...shape(40, 32, 8, 5120), head_dim: 128, sliding_window: null }, { shape: [40, 32, 8, 128], windows: '- -' }],
  ['Mistral without KV heads', { model_type: 'mistral', num_hidden_layers: 32, num_attention_heads: 32, hidden_size: 4096, sliding_window: null }, { shape: [32, 32, 8, 128], notes: ['MOA1334'] }],
  ['Mixtral 8x7B', { model_type: 'mixtral', ...shape(32, 32, 8, 4096), sliding_window: null, num_local_experts: 8, router_aux_loss_coef: 0.02 }, { shape: [32, 32, 8, 128] }],
  ['Qwen 2.5 7B', { model_type: 'qwen2', ...shape(28, 28, 4, 3584), use_sliding_window: false, sliding_window: 131072, max_window_layers: 28 }, { shape: [28, 28, 4, 128], windows: '- -' }],
  ['Qwen 3 8B', { model_type: 'qwen3', ...shape(36, 32, 8, 4096), head_dim: 128, use_sliding_window: false, sliding_window: null, max_window_layers: 36 }, { shape: [36, 32, 8, 128] }],
  ['Qwen 3 0.6B without head_dim', { model_type: 'qwen3', ...shape(28, 16, 8, 1024) }, { shape: [28, 16, 8, 128], notes: ['MOA1334'] }],
  ['Qwen 3 30B-A3B', { model_type: 'qwen3_moe', ...shape(48, 32, 4, 2048), head_dim: 128, decoder_sparse_step: 1, moe_intermediate_size: 768, use_sliding_window: false }, { shape: [48, 32, 4, 128] }],
  ['Gemma 1 7B', { model_type: 'gemma', ...shape(28, 16, 16, 3072), head_dim: 256 }, { shape: [28, 16, 16, 256] }],
  ['Gemma 2 27B', { model_type: 'gemma2', ...shape(46, 32, 16, 4608), head_dim: 128, sliding_window: 4096, attn_logit_softcapping: 50, final_logit_softcapping: 30, query_pre_attn_scalar: 144 }, { shape: [46, 32, 16, 128], windows: '4096 - 4096 -', scale: 1 / 12, softCap: 50 }],
  ['Gemma 2 without its cap', { model_type: 'gemma2', ...shape(46, 32, 16, 4608), head_dim: 128, sliding_window: 4096 }, { shape: [46, 32, 16, 128], windows: '4096 - 4096 -', scale: 1 / 16, softCap: 50 }],
  ['Gemma 3 1B', { model_type: 'gemma3_text', ...shape(26, 4, 1, 1152), head_dim: 256, sliding_window: 512, sliding_window_pattern: 6, query_pre_attn_scalar: 256, attn_logit_softcapping: null, rope_local_base_freq: 10000 }, { shape: [26, 4, 1, 256], windows: '512 512 512 512 512 - 512', scale: 1 / 16 }],
  ['Gemma 3 4B', { model_type: 'gemma3', architectures: ['Gemma3ForConditionalGeneration'], mm_tokens_per_image: 256, text_config: { model_type: 'gemma3_text', hidden_size: 2560, num_hidden_layers: 34, sliding_window: 1024, rope_scaling: { factor: 8, rope_type: 'linear' } }, vision_config: { num_attention_heads: 16, num_hidden_layers: 27 } }, { shape: [34, 8, 4, 256], windows: '1024 1024 1024 1024 1024 -', scale: 1 / 16, notes: ['MOA1334', 'MOA1334', 'MOA1334'] }],
  ['Gemma 3 27B', { model_type: 'gemma3', text_config: { model_type: 'gemma3_text', hidden_size: 5376, head_dim: 128, num_attention_heads: 32, num_hidden_layers: 62, num_key_value_heads: 16, query_pre_attn_scalar: 168, sliding_window: 1024 } }, { shape: [62, 32, 16, 128], windows: '1024', scale: 168 ** -0.5 }],
  ['gpt-oss 20B', { model_type: 'gpt_oss', ...shape(24, 64, 8, 2880), head_dim: 64, sliding_window: 128, layer_types: Array.from({ length: 24 }, (_, n) => (n % 2 === 0 ? 'sliding_attention' : 'full_attention')), num_local_experts: 32 }, { shape: [24, 64, 8, 64], windows: '128 - 128 -', learnedSinks: true }],
  ['Granite 3 8B', { model_type: 'granite', ...shape(40, 32, 8, 4096), attention_multiplier: 0.0078125, embedding_multiplier: 12, logits_scaling: 16, residual_multiplier: 0.22 }, { shape: [40, 32, 8, 128], scale: 0.0078125 }],
  ['Granite without its multiplier', { model_type: 'granite', ...shape(40, 32, 8, 4096) }, { shape: [40, 32, 8, 128], scale: 1 }],
  ['Phi 3.5 mini', { model_type: 'phi3', ...shape(32, 32, 32, 4096), sliding_window: 262144, original_max_position_embeddings: 4096 }, { shape: [32, 32, 32, 128], windows: '262144' }],
  ['Cohere2 7B', { model_type: 'cohere2', ...shape(32, 32, 8, 4096), head_dim: 128, sliding_window: 4096, sliding_window_pattern: 4, logit_scale: 0.25, use_qk_norm: false }, { shape: [32, 32, 8, 128], windows: '4096 4096 4096 -' }],
  ['OLMo 3 7B', { model_type: 'olmo3', ...shape(32, 32, 32, 4096), sliding_window: 4096, layer_types: every(4, 32, 'sliding_attention') }, { shape: [32, 32, 32, 128], windows: '4096 4096 4096 -' }],
  ['EXAONE 4 32B', { model_type: 'exaone4', ...shape(64, 40, 8, 5120), head_dim: 128, sliding_window: 4096, sliding_window_pattern: 'LLLG', layer_types: every(4, 64, 'sliding_attention') }, { shape: [64, 40, 8, 128], windows: '4096 4096 4096 -' }],
  ['SmolLM3 3B', { model_type: 'smollm3', ...shape(36, 16, 4, 2048), use_sliding_window: false, sliding_window: null, no_rope_layer_interval: 4, layer_types: all(36, 'full_attention') }, { shape: [36, 16, 4, 128] }],
  ['Nemotron 4 15B', { model_type: 'nemotron', ...shape(32, 48, 8, 6144), partial_rotary_factor: 0.5 }, { shape: [32, 48, 8, 128] }],
  ['MiniCPM 2B', { model_type: 'minicpm', ...shape(40, 36, 36, 2304), scale_emb: 12, scale_depth: 1.4, dim_model_base: 256 }, { shape: [40, 36, 36, 64] }],
  ['Hunyuan 7B', { model_type: 'hunyuan_v1_dense', ...shape(32, 32, 8, 4096), head_dim: 128, use_qk_norm: true, rope_theta: 10000 }, { shape: [32, 32, 8, 128], notes: ['MOA1338'] }],
  ['GPT-NeoX 20B of fewer heads', { model_type: 'gpt_neox', num_hidden_layers: 44, num_attention_heads: 48, hidden_size: 6144, rotary_pct: 0.25, attention_probs_dropout_prob: 0 }, { shape: [44, 48, 48, 128] }],
  ['GPT-2', { model_type: 'gpt2', n_layer: 12, n_head: 12, n_embd: 768, n_positions: 1024, attn_pdrop: 0.1, scale_attn_weights: true }, { shape: [12, 12, 12, 64] }],
  ['GPT-J 6B', { model_type: 'gptj', n_layer: 28, n_head: 16, n_embd: 4096, rotary_dim: 64 }, { shape: [28, 16, 16, 256] }],
  ['OPT 1.3B', { model_type: 'opt', num_hidden_layers: 24, num_attention_heads: 32, hidden_size: 2048 }, { shape: [24, 32, 32, 64], scale: 1 }],
  ['Falcon 7B of few heads', { model_type: 'falcon', num_hidden_layers: 32, num_attention_heads: 16, hidden_size: 1024, multi_query: true, new_decoder_architecture: false, alibi: false, parallel_attn: true }, { shape: [32, 16, 1, 64] }],
  ['Falcon 40B', { model_type: 'falcon', num_hidden_layers: 60, num_attention_heads: 128, num_kv_heads: 8, hidden_size: 8192, multi_query: true, new_decoder_architecture: true, alibi: false }, { shape: [60, 128, 8, 64] }],
  ['Falcon RW without its ALiBi', { model_type: 'falcon', num_hidden_layers: 24, num_attention_heads: 32, hidden_size: 2048, multi_query: false, alibi: false }, { shape: [24, 32, 32, 64] }],
  ['LLaVA 1.5 7B', { model_type: 'llava', text_config: { model_type: 'llama', max_position_embeddings: 4096, torch_dtype: 'float16' } }, { shape: [32, 32, 32, 128], notes: ['MOA1334', 'MOA1334', 'MOA1334'] }],
  ['Qwen2-VL 7B, flat', { model_type: 'qwen2_vl', ...shape(28, 28, 4, 3584), use_sliding_window: false, vision_config: { num_heads: 16 } }, { shape: [28, 28, 4, 128] }],
  ['Qwen 2.5 Omni', { model_type: 'qwen2_5_omni', thinker_config: { model_type: 'qwen2_5_omni_thinker', text_config: { model_type: 'qwen2_5_omni_text', ...shape(28, 28, 4, 3584) } } }, { shape: [28, 28, 4, 128] }],
  ['InternVL 2.5', { model_type: 'internvl_chat', architectures: ['InternVLChatModel'], llm_config: { model_type: 'internlm2', ...shape(32, 32, 8, 4096) }, use_llm_lora: 0 }, { shape: [32, 32, 8, 128] }],
  ['Gemma 3n without shared layers', { model_type: 'gemma3n_text', ...shape(4, 8, 2, 2048), head_dim: 256, num_kv_shared_layers: 0, sliding_window: 512, layer_types: every(4, 4, 'sliding_attention') }, { shape: [4, 8, 2, 256], windows: '512 512 512 -', scale: 1 }],
  ['Gemma 4 of one head size', { model_type: 'gemma4_text', ...shape(6, 8, 4, 2304), head_dim: 256, global_head_dim: 256, num_kv_shared_layers: 0, sliding_window: 512, layer_types: every(6, 6, 'sliding_attention') }, { shape: [6, 8, 4, 256], windows: '512 512 512 512 512 -', scale: 1 }],

  // Attention in some layers.
  ['Qwen3-Next 80B', { model_type: 'qwen3_next', ...shape(48, 16, 2, 2048), head_dim: 256, full_attention_interval: 4, linear_num_key_heads: 16, linear_conv_kernel_dim: 4, partial_rotary_factor: 0.25 }, { shape: [12, 16, 2, 256], layerNumbers: numbers(4, 48), notes: ['MOA1335'] }],
  ['Qwen3-Next by layer types', { model_type: 'qwen3_next', ...shape(8, 16, 2, 2048), head_dim: 256, layer_types: every(4, 8, 'linear_attention') }, { shape: [2, 16, 2, 256], layerNumbers: [3, 7], notes: ['MOA1335'] }],
  ['Jamba', { model_type: 'jamba', ...shape(32, 32, 8, 4096), attn_layer_period: 8, attn_layer_offset: 4, expert_layer_period: 2, mamba_d_state: 16, sliding_window: null }, { shape: [4, 32, 8, 128], layerNumbers: [4, 12, 20, 28], notes: ['MOA1335'] }],
  ['Bamba 9B', { model_type: 'bamba', ...shape(32, 32, 8, 4096), attn_layer_indices: [9, 18, 27], attn_rotary_emb: 64, mamba_n_heads: 128 }, { shape: [3, 32, 8, 128], layerNumbers: [9, 18, 27], notes: ['MOA1335'] }],
  ['Granite 4 hybrid', { model_type: 'granitemoehybrid', ...shape(6, 12, 4, 1536), attention_multiplier: 0.0078125, layer_types: ['mamba', 'mamba', 'attention', 'mamba', 'mamba', 'attention'], position_embedding_type: 'nope' }, { shape: [2, 12, 4, 128], layerNumbers: [2, 5], scale: 0.0078125, notes: ['MOA1335'] }],
  ['LFM2 1.2B', { model_type: 'lfm2', ...shape(16, 32, 8, 2048), full_attn_idxs: [2, 5, 8, 10, 12, 14], conv_L_cache: 3, conv_bias: false }, { shape: [6, 32, 8, 64], layerNumbers: [2, 5, 8, 10, 12, 14], notes: ['MOA1335'] }],
  ['Nemotron-H of a few layers', { model_type: 'nemotron_h', ...shape(6, 32, 8, 4096), head_dim: 128, hybrid_override_pattern: 'M-M*-M', mamba_num_heads: 128, conv_kernel: 4 }, { shape: [1, 32, 8, 128], layerNumbers: [3], notes: ['MOA1335'] }],
  ['Falcon-H1', { model_type: 'falcon_h1', ...shape(36, 8, 2, 1024), head_dim: 128, key_multiplier: 0.39, attention_in_multiplier: 1, ssm_multipliers: [0.3, 0.25], mamba_d_conv: 4 }, { shape: [36, 8, 2, 128] }],

  // Refused.
  ['Laguna', { model_type: 'laguna', ...shape(4, 48, 8, 2048), num_attention_heads_per_layer: [48, 64, 64, 64] }, 'MOA1333'],
  ['DeepSeek V3', { model_type: 'deepseek_v3', ...shape(61, 128, 128, 7168), kv_lora_rank: 512, q_lora_rank: 1536, qk_nope_head_dim: 128, qk_rope_head_dim: 64, v_head_dim: 128 }, 'MOA1333'],
  ['DeepSeek V2 as saved', { model_type: 'deepseek_v2', ...shape(27, 16, 16, 2048), kv_lora_rank: 512, head_dim: 64 }, 'MOA1333'],
  ['MiniCPM 3', { model_type: 'minicpm3', ...shape(62, 40, 40, 2560), q_lora_rank: 768, kv_lora_rank: 256 }, 'MOA1333'],
  ['OpenELM', { model_type: 'openelm', num_transformer_layers: 16, num_query_heads: [12, 12, 16], num_kv_heads: [3, 3, 4] }, 'MOA1333'],
  ['Nemotron-NAS', { model_type: 'nemotron-nas', num_hidden_layers: 80, num_attention_heads: 64, hidden_size: 8192, block_configs: [{ attention: { n_heads_in_group: 8 } }] }, 'MOA1333'],
  ['Gemma 3n', { model_type: 'gemma3n', text_config: { model_type: 'gemma3n_text', num_hidden_layers: 35, num_kv_shared_layers: 15 } }, 'MOA1308'],
  ['Gemma 4', { model_type: 'gemma4_text', ...shape(30, 8, 4, 2304), head_dim: 256, global_head_dim: 512, num_kv_shared_layers: 0, sliding_window: 512, layer_types: every(6, 30, 'sliding_attention') }, 'MOA1333'],
  ['Llama 4', { model_type: 'llama4', text_config: { model_type: 'llama4_text', ...shape(48, 40, 8, 5120), head_dim: 128, attention_chunk_size: 8192, no_rope_layers: [1, 1, 1, 0] } }, 'MOA1308'],
  ['Bloom', { model_type: 'bloom', n_layer: 30, n_head: 32, hidden_size: 4096 }, 'MOA1308'],
  ['MPT', { model_type: 'mpt', n_layers: 32, n_heads: 32, d_model: 4096, attn_config: { alibi: true } }, 'MOA1308'],
  ['Falcon RW', { model_type: 'falcon', num_hidden_layers: 24, num_attention_heads: 32, hidden_size: 2048, multi_query: false, alibi: true }, 'MOA1308'],
  ['DiffLlama', { model_type: 'diffllama', ...shape(16, 32, 8, 2048) }, 'MOA1308'],
  ['Llama 3.2 Vision', { model_type: 'mllama', text_config: { model_type: 'mllama_text_model', ...shape(40, 32, 8, 4096), cross_attention_layers: [3, 8] } }, 'MOA1308'],
  ['T5', { model_type: 't5', num_layers: 12, num_heads: 12, d_model: 768, is_encoder_decoder: true }, 'MOA1308'],
  ['BERT', { model_type: 'bert', num_hidden_layers: 12, num_attention_heads: 12, hidden_size: 768, position_embedding_type: 'absolute' }, 'MOA1308'],
  ['MiMo V2 Flash', { model_type: 'mimo_v2_flash', ...shape(48, 64, 4, 4096), head_dim: 192, v_head_dim: 128 }, 'MOA1333'],
  ['Mamba', { model_type: 'mamba', num_hidden_layers: 24, hidden_size: 768 }, 'MOA1308'],
  ['a type of tomorrow', { model_type: 'llama5', ...shape(32, 32, 8, 4096) }, 'MOA1331'],
  ['an architecture without a type', { architectures: ['LlamaForCausalLM'], ...shape(32, 32, 8, 4096) }, 'MOA1331'],
];
