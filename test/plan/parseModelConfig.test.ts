import { describe, expect, it } from 'vitest';
import { parseModelConfig } from '../../src/plan/parseModelConfig.ts';
import { collect } from './support.ts';

const parse = (config: unknown) =>
  collect((diagnostics) => parseModelConfig(typeof config === 'string' ? config : JSON.stringify(config), 'config.json', diagnostics));

const base = { num_hidden_layers: 4, num_attention_heads: 8, hidden_size: 1024 };

describe('parseModelConfig', () => {
  it('fills in what Hugging Face leaves out', () => {
    const { value, text } = parse(base);
    expect(text).toBe('');
    expect(value).toMatchObject({ shape: { layers: 4, queryHeads: 8, kvHeads: 8, headDim: 128 }, places: { kvHeads: { path: 'num_attention_heads' }, headDim: { path: 'hidden_size' } } });
    expect(Object.keys(value!)).toEqual(['kind', 'file', 'shape', 'windows', 'attention', 'places']);
    expect(value!.attention).toEqual({});
  });

  it('takes null as absent and ignores other keys', () => {
    const { value, text } = parse({ ...base, num_key_value_heads: null, head_dim: null, rope_theta: null, rope_scaling: null, torch_dtype: null, quantization_config: { bits: '?' } });
    expect(text).toBe('');
    expect(value!.shape).toEqual({ layers: 4, queryHeads: 8, kvHeads: 8, headDim: 128 });
  });

  it('prefers head_dim to hidden_size, which may then be absent', () => {
    expect(parse({ num_hidden_layers: 4, num_attention_heads: 8, num_key_value_heads: 2, head_dim: 64 }).value!.shape).toEqual({ layers: 4, queryHeads: 8, kvHeads: 2, headDim: 64 });
    expect(parse({ ...base, head_dim: 64 }).value!.shape.headDim).toBe(64);
  });

  it('reads the text_config of a multimodal model', () => {
    const { value } = parse({ model_type: 'gemma3', dtype: 'bfloat16', text_config: { ...base, sliding_window: 1024, num_key_value_heads: 4, rope_theta: 1e6 }, vision_config: { num_hidden_layers: 27 } });
    expect(value).toMatchObject({ shape: { kvHeads: 4 }, elementType: 'bf16', name: 'gemma3', rope: { theta: 1e6 }, places: { layers: { path: 'text_config.num_hidden_layers' } } });
  });

  it.each([
    // Gemma 2 27B: scores are (q.k / sqrt(144)) before the cap.
    [{ model_type: 'gemma2', sliding_window: 4096, attn_logit_softcapping: 50, final_logit_softcapping: 30, query_pre_attn_scalar: 144 }, { softCap: 50, scale: 1 / 12 }],
    [{ model_type: 'gemma3_text', sliding_window: 512, attn_logit_softcapping: null, query_pre_attn_scalar: 256 }, { scale: 1 / 16 }],
    [{ model_type: 'gpt_oss', sliding_window: 128 }, { learnedSinks: true }],
    [{ model_type: 'llama', attn_logit_softcapping: 0 }, { softCap: 0 }],
  ])('%j makes scores with %j', (keys, attention) => expect(parse({ ...base, ...keys })).toMatchObject({ text: '', value: { attention } }));

  it.each([
    [{ attn_logit_softcapping: '50' }, 'MOA1104'],
    [{ attn_logit_softcapping: -50 }, 'MOA1106: -50 is not from 0.001 to 1000, or 0 (at attn_logit_softcapping)'],
    [{ query_pre_attn_scalar: 0 }, 'MOA1106'],
  ])('%j is refused', (keys, message) => {
    const { value, text } = parse({ ...base, ...keys });
    expect(value).toBeUndefined();
    expect(text).toContain(message);
  });

  it.each([
    [{ torch_dtype: 'float16' }, 'fp16'],
    [{ torch_dtype: 'bfloat16' }, 'bf16'],
    [{ torch_dtype: 'torch.bfloat16' }, 'bf16'],
    [{ dtype: 'float16', torch_dtype: 'bfloat16' }, 'fp16'],
    [{ torch_dtype: 'float32' }, undefined],
    [{ dtype: 'float8_e4m3fn' }, undefined],
    [{ dtype: 16 }, undefined],
  ])('%j is %s', (keys, elementType) => expect(parse({ ...base, ...keys }).value!.elementType).toBe(elementType));

  it.each([
    [{ _name_or_path: 'org/Model-1.5_x' }, 'org/Model-1.5_x'],
    [{ _name_or_path: 'a b', model_type: 'llama' }, 'llama'],
    [{ _name_or_path: '*/\n#include', model_type: '\\' }, undefined],
    [{ _name_or_path: '/home/someone/model', model_type: 'llama' }, 'llama'],
    [{ _name_or_path: './model' }, undefined],
    [{ _name_or_path: 'a/../../b' }, undefined],
    [{ _name_or_path: 'a'.repeat(129) }, undefined],
    [{ _name_or_path: 7 }, undefined],
  ])('%j is named %s', (keys, name) => expect(parse({ ...base, ...keys }).value!.name).toBe(name));

  it.each([
    [{ rope_theta: 10000 }, { theta: 10000, scaling: 'none' }],
    [{ rope_theta: 5e5, rope_scaling: { rope_type: 'llama3', factor: 32 } }, { theta: 5e5, scaling: 'other' }],
    [{ rope_theta: 5e5, rope_scaling: { type: 'linear', factor: 4 } }, { theta: 5e5, scaling: 'other' }],
    [{ rope_theta: 5e5, rope_scaling: { rope_type: 'default' } }, { theta: 5e5, scaling: 'none' }],
    [{ rope_theta: 5e5, rope_scaling: 'yarn' }, { theta: 5e5, scaling: 'other' }],
    [{ rope_parameters: { rope_theta: 5e5, rope_type: 'default' } }, { theta: 5e5, scaling: 'none' }],
    [{ rope_parameters: { rope_theta: 5e5 } }, { theta: 5e5, scaling: 'none' }],
    [{ rope_parameters: { rope_theta: 5e5, rope_type: 'yarn' } }, { theta: 5e5, scaling: 'other' }],
    [{ rope_scaling: { type: 'linear' } }, undefined],
  ])('%j', (keys, rope) => expect(parse({ ...base, ...keys }).value!.rope).toEqual(rope));

  it.each([
    ['[]', 'MOA1101: a model config is an object, this is an array'],
    [{}, 'MOA1103: the key "num_hidden_layers" is missing'],
    [{ num_hidden_layers: 4, num_attention_heads: 8 }, 'MOA1103: the key "hidden_size" is missing'],
    [{ ...base, num_attention_heads: 7 }, 'MOA1106: hidden_size 1024 over 7 heads gives no head dimension from 1 to 1024 (at hidden_size)'],
    [{ ...base, num_hidden_layers: 2000 }, 'MOA1106: 2000 is not from 1 to 1024 (at num_hidden_layers)'],
    [{ ...base, num_key_value_heads: '8' }, 'MOA1104: expected an integer, found a string (at num_key_value_heads)'],
    [{ ...base, rope_theta: -1 }, 'MOA1106: rope_theta -1 is not positive (at rope_theta)'],
    [{ ...base, rope_theta: '1e4' }, 'MOA1104: expected a number, found a string (at rope_theta)'],
    [{ text_config: { num_hidden_layers: 1 } }, 'MOA1103: the key "num_attention_heads" is missing (at text_config)'],
    ['{"num_hidden_layers": 1, "num_hidden_layers": 2}', 'MOA1013'],
    ['{"num_hidden_layers": 1e999}', 'MOA1015'],
  ])('%j is wrong', (config, expected) => {
    const { value, text } = parse(config);
    expect(value).toBeUndefined();
    expect(text).toContain(expected);
  });
});
