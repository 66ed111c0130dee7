/** The model's own windows: where they come from, and what does not fit. */
import { describe, expect, test } from 'vitest';
import { effectiveMask } from '../../src/ir/affine.ts';
import { readPlan } from '../../src/plan/readPlan.ts';
import type { PlanInput } from '../../src/plan/formats/inputFormat.ts';
import { collect } from './support.ts';

const read = (plan: unknown, config?: unknown, rest: Partial<PlanInput> = {}) =>
  collect((diagnostics) => {
    const text = typeof plan === 'string' ? plan : JSON.stringify(plan);
    const given = config === undefined ? undefined : { text: JSON.stringify(config), file: 'config.json' };
    return readPlan({ text, file: 'plan.json', ...rest }, given, {}, diagnostics);
  });

const shape = { num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 2, head_dim: 64 };
const mistral = { ...shape, model_type: 'mistral', sliding_window: 128 };
const gemma = { ...shape, model_type: 'gemma2', sliding_window: 128 };
const matrices = { alphas: [[384, 320], [384, 320]], betas: [[0, 0], [0, 0]] };
const model = { layers: 2, queryHeads: 2, kvHeads: 2, headDim: 64 };
const ours = (windows?: unknown, changes: object = {}): object => ({
  format: 'moa-plan',
  version: 1,
  model: { ...model, ...(windows === undefined ? {} : { windows }) },
  ...matrices,
  ...changes,
});

type Read = ReturnType<typeof read>['value'];
const windowsOf = (plan: Read): unknown => plan?.module.layers.map(({ modelWindow }) => modelWindow);
/** `sink+window` of each head, by layer, for sequences of up to `bound` tokens. */
const masksOf = (plan: Read, bound: number): string[] =>
  plan!.module.layers.map(({ heads, modelWindow }) =>
    heads
      .map(({ rule }) => effectiveMask(rule, plan!.module.limits, bound, modelWindow))
      .map(({ sink, window }) => `${sink}+${window}`)
      .join(' '),
  );

describe("the model's own windows", () => {
  test('of a config cut spans, and take the sink: Mistral with a window of 128, spans of 384 and 320', () => {
    const { value, text } = read(matrices, mistral);
    expect(text).toBe('');
    expect(windowsOf(value)).toEqual([128, 128]);
    expect(masksOf(value, 1024)).toEqual(['0+128 0+128', '0+128 0+128']);
    expect(masksOf(value, 64)).toEqual(['0+128 0+128', '0+128 0+128']);
  });

  test('are those of the layers that have one: Gemma 2', () => {
    const { value, text } = read(matrices, gemma);
    expect(text).toBe('');
    expect(windowsOf(value)).toEqual([128, null]);
    expect(masksOf(value, 1024)).toEqual(['0+128 0+128', '64+320 64+256']);
  });

  test.each<[string, object, (number | null)[]]>([
    ['llama', { model_type: 'llama' }, [null, null]],
    ['no type', {}, [null, null]],
    ['Gemma 3', { model_type: 'gemma3_text', sliding_window: 512, sliding_window_pattern: 2 }, [512, null]],
    ['gpt-oss', { model_type: 'gpt_oss', sliding_window: 128, layer_types: ['sliding_attention', 'full_attention'] }, [128, null]],
    ['Qwen 2, switched off', { model_type: 'qwen2', use_sliding_window: false, sliding_window: 4096, max_window_layers: 1 }, [null, null]],
    ['Qwen 2', { model_type: 'qwen2', use_sliding_window: true, sliding_window: 4096, max_window_layers: 1 }, [null, 4096]],
    ['a window that is switched off', { model_type: 'llama', use_sliding_window: false, sliding_window: 4096 }, [null, null]],
    ['newer Mistral', { model_type: 'mistral', sliding_window: null }, [null, null]],
    ['layer_types of a type without a rule', { model_type: 'exaone4', sliding_window: 192, layer_types: ['full_attention', 'sliding_attention'] }, [null, 192]],
  ])('%s', (_, changes, expected) => {
    const { value, text } = read(matrices, { ...shape, ...changes });
    expect(text).toBe('');
    expect(windowsOf(value)).toEqual(expected);
  });

  test('of a multimodal config are those of its text_config', () => {
    expect(windowsOf(read(matrices, { model_type: 'gemma3', text_config: { ...gemma, model_type: 'gemma3_text', sliding_window_pattern: 2 } }).value)).toEqual([128, null]);
  });

  test('longer than every span change no window, and take the sink all the same', () => {
    expect(masksOf(read(matrices, { ...mistral, sliding_window: 4096 }).value, 16384)[0]).toBe('0+384 0+320');
  });

  test('without a config or windows in the plan there are none', () => {
    expect(windowsOf(read(ours()).value)).toEqual([null, null]);
    expect(windowsOf(read(matrices).value)).toEqual([null, null]);
  });

  test.each([
    ['a window where it is not known which layers have it', { sliding_window: 128 }, 'MOA1309'],
    ['a type that is not known', { model_type: 'x', sliding_window: 128 }, 'MOA1331'],
    ['a type with windows that does not say them', { model_type: 'mistral' }, 'MOA1103'],
    ['a window that is switched on', { use_sliding_window: true, sliding_window: 128 }, 'MOA1309'],
    ['chunks', { model_type: 'llama', attention_chunk_size: 8192 }, 'MOA1308'],
    ['chunks by layer', { model_type: 'llama', layer_types: ['chunked_attention', 'full_attention'] }, 'MOA1308'],
  ])('%s: an error', (_, changes, code) => expect(read(matrices, { ...shape, ...changes }).codes).toEqual([code]));
});

