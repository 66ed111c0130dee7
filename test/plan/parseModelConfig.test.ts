import { describe, expect, it } from 'vitest';
import { parseModelConfig, type ModelConfigOptions } from '../../src/plan/parseModelConfig.ts';
import { collect } from './support.ts';

const parse = (config: unknown, options: ModelConfigOptions = {}) =>
  collect((diagnostics) => parseModelConfig(typeof config === 'string' ? config : JSON.stringify(config), 'config.json', diagnostics, options));

/** What these types have defaults for, which would be noted. */
const stated = { num_key_value_heads: 8, head_dim: 128, sliding_window: 128 };
const base = { num_hidden_layers: 4, num_attention_heads: 8, hidden_size: 1024 };

describe('parseModelConfig', () => {
  it('fills in what Hugging Face leaves out', () => {
    const { value, text } = parse(base);
    expect(text).toBe('');
    expect(value).toMatchObject({ shape: { layers: 4, queryHeads: 8, kvHeads: 8, headDim: 128 }, places: { kvHeads: { path: 'num_attention_heads' }, headDim: { path: 'hidden_size' } } });
    expect(Object.keys(value!)).toEqual(['kind', 'file', 'shape', 'windows', 'attention', 'places']);
    expect(value!.windows).toEqual([null, null, null, null]);
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
    expect(value).toMatchObject({ shape: { kvHeads: 4 }, elementType: 'bf16', name: 'gemma3', rope: { ropes: [{ theta: 10_000 }], layers: [0, 0, 0, 0] }, places: { layers: { path: 'text_config.num_hidden_layers' } } });
  });

  it.each([
    // Gemma 2 27B: scores are (q.k / sqrt(144)) before the cap.
    [{ model_type: 'gemma2', ...stated, attn_logit_softcapping: 50, final_logit_softcapping: 30, query_pre_attn_scalar: 144 }, { softCap: 50, scale: 1 / 12 }],
    [{ model_type: 'gemma3_text', ...stated, attn_logit_softcapping: null, query_pre_attn_scalar: 256 }, { scale: 1 / 16 }],
    [{ model_type: 'gpt_oss', ...stated }, { learnedSinks: true }],
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
  ])('%j is named %s', (keys, name) => expect(parse({ ...base, ...keys }, { assumePlain: true }).value!.name).toBe(name));

  it.each([
    [{ rope_theta: 10000 }, 10000, { type: 'default' }],
    [{ rope_theta: 5e5, rope_scaling: { type: 'linear', factor: 4 } }, 5e5, { type: 'linear', factor: 4 }],
    [{ rope_theta: 5e5, rope_scaling: { rope_type: 'default' } }, 5e5, { type: 'default' }],
    [{ rope_parameters: { rope_theta: 5e5, rope_type: 'default' } }, 5e5, { type: 'default' }],
    [{ rope_parameters: { rope_theta: 5e5 } }, 5e5, { type: 'default' }],
    [{}, 10000, { type: 'default' }],
  ])('%j', (keys, theta, scaling) => {
    expect(parse({ ...base, model_type: 'llama', ...keys }).value!.rope!.ropes).toEqual([{ theta, scaling, rotaryDim: 128, pairing: 'halves' }]);
  });

  it.each([
    [{ rope_theta: 5e5, rope_scaling: { rope_type: 'llama3', factor: 32 } }],
    [{ rope_parameters: { rope_theta: 5e5, rope_type: 'yarn' } }],
    [{ rope_scaling: { type: 'linear' } }],
  ])('%j lacks keys', (keys) => {
    const { rope, ropeProblems } = parse({ ...base, model_type: 'llama', ...keys }).value!;
    expect(rope).toBeUndefined();
    expect(ropeProblems!.map(({ code }) => code)).toContain('MOA1103');
  });

  it('without a model type no RoPE is known, and a note says so', () => {
    const { rope, ropeProblems } = parse({ ...base, rope_theta: 10000 }).value!;
    expect(rope).toBeUndefined();
    expect(ropeProblems).toEqual([expect.objectContaining({ code: 'MOA1402', severity: 'note' })]);
  });

  it.each([
    ['[]', 'MOA1101: a model config is an object, this is an array'],
    [{}, 'MOA1103: the key "num_hidden_layers" is missing'],
    [{ num_hidden_layers: 4, num_attention_heads: 8 }, 'MOA1103: the key "hidden_size" is missing'],
    [{ ...base, num_attention_heads: 7 }, 'MOA1106: hidden_size 1024 over 7 heads gives no head dimension from 1 to 1024 (at hidden_size)'],
    [{ ...base, num_hidden_layers: 2000 }, 'MOA1106: 2000 is not from 1 to 1024 (at num_hidden_layers)'],
    [{ ...base, num_key_value_heads: '8' }, 'MOA1104: expected an integer, found a string (at num_key_value_heads)'],
    [{ ...base, rope_theta: -1 }, 'MOA1106: rope_theta -1 is not positive (at rope_theta)'],
    [{ ...base, rope_theta: '1e4' }, 'MOA1104: expected a number, found a string (at rope_theta)'],
    [{ ...base, model_type: 'llama', rope_theta: 5e5, rope_scaling: 'yarn' }, 'MOA1104: expected an object, found a string (at rope_scaling)'],
    [{ text_config: { num_hidden_layers: 1 } }, 'MOA1103: the key "num_attention_heads" is missing (at text_config)'],
    ['{"num_hidden_layers": 1, "num_hidden_layers": 2}', 'MOA1013'],
    ['{"num_hidden_layers": 1e999}', 'MOA1015'],
  ])('%j is wrong', (config, expected) => {
    const { value, text } = parse(config);
    expect(value).toBeUndefined();
    expect(text).toContain(expected);
  });
});
