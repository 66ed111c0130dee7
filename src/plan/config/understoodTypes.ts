/**
 * Model types whose attention is what the kernels do, in every layer. Facts are those of transformers 5.24: defaults from the
 * classes of configs, scales, windows and sinks from what its attention functions receive.
 */
import type { ScaleSpec, UnderstoodType, WindowSpec } from './modelType.ts';
import { typeOf } from './typeOf.ts';

const always: WindowSpec = { rule: 'always' };
const whereEnabled: WindowSpec = { rule: 'whereEnabled' };
const lateLayers: WindowSpec = { rule: 'lateLayers' };
const stated: WindowSpec = { rule: 'stated' };
const allButEvery = (n: number): WindowSpec => ({ rule: 'allButEvery', n });
const allButPattern = (n: number): WindowSpec => ({ rule: 'allButPattern', n });

const window = (tokens: number): Readonly<Record<string, number>> => ({ sliding_window: tokens });
const lateFrom = (layer: number, tokens: number): Readonly<Record<string, number>> => ({
  sliding_window: tokens,
  max_window_layers: layer,
});

const gemmaScale: ScaleSpec = {
  from: 'key',
  key: 'query_pre_attn_scalar',
  as: 'inverseRoot',
  default: 256,
};
const graniteScale = (factor: number): ScaleSpec => ({
  from: 'key',
  key: 'attention_multiplier',
  as: 'factor',
  default: factor,
});

const GPT2_KEYS = {
  layers: 'n_layer',
  queryHeads: 'n_head',
  headDim: 'head_dim',
  hiddenSize: 'n_embd',
};
const GPT2_HARMLESS = ['n_head', 'reorder_and_upcast_attn', 'scale_attn_weights', 'n_ctx'];

