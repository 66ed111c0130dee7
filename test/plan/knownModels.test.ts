/** A config is believed where it is understood: public models, and keys that no one knows. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { KNOWN_TYPES } from '../../src/plan/config/knownModels.ts';
import { REFUSED_KEYS } from '../../src/plan/config/refusedKeys.ts';
import { WRAPPER_TYPES } from '../../src/plan/config/wrapperTypes.ts';
import { parseModelConfig, type ModelConfigOptions } from '../../src/plan/parseModelConfig.ts';
import { FAMILIES } from './families.ts';
import { collect, readRepositoryFile } from './support.ts';

const parse = (config: object, options: ModelConfigOptions = {}) =>
  collect((diagnostics) => parseModelConfig(JSON.stringify(config), 'config.json', diagnostics, options));

describe('public models', () => {
  test.each(FAMILIES)('%s', (_, config, expected) => {
    const { value, codes, text } = parse(config);
    if (typeof expected === 'string') {
      expect(value).toBeUndefined();
      expect(codes).toContain(expected);
      return;
    }
    expect(text.split('\n').filter((line) => /error|warning/.test(line))).toEqual([]);
    expect(codes).toEqual(expected.notes ?? []);
    const { layers, queryHeads, kvHeads, headDim, layerNumbers } = value!.shape;
    expect([layers, queryHeads, kvHeads, headDim]).toEqual(expected.shape);
    expect(layerNumbers).toEqual(expected.layerNumbers);
    const { scale, softCap, learnedSinks } = value!.attention!;
    expect({ scale, softCap: softCap ?? 0, learnedSinks: learnedSinks ?? false }).toEqual({
      scale: expected.scale,
      softCap: expected.softCap ?? 0,
      learnedSinks: expected.learnedSinks ?? false,
    });
    const windows = (expected.windows ?? '-').split(' ').map((word) => (word === '-' ? null : Number(word)));
    expect(value!.windows).toHaveLength(layers);
    expect(value!.windows.slice(0, windows.length)).toEqual(windows);
    if (expected.windows === undefined) expect(new Set(value!.windows)).toEqual(new Set([null]));
  });
});

const llama = { model_type: 'llama', num_hidden_layers: 4, num_attention_heads: 48, num_key_value_heads: 8, head_dim: 128, hidden_size: 6144 };

describe('keys', () => {
  test.each<[object, string]>([
    [{ num_attention_heads_per_layer: [48, 64, 64, 64] }, 'MOA1333: heads differ by layer, and a plan has one shape for all layers (at num_attention_heads_per_layer)'],
    [{ per_layer_config: { 1: { head_dim: 512, num_key_value_heads: 1 } } }, 'MOA1333: heads differ by layer, and a plan has one shape for all layers (at per_layer_config)'],
    [{ global_head_dim: 512 }, 'MOA1333: heads differ by layer, and a plan has one shape for all layers (at global_head_dim)'],
    [{ num_global_key_value_heads: 4 }, '(at num_global_key_value_heads)'],
    [{ num_attention_heads: [48, 64, 64, 64] }, 'MOA1333: num_attention_heads is a list'],
    [{ num_key_value_heads: [8, 8, 4, 4] }, 'MOA1333: num_key_value_heads is a list'],
    [{ head_dim: [128, 64] }, 'MOA1333: head_dim is a list'],
    [{ kv_lora_rank: 512 }, 'MOA1333: keys and values are made from a latent vector (MLA), which is not this kind of cache (at kv_lora_rank)'],
    [{ q_lora_rank: 1536 }, '(at q_lora_rank)'],
    [{ qk_nope_head_dim: 128 }, '(at qk_nope_head_dim)'],
    [{ v_head_dim: 64 }, 'MOA1333: keys and values have different sizes'],
    [{ block_configs: [{ attention: {} }] }, '(at block_configs)'],
    [{ attention_chunk_size: 8192 }, 'MOA1308: all layers attend in chunks (chunked_attention), not in a window (at attention_chunk_size)'],
    [{ layer_types: ['full_attention', 'chunked_attention', 'full_attention', 'full_attention'] }, 'MOA1308: layer 1 is "chunked_attention"'],
    [{ layer_types: ['full_attention', 'linear_attention', 'full_attention', 'full_attention'] }, 'MOA1308: layer 1 is "linear_attention"'],
    [{ dual_chunk_attention_config: { chunk_size: 262144 } }, '(at dual_chunk_attention_config)'],
    [{ alibi: true }, 'MOA1308: scores get a bias by distance (ALiBi)'],
    [{ is_causal: false }, 'MOA1308: the attention of the model is not causal'],
    [{ use_cla: true }, 'MOA1308: layers of the model share the keys of others'],
    [{ cross_attention_layers: [3] }, 'MOA1308: layers attend another input'],
    [{ index_topk: 2048 }, 'MOA1308: tokens are chosen by their scores'],
    [{ attn_temperature_tuning: true }, 'MOA1308: scores are scaled by the position of the query'],
    [{ add_swa_attention_sink_bias: true }, 'MOA1308: layers have learned sinks'],
    [{ num_kv_heads: 4 }, 'MOA1332: the key "num_kv_heads" may change how the model attends, and is not known for models of the type "llama" (at num_kv_heads)'],
    [{ attention_scale_by_layer: 2 }, 'MOA1332: the key "attention_scale_by_layer"'],
    [{ ropeScalingFactor: 2 }, 'MOA1332: the key "ropeScalingFactor"'],
    [{ mamba_d_state: 16 }, 'MOA1332: the key "mamba_d_state"'],
    [{ linear_attn_config: { kda_layers: [1] } }, 'MOA1332: the key "linear_attn_config"'],
    [{ num_key_value_head: 8, num_key_value_heads: null }, 'did you mean "num_key_value_heads"?'],
  ])('%j is refused', (keys, message) => {
    const { value, text } = parse({ ...llama, ...keys });
    expect(value).toBeUndefined();
    expect(text).toContain(message);
  });

  test.each<object>([
    { num_attention_heads_per_layer: [48, 48, 48, 48] },
    { global_head_dim: 128, num_global_key_value_heads: 8, v_head_dim: 128 },
    { kv_lora_rank: null, q_lora_rank: 0, attention_chunk_size: null, per_layer_config: {}, cross_attention_layers: [] },
    { alibi: false, is_encoder_decoder: false, add_cross_attention: false, is_causal: true, num_kv_shared_layers: 0 },
    { attention_bias: true, attention_dropout: 0.1, _attn_implementation: 'sdpa', chunk_size_feed_forward: 0, pruned_heads: {} },
    { vision_config: { num_attention_heads: 16 }, quantization_config: { kv_cache_scheme: null }, routed_scaling_factor: 2.5, n_group: 8 },
    { layer_types: ['full_attention', 'full_attention', 'full_attention', 'full_attention'] },
  ])('%j changes nothing', (keys) => {
    const { value, text } = parse({ ...llama, ...keys });
    expect(text).toBe('');
    expect(value!.shape).toEqual({ layers: 4, queryHeads: 48, kvHeads: 8, headDim: 128 });
  });

  test('of a config without a type are held to the same', () => {
    const { model_type: _, ...nameless } = llama;
    expect(parse(nameless).text).toBe('');
    expect(parse({ ...nameless, new_decoder_architecture: true, num_kv_heads: 8 }).codes).toEqual(['MOA1332']);
    expect(parse({ ...nameless, multi_query: true }).codes).toEqual(['MOA1332']);
    expect(parse({ ...nameless, kv_lora_rank: 512 }).codes).toEqual(['MOA1333']);
    expect(parse({ ...nameless, sliding_window: 128 }).codes).toEqual(['MOA1309']);
  });

  test('that are not known, and a type that is not, are taken as plain when asked', () => {
    const asked = { assumePlain: true };
    expect(parse({ ...llama, num_kv_heads: 4 }, asked)).toMatchObject({ codes: ['MOA1336'], value: { shape: { kvHeads: 8 } } });
    expect(parse({ ...llama, model_type: 'llama5' }, asked)).toMatchObject({ codes: ['MOA1336'], value: { shape: { kvHeads: 8 } } });
    expect(parse({ ...llama, model_type: 'deepseek_v3' }, asked).value).toBeUndefined();
    expect(parse({ ...llama, kv_lora_rank: 512 }, asked).value).toBeUndefined();
  });

  test('are read of the config around a language model as well', () => {
    const { text_config: inner, ...outer } = { model_type: 'llava', text_config: llama, is_encoder_decoder: true };
    expect(parse({ ...outer, text_config: inner }).text).toContain('MOA1308: the model has an encoder, whose attention is not causal (at is_encoder_decoder)');
    expect(parse({ model_type: 'tomorrow_vl', text_config: llama }).codes).toEqual(['MOA1331']);
    expect(parse({ model_type: 'internvl_chat', llm_config: { ...llama, model_type: undefined } }).codes).toEqual(['MOA1331']);
  });
});

test('the layers that are left out are named', () => {
  const layers = { model_type: 'qwen3_next', num_hidden_layers: 4, num_attention_heads: 16, num_key_value_heads: 2, head_dim: 256 };
  const { value, text } = parse({ ...layers, layer_types: ['linear_attention', 'linear_attention', 'linear_attention', 'full_attention'] });
  expect([...value!.leftOut!]).toEqual([[0, 'linear_attention'], [1, 'linear_attention'], [2, 'linear_attention']]);
  expect(text).toContain('MOA1335: 3 of 4 layers have no attention and are left out: 0..2 (linear_attention)');
  expect(text).toContain('a plan has a row for each of the layers 3, in this order');
  expect(parse({ ...layers, layer_types: Array(4).fill('linear_attention') }).text).toContain('MOA1308: no layer of the model has attention');
});

test('docs/model-configs.md names every type and every key that refuses', () => {
  const text = readRepositoryFile('docs/model-configs.md').toString();
  const names = [...KNOWN_TYPES.keys(), ...Object.keys(WRAPPER_TYPES), ...REFUSED_KEYS.map(({ key }) => key)];
  expect(names.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});

test('types of the table are of one kind each, and Python has the same table', () => {
  expect(KNOWN_TYPES.size).toBeGreaterThan(150);
  const script = fileURLToPath(new URL('../../scripts/knownModels.mjs', import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' });
  expect(`${stdout}${stderr}`).toBe('');
  expect(status).toBe(0);
});
