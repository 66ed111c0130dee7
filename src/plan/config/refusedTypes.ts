/** Model types that no plan is for, and why. */
import type { RefusedType } from './modelType.ts';

const LATENT = 'keys and values are made from a latent vector (MLA), which is not this kind of cache';
const BY_LAYER = 'heads differ by layer, and a plan has one shape for all layers';
const ALIBI = 'scores get a bias by distance (ALiBi), which the kernels do not add';
const ENCODER = 'the model has an encoder, or attends to both sides: its attention is not causal';
const RECURRENT = 'the model has no attention with keys and values';
const BY_SCORE = 'tokens are chosen by their scores at run time, and a plan is made before';

const refused = (
  about: RefusedType['about'],
  why: string,
  ...types: readonly string[]
): [string, RefusedType][] => types.map((type) => [type, { status: 'refused', about, why }]);

export const REFUSED_TYPES: Readonly<Record<string, RefusedType>> = Object.fromEntries([
  ...refused('geometry', LATENT, 'deepseek_v2', 'deepseek_v3', 'deepseek_v32', 'deepseek_v4'),
  ...refused('geometry', LATENT, 'deepseek_vl_v2', 'kimi_k2', 'kimi_k25', 'kimi_linear', 'kimi_vl'),
  ...refused('geometry', LATENT, 'minicpm3', 'longcat_flash', 'glm4_moe_lite', 'glm_moe_dsa'),
  ...refused('geometry', LATENT, 'youtu', 'sarvam_mla', 'axk1', 'axk2', 'bailing_hybrid'),
  ...refused('geometry', LATENT, 'mistral4', 'mistral_large4_text', 'hy_v4', 'hy_v4_vl_text'),
  ...refused('geometry', LATENT, 'glm5_next_text', 'dots3_note_text'),
  ...refused('geometry', BY_LAYER, 'openelm', 'deci', 'nemotron-nas', 'nemotron_nas', 'laguna'),
  ...refused('geometry', BY_LAYER, 'step3p5', 'inkling_text', 'inkling2_text', 'embedding_gemma2_text'),
  ...refused('geometry', 'keys and values have different sizes', 'mimo_v2_flash', 'mimo_v2'),
  ...refused(
    'geometry',
    'attention of one set of weights is in several layers, over twice the hidden size',
    'zamba',
    'zamba2',
  ),
  ...refused(
    'geometry',
    'each expert has queries of its own, which share keys and values in another way than GQA',
    'jetmoe',
  ),
  ...refused('geometry', 'KV heads and RoPE are within attn_config, which is not read', 'dbrx'),
  ...refused('attention', ALIBI, 'bloom', 'mpt', 'refinedweb_alibi'),
  ...refused(
    'attention',
    'some models of the type have ALiBi and some RoPE, which the config does not say',
    'baichuan',
    'RefinedWeb',
    'RefinedWebModel',
  ),
  ...refused('attention', 'layers attend in chunks (chunked_attention)', 'llama4', 'llama4_text'),
  ...refused('attention', 'each head subtracts one attention from another', 'diffllama'),
  ...refused('attention', BY_SCORE, 'doge', 'minimax_m3_vl_text', 'qwen4_exp_text', 'flint'),
  ...refused('attention', 'scores have no scale, and layers have windows by attention_types', 'gpt_neo'),
  ...refused('attention', 'layers attend another input (cross attention)', 'mllama', 'mllama_text_model'),
  ...refused('attention', 'the window is under another key, and layers repeat block_types', 'recurrent_gemma', 'griffin'),
  ...refused('attention', 'the prefix is attended to both sides', 'paligemma', 'git', 'prefix_lm'),
  ...refused('attention', RECURRENT, 'mamba', 'mamba2', 'falcon_mamba', 'rwkv', 'rwkv5', 'rwkv6', 'rwkv7'),
  ...refused('attention', RECURRENT, 'xlstm', 'retnet', 'codestral_mamba'),
  ...refused('attention', ENCODER, 't5', 'mt5', 'umt5', 'longt5', 'switch_transformers', 'bart', 'mbart'),
  ...refused('attention', ENCODER, 'pegasus', 'marian', 'm2m_100', 'blenderbot', 'led', 'prophetnet'),
  ...refused('attention', ENCODER, 't5gemma', 't5gemma2', 'whisper', 'speech_to_text', 'seamless_m4t'),
  ...refused('attention', ENCODER, 'bert', 'roberta', 'xlm-roberta', 'albert', 'camembert', 'distilbert'),
  ...refused('attention', ENCODER, 'electra', 'deberta', 'deberta-v2', 'mpnet', 'modernbert', 'ernie'),
  ...refused('attention', ENCODER, 'eurobert', 'esm', 'clip', 'clip_text_model', 'siglip', 'vit', 'xlnet'),
]);