describe('windows of whole pages', () => {
  test('a window that is not whole pages and cuts a head is an error with its layers', () => {
    const { value, text } = read(matrices, { ...gemma, sliding_window: 100 });
    expect(value).toBeUndefined();
    expect(text).toContain('MOA1307: the window of 100 tokens is not whole pages of 64, as rings are, and cuts heads of layer 0');
    expect(text).toContain('at most 64 tokens in layer 0');
    expect(text).not.toContain('--round-windows');
  });

  test('is fine where spans are always shorter', () => {
    const { value, text } = read(matrices, { ...mistral, sliding_window: 400 });
    expect(text).toBe('');
    expect(masksOf(value, 100000)[0]).toBe('0+384 0+320');
    expect(read(matrices, { ...mistral, sliding_window: 383 }).codes).toEqual(['MOA1307']);
    const growing = { alphas: [[128, 128], [128, 128]], betas: [[0, 0.0001], [0, 0]] };
    expect(read(growing, { ...mistral, sliding_window: 4000 }).text).toContain('cuts heads of layer 0');
  });

  test('DuoAttention and StreamingLLM', () => {
    const duo = { format: 'duo-attention', beside: { file: 'c', text: '{"sink_size": 64, "recent_size": 256}' }, options: { sparsity: 0.5 } } as const;
    const { value, text } = read('1\t0\n0\t1\n', mistral, { file: 'full_attention_heads.tsv', ...duo });
    expect(text).toBe('');
    expect(masksOf(value, 16384)).toEqual(['0+128 0+128', '0+128 0+128']);
    const alternating = read('1\t0\n0\t1\n', gemma, { file: 'full_attention_heads.tsv', ...duo });
    expect(masksOf(alternating.value, 16384)).toEqual(['0+128 0+128', '64+256 64+16320']);
    const streaming = read({ start_size: 64, recent_size: 1024 }, gemma);
    expect(masksOf(streaming.value, 16384)).toEqual(['0+128 0+128', '64+1024 64+1024']);
  });
});

describe('a plan made for a model', () => {
  test('remembers its windows, which are used without a config', () => {
    const { value, text } = read(ours([128, null]));
    expect(text).toBe('');
    expect(windowsOf(value)).toEqual([128, null]);
    expect(masksOf(value, 1024)).toEqual(['0+128 0+128', '64+320 64+256']);
  });

  test('is compiled with the config of that model', () => {
    expect(read(ours([128, null]), gemma).text).toBe('');
    expect(windowsOf(read(ours(), gemma).value)).toEqual([128, null]);
  });

  test.each<[string, unknown[], object, string]>([
    ['a full layer', [128, 128], gemma, 'a window of 128 tokens in layer 1, the model config has no window there'],
    ['another window', [192, null], gemma, 'a window of 192 tokens in layer 0, the model config has a window of 128 tokens there'],
    ['no windows', [null, null], gemma, 'no window in layer 0, the model config has a window of 128 tokens there'],
    ['another model', [128, null], { ...shape, model_type: 'llama' }, 'a window of 128 tokens in layer 0, the model config has no window there'],
  ])('not with another: %s', (_, windows, config, message) => {
    const { value, text, codes } = read(ours(windows), config);
    expect(value).toBeUndefined();
    expect(codes).toEqual(['MOA1220']);
    expect(text).toContain(`MOA1220: the plan was made for a model with ${message} (at model.windows)`);
  });

  test('windows of the plan are whole pages too, where they cut', () => {
    expect(read(ours([100, null])).text).toContain('MOA1307: the window of 100 tokens is not whole pages of 64, as rings are, and cuts heads of layer 0 (at model.windows)');
    expect(read(ours([500, null])).text).toBe('');
  });

  test.each<[string, unknown, string]>([
    ['no list', 128, 'MOA1104: expected an array with an integer or null for each layer, found a number (at model.windows)'],
    ['null', null, 'MOA1104: expected an array with an integer or null for each layer, found null (at model.windows)'],
    ['too few', [128], 'MOA1108: windows has 1 entries, the model has 2 layers (at model.windows)'],
    ['text', ['128', null], 'MOA1104: expected an integer or null, found a string (at model.windows[0])'],
    ['a fraction', [null, 0.5], 'MOA1104: expected an integer, found 0.5 (at model.windows[1])'],
    ['none', [0, null], 'MOA1106: 0 is not from 1 to'],
    ['negative', [-64, null], 'MOA1106: -64 is not from 1 to'],
    ['too long', [2 ** 24, null], 'MOA1106: 16777216 is not from 1 to 15728640'],
  ])('%s: an error', (_, windows, message) => {
    const { value, text } = read(ours(windows));
    expect(value).toBeUndefined();
    expect(text).toContain(message);
  });

  test('a list that is not finite is refused by the reader', () => {
    expect(read(JSON.stringify(ours(['x', null])).replace('"x"', '1e999')).value).toBeUndefined();
  });
});