export const UNDERSTOOD_TYPES: Readonly<Record<string, UnderstoodType>> = {
  // Full attention in every layer.
  apertus: typeOf([32, 32, null, null, 4096]),
  arcee: typeOf([32, 32, null, null, 2560]),
  aria_text: typeOf([32, 32, null, null, 4096]),
  bitnet: typeOf([30, 20, 5, null, 2560]),
  chameleon: typeOf([32, 32, 32, null, 4096], { harmless: ['swin_norm'] }),
  code_llama: typeOf([32, 32, null, null, 4096]),
  cohere: typeOf([40, 64, null, null, 8192]),
  deepseek: typeOf([30, 32, null, null, 4096]),
  emu3_text_model: typeOf([32, 32, 8, null, 4096]),
  ernie4_5: typeOf([18, 16, 2, 128, 1024]),
  ernie4_5_moe: typeOf([28, 20, 4, null, 2560]),
  exaone: typeOf([32, 32, 8, null, 4096]),
  flex_olmo: typeOf([32, 32, null, null, 4096]),
  gemma: typeOf([28, 16, 16, 256, 3072]),
  glm: typeOf([40, 32, 2, 128, 4096]),
  glm4: typeOf([40, 32, 2, 128, 4096]),
  glm4_moe: typeOf([46, 96, 8, null, 4096]),
  glm4v_moe_text: typeOf([46, 96, 8, null, 4096]),
  glm4v_text: typeOf([40, 32, 2, null, 4096]),
  glm_ocr_text: typeOf([16, 16, 8, null, 1024]),
  granite: typeOf([32, 32, null, null, 4096], { scale: graniteScale(1) }),
  granite_docling_text: typeOf([28, 16, 4, null, 1024], { scale: graniteScale(0.015625) }),
  granitemoe: typeOf([32, 32, null, null, 4096], { scale: graniteScale(1) }),
  granitemoeshared: typeOf([32, 32, null, null, 4096], { scale: graniteScale(1) }),
  helium: typeOf([24, 20, 20, 128, 2560]),
  hunyuan_v1_dense: typeOf([32, 32, null, null, 4096], { normAfterRope: true }),
  hunyuan_v1_moe: typeOf([32, 32, null, null, 4096], { normAfterRope: true }),
  hy_v3: typeOf([80, 64, 8, 128, 4096]),
  internlm: typeOf([32, 32, null, null, 4096]),
  internlm2: typeOf([32, 32, null, null, 4096]),
  internlm3: typeOf([48, 32, 2, 128, 4096]),
  iquestcoder: typeOf([80, 40, 8, 128, 5120]),
  jais2: typeOf([32, 26, null, null, 3328]),
  llama: typeOf([32, 32, null, null, 4096], { harmless: ['pretraining_tp'] }),
  minicpm: typeOf([32, 32, null, null, 4096]),
  minimax_m2: typeOf([62, 48, 8, 128, 3072], { harmless: ['attn_type_list', 'qk_norm_type'] }),
  nanochat: typeOf([12, 6, null, null, 768], { normAfterRope: true }),
  nemotron: typeOf([32, 48, null, null, 6144]),
  olmo: typeOf([32, 32, null, null, 4096]),
  olmo2: typeOf([32, 32, null, null, 4096]),
  olmoe: typeOf([16, 16, null, null, 2048]),
  persimmon: typeOf([36, 64, null, null, 4096], { kvHeads: { from: 'queryHeads' } }),
  phi: typeOf([24, 32, null, null, 2048]),
  qwen3_vl_moe_text: typeOf([24, 16, 16, null, 2048]),
  qwen3_vl_text: typeOf([32, 32, 32, 128, 4096]),
  sarvam_moe: typeOf([19, 64, 4, 64, 4096]),
  seed_oss: typeOf([64, 80, 8, 128, 4096]),
  solar_open: typeOf([48, 64, 8, 128, 4096]),
  stablelm: typeOf([32, 32, 32, null, 2560]),

  // Other keys, and positions that are not rotated.
  codegen: typeOf([28, 16, null, null, 4096], {
    keys: GPT2_KEYS,
    kvHeads: { from: 'queryHeads' },
    harmless: GPT2_HARMLESS,
  }),
  falcon: typeOf([32, 71, null, null, 4544], {
    kvHeads: { from: 'falcon' },
    harmless: ['num_kv_heads', 'multi_query', 'parallel_attn', 'num_ln_in_parallel_attn'],
  }),
  gpt2: typeOf([12, 12, null, null, 768], {
    keys: GPT2_KEYS,
    kvHeads: { from: 'queryHeads' },
    harmless: GPT2_HARMLESS,
  }),
  gpt_bigcode: typeOf([12, 12, null, null, 768], {
    keys: GPT2_KEYS,
    kvHeads: { from: 'multiQuery' },
    harmless: [...GPT2_HARMLESS, 'multi_query', 'scale_attention_softmax_in_fp32'],
  }),
  gpt_neox: typeOf([44, 64, null, null, 6144], { kvHeads: { from: 'queryHeads' } }),
  gptj: typeOf([28, 16, null, null, 4096], {
    keys: GPT2_KEYS,
    kvHeads: { from: 'queryHeads' },
    harmless: GPT2_HARMLESS,
  }),
  // Its attention receives queries that are scaled.
  opt: typeOf([12, 12, null, null, 768], {
    kvHeads: { from: 'queryHeads' },
    scale: { from: 'constant', value: 1 },
  }),

  // Windows in all layers or in some.
  afmoe: typeOf([32, 16, null, 128, 2048], {
    windows: stated,
    defaults: window(1024),
    harmless: ['global_attn_every_n_layers'],
  }),
  cohere2: typeOf([40, 64, null, null, 8192], {
    windows: allButPattern(4),
    defaults: window(4096),
    harmless: ['layer_switch'],
  }),
  cwm: typeOf([64, 48, 8, 128, 6144], { windows: stated, defaults: window(8192) }),
  dots1: typeOf([62, 32, 32, null, 4608], { windows: stated, defaults: lateFrom(62, 4096) }),
  exaone4: typeOf([32, 32, 32, null, 4096], { windows: stated, defaults: window(4096) }),
  exaone_moe: typeOf([32, 32, 32, null, 4096], { windows: stated, defaults: window(4096) }),
  gemma2: typeOf([26, 8, 4, 256, 2304], {
    windows: allButEvery(2),
    defaults: window(4096),
    scale: gemmaScale,
    softCap: 50,
  }),
  gemma3_text: typeOf([26, 8, 4, 256, 2304], {
    windows: allButPattern(6),
    defaults: window(4096),
    scale: gemmaScale,
  }),
  gpt_oss: typeOf([36, 64, 8, 64, 2880], {
    windows: allButEvery(2),
    defaults: window(128),
    learnedSinks: 'always',
  }),
  granite_swa: typeOf([24, 20, 4, null, 2560], {
    windows: stated,
    defaults: window(128),
    scale: graniteScale(1),
    learnedSinks: 'perhaps',
  }),
  granitemoe_swa: typeOf([32, 32, null, null, 4096], {
    windows: stated,
    defaults: window(128),
    scale: graniteScale(1),
    learnedSinks: 'perhaps',
  }),
  ministral: typeOf([32, 32, 8, null, 4096], { windows: always, defaults: window(4096) }),
  ministral3: typeOf([34, 32, 8, 128, 4096], { windows: always }),
  mistral: typeOf([32, 32, 8, null, 4096], { windows: always, defaults: window(4096) }),
  mixtral: typeOf([32, 32, 8, null, 4096], { windows: always }),
  olmo3: typeOf([32, 32, null, null, 4096], { windows: allButEvery(4), defaults: window(4096) }),
  phi3: typeOf([32, 32, null, null, 3072], { windows: always }),
  phimoe: typeOf([32, 32, 8, null, 4096], { windows: always }),
  qwen2: typeOf([32, 32, 32, null, 4096], { windows: lateLayers, defaults: lateFrom(28, 4096) }),
  qwen2_moe: typeOf([24, 16, 16, null, 2048], {
    windows: { rule: 'earlyOddLayers' },
    defaults: lateFrom(28, 4096),
  }),
  qwen2_vl_text: typeOf([80, 64, 8, null, 8192], {
    windows: lateLayers,
    defaults: lateFrom(80, 4096),
  }),
  qwen2_5_vl_text: typeOf([80, 64, 8, null, 8192], {
    windows: lateLayers,
    defaults: lateFrom(80, 4096),
  }),
  qwen2_5_omni_text: typeOf([28, 28, 4, null, 3584], {
    windows: lateLayers,
    defaults: lateFrom(28, 32768),
  }),
  qwen3: typeOf([32, 32, 32, 128, 4096], { windows: lateLayers, defaults: lateFrom(28, 4096) }),
  qwen3_moe: typeOf([24, 32, 4, null, 2048], { windows: whereEnabled, defaults: window(4096) }),
  qwen3_omni_moe_text: typeOf([28, 28, 4, null, 2048], { windows: whereEnabled }),
  smollm3: typeOf([36, 16, 4, null, 2048], { windows: stated }),
  starcoder2: typeOf([30, 24, 2, null, 3072], { windows: always }),
  vaultgemma: typeOf([26, 8, 4, 256, 2304], {
    windows: allButEvery(2),
    defaults: window(4096),
    scale: gemmaScale,
    softCap: 50,
  }),
};
