/** Plans in other formats: what rules come of them, and what is said of what does not fit. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { windowOf } from '../../src/ir/affine.ts';
import { canonicalizeRules } from '../../src/passes/canonicalizeRules.ts';
import { chooseFullHeads } from '../../src/plan/formats/chooseFullHeads.ts';
import type { PlanInput } from '../../src/plan/formats/inputFormat.ts';
import { readPlan } from '../../src/plan/readPlan.ts';
import type { ModelFlags } from '../../src/plan/resolveModelShape.ts';
import { collect } from './support.ts';

const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
const read = (plan: unknown, rest: Partial<PlanInput> = {}, flags: ModelFlags = {}, config?: unknown) =>
  collect((diagnostics) => readPlan({ text: text(plan), file: 'input', ...rest }, config === undefined ? undefined : { text: text(config), file: 'config.json' }, flags, diagnostics));

type Read = ReturnType<typeof read>['value'];
/** The rules of each layer as text, within the model's own windows: `N` for heads that attend everything, else tokens. */
const rulesOf = (plan: Read): string[] => canonicalizeRules(plan!.module).layers.map(({ heads }) => heads.map(({ rule }) => (rule.numerator === 1 && rule.alpha === 0 ? 'N' : String(rule.alpha))).join(' '));
const shape = { headDim: 64 };
const llama = { num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64 };

describe('DuoAttention', () => {
  const scores = '1.0e+00\t2.5e-01\n-1e-04\t9.9e-01\n';
  const sizes = { file: 'duo/config.json', text: '{"sink_size": 128, "recent_size": 256, "deploy_sink_size": null, "deploy_recent_size": null, "threshold": 0.5}' };
  const duo = (changes: Partial<PlanInput> = {}, flags: ModelFlags = { queryHeads: 4, ...shape }, config?: unknown) => read(scores, { beside: sizes, options: { sparsity: 0.5 }, ...changes }, flags, config);

  test('heads below the quantile stream, and all query heads of a KV head do as it does', () => {
    const { value, text: said } = duo();
    expect(said).toBe('');
    expect(rulesOf(value)).toEqual(['N N 384 384', '384 384 N N']);
    expect(value!.module).toMatchObject({ limits: { sink: 128, page: 64, minSpan: 192 }, shape: { layers: 2, queryHeads: 4, kvHeads: 2 } });
    expect(value!.module.layers[1]!.heads[2]!.origin).toEqual({ path: 'scores[1][1]' });
  });

  test('the model comes from its config too', () => {
    const { value, text: said } = duo({}, {}, llama);
    expect(said).toBe('');
    expect(value!.model.shape).toEqual({ layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64 });
  });

  test('options come before deployed sizes, and those before trained ones', () => {
    const sinkOf = (changes: Partial<PlanInput>): unknown => duo(changes).value!.module.limits.sink;
    const deployed = { file: 'c', text: '{"sink_size": 128, "recent_size": 256, "deploy_sink_size": 64, "deploy_recent_size": 512}' };
    expect(sinkOf({ beside: deployed })).toBe(64);
    expect(rulesOf(duo({ beside: deployed }).value)[0]).toBe('N N 576 576');
    expect(sinkOf({ beside: deployed, options: { sparsity: 0.5, sink: 192 } })).toBe(192);
    expect(rulesOf(duo({ beside: undefined, options: { sparsity: 0.5, sink: 0, recent: 64 } }).value)[0]).toBe('N N 64 64');
  });

  test('sizes that are not whole pages keep more, which is said', () => {
    const { value, codes, text: said } = duo({ options: { sparsity: 0.5, sink: 4, recent: 500 } });
    expect(codes).toEqual(['MOA1305']);
    expect(said).toContain('a sink of 4 and a window of 500 tokens are kept as 64 and 512');
    expect(value!.module.limits.sink).toBe(64);
    expect(rulesOf(value)[0]).toBe('N N 576 576');
  });

  test('ties at the threshold go by layer and head, which is said', () => {
    const { value, codes, text: said } = read('1\t1\n1\t1\n', { beside: sizes, options: { sparsity: 0.5 } }, { queryHeads: 2, ...shape });
    expect(codes).toEqual(['MOA1310']);
    expect(said).toContain('4 KV heads have the score 1 of the threshold; the first 2 of them');
    expect(rulesOf(value)).toEqual(['N N', '384 384']);
  });

  test.each<[string, string, Partial<PlanInput>, ModelFlags, string]>([
    ['no sparsity', scores, { options: {} }, { queryHeads: 4 }, 'MOA1304: scores alone do not say how many heads stream'],
    ['no model', scores, {}, {}, 'MOA1304: nothing says how many query heads the model has'],
    ['no config', scores, { beside: undefined }, { queryHeads: 4 }, 'MOA1304: there is no config.json beside the scores'],
    ['half of what the config says', scores, { beside: undefined, options: { sparsity: 0.5, sink: 64 } }, { queryHeads: 4 }, 'MOA1304: there is no config.json'],
    ['the config of a model', scores, { beside: { file: 'c', text: JSON.stringify(llama) } }, { queryHeads: 4 }, 'MOA1103: the key "sink_size" is missing'],
    ['a config that is a list', scores, { beside: { file: 'c', text: '[]' } }, { queryHeads: 4 }, 'MOA1101: a config is an object, this is an array'],
    ['a negative window', scores, { beside: { file: 'c', text: '{"sink_size": 4, "recent_size": -1}' } }, { queryHeads: 4 }, 'MOA1106: -1 is not from 1 to'],
    ['a window of text', scores, { beside: { file: 'c', text: '{"sink_size": 4, "recent_size": "256"}' } }, { queryHeads: 4 }, 'MOA1104: expected an integer, found a string'],
    ['a sparsity above 1', scores, { options: { sparsity: 1.5 } }, { queryHeads: 4 }, 'MOA1106: --sparsity 1.5 is not a number from 0 to 1'],
    ['a sparsity that is none', scores, { options: { sparsity: NaN } }, { queryHeads: 4 }, 'MOA1106: --sparsity NaN'],
    ['half a token', scores, { options: { sparsity: 0.5, sink: 0.5 } }, { queryHeads: 4 }, 'MOA1106: --sink 0.5 is not an integer'],
    ['an option of another format', scores, { options: { sparsity: 0.5, roundWindows: true } }, { queryHeads: 4 }, 'MOA1306: --round-windows is no option of duo-attention'],
    ['query heads that cannot be shared', scores, {}, { queryHeads: 5 }, 'MOA1205: 5 query heads cannot be shared out evenly among 2 KV heads'],
    ['another number of KV heads', scores, {}, { queryHeads: 4, kvHeads: 4 }, 'MOA1201: the plan has 2 KV heads, --kv-heads says 4'],
    ['another number of layers', scores, {}, { queryHeads: 4, layers: 3 }, 'MOA1201: the plan has 2 layers, --layers says 3'],
    ['too many query heads', scores, {}, { queryHeads: 1e9 }, 'MOA1106: --query-heads 1000000000 is not an integer from 1 to 1024'],
    ['a ragged row', '1\t0\n1\n', {}, { queryHeads: 4 }, 'input:2:1: error MOA1107: this row has 1 scores, the first has 2'],
    ['NaN', '1\tnan\n', {}, { queryHeads: 4 }, 'input:1:3: error MOA1303: "nan" is not a finite number (at scores[0][1])'],
    ['an infinite score', '1\t1e999\n', {}, { queryHeads: 4 }, 'MOA1303: "1e999" is not a finite number'],
    ['an empty cell', '1\t\t1\n', {}, { queryHeads: 4 }, 'MOA1303: "" is not a finite number'],
    ['a hexadecimal score', '1\t0x10\n', {}, { queryHeads: 4 }, 'MOA1303: "0x10" is not a finite number'],
    ['commas', '1,0\n', { format: 'duo-attention' }, { queryHeads: 4 }, 'MOA1303: "1,0" is not a finite number'],
    ['JSON', '{"sink_size": 128}', { format: 'duo-attention' }, { queryHeads: 4 }, 'MOA1303: this is JSON, not a table of scores'],
    ['nothing', '\n\n', { format: 'duo-attention' }, { queryHeads: 4 }, 'MOA1108: the table of scores is empty'],
    ['1025 layers', '0\t0\n'.repeat(1025), {}, { queryHeads: 4 }, 'MOA1108: 1025 layers'],
    ['1025 heads', Array(1025).fill('0').join('\t'), {}, { queryHeads: 4 }, 'MOA1302: 1025 KV heads'],
  ])('%s', (_, plan, changes, flags, message) => {
    const { value, text: said } = read(plan, { beside: sizes, options: { sparsity: 0.5 }, ...changes }, flags);
    expect(value).toBeUndefined();
    expect(said).toContain(message);
  });

  test('all that is wrong is said at once', () => {
    const { codes } = read('1\tx\n1\n', { beside: { file: 'c', text: '{"sink_size": -1}' }, options: {} });
    expect(codes).toEqual(['MOA1304', 'MOA1303', 'MOA1107', 'MOA1106', 'MOA1103']);
  });

  test('CRLF, spaces, blank lines and a last line without an end do no harm', () => {
    const { value, text: said } = read('\r\n1.0 \t 0\r\n\r\n.5\t+1.', { beside: sizes, options: { sparsity: 0.5 } }, { queryHeads: 2, ...shape });
    expect(said).toBe('');
    expect(rulesOf(value)).toEqual(['N 384', '384 N']);
  });
});

describe('the choice of full heads', () => {
  const scoresArbitrary = fc.array(fc.oneof(fc.constantFrom(0, 0.5, 1), fc.double({ min: -0.2, max: 1.2, noNaN: true })), { minLength: 1, maxLength: 48 });
  const sparsityArbitrary = fc.oneof(fc.constantFrom(0, 0.25, 0.5, 0.75, 1), fc.double({ min: 0, max: 1, noNaN: true }));
  const clip = (score: number): number => Math.min(1, Math.max(0, score));

  test('as many stream as lie below the quantile, never a head above one that is full, and ties go in order', () => {
    fc.assert(
      fc.property(scoresArbitrary, sparsityArbitrary, fc.constantFrom(1, 2, 3), (flat, sparsity, heads) => {
        const scores = Array.from({ length: Math.ceil(flat.length / heads) }, (_, layer) => Array.from({ length: heads }, (_head, head) => flat[layer * heads + head] ?? 0));
        const { full, tie } = chooseFullHeads(scores, sparsity);
        const all = scores.flat().map(clip);
        const chosen = full.flat();
        const n = all.length;
        const streaming = chosen.filter((isFull) => !isFull).length;
        expect(streaming).toBe(sparsity === 0 ? 0 : sparsity === 1 ? n : Math.ceil(sparsity * (n - 1)));
        const before = (a: number, b: number): boolean => all[a]! > all[b]! || (all[a] === all[b] && a < b);
        for (let a = 0; a < n; a += 1) for (let b = 0; b < n; b += 1) if (chosen[b] && before(a, b)) expect(chosen[a]).toBe(true);
        const lowest = Math.min(...all.filter((_, at) => chosen[at]));
        const cut = all.some((score, at) => !chosen[at] && score === lowest);
        expect(tie === undefined).toBe(!cut);
        if (tie !== undefined) expect(tie).toEqual({ score: lowest, heads: all.filter((score) => score === lowest).length, full: all.filter((score, at) => score === lowest && chosen[at]).length });
      }),
    );
  });

  test('without ties it is what the quantile says', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 2, maxLength: 48, comparator: (a, b) => Math.abs(a - b) < 1e-9 }), fc.double({ min: 0.01, max: 0.99, noNaN: true }), (scores, sparsity) => {
        const sorted = scores.toSorted((a, b) => a - b);
        const at = sparsity * (scores.length - 1);
        const below = Math.floor(at);
        const threshold = sorted[below]! + (at - below) * ((sorted[below + 1] ?? 0) - sorted[below]!);
        fc.pre(sorted.every((score) => score === sorted[below] || Math.abs(score - threshold) > 1e-12));
        expect(chooseFullHeads([scores], sparsity).full[0]).toEqual(scores.map((score) => score >= threshold));
      }),
    );
  });
});

describe('StreamingLLM', () => {
  const flags: ModelFlags = { layers: 2, queryHeads: 2, kvHeads: 1, ...shape };

  test('every head has one rule', () => {
    const { value, codes } = read({ start_size: 64, recent_size: 512 }, {}, flags);
    expect(codes).toEqual(['MOA1311']);
    expect(rulesOf(value)).toEqual(['576 576', '576 576']);
    expect(value!.module.limits).toEqual({ sink: 64, page: 64, minSpan: 128 });
  });

  test('the usual four tokens become a page, and the window keeps its length', () => {
    const { value, codes } = read({ start_size: 4, recent_size: 512 }, {}, {}, llama);
    expect(codes).toEqual(['MOA1311', 'MOA1305']);
    const { layers, limits } = value!.module;
    expect(windowOf(layers[0]!.heads[0]!.rule, limits, 8192)).toBe(512);
  });

  test('options come before the file, or stand for it', () => {
    expect(read({ start_size: 64, recent_size: 512 }, { options: { recent: 128 } }, flags).value!.module.layers[0]!.heads[0]!.rule.alpha).toBe(192);
    expect(read({ start_size: 0 }, { options: { recent: 64 } }, flags).value!.module.limits).toEqual({ sink: 0, page: 64, minSpan: 64 });
  });

  test.each<[string, unknown, ModelFlags, string]>([
    ['no model', { start_size: 64, recent_size: 512 }, {}, 'MOA1304: nothing says how many layers the model has'],
    ['no window', { start_size: 64 }, flags, 'MOA1103: the key "recent_size" is missing'],
    ['a misspelt key', { start_size: 64, recent_sizes: 512 }, flags, 'did you mean "recent_size"?'],
    ['a key of none', { start_size: 64, recent_size: 512, enable_pos_shift: true }, flags, 'MOA1102: unknown key "enable_pos_shift"'],
    ['a window of nothing', { start_size: 64, recent_size: 0 }, flags, 'MOA1106: 0 is not from 1 to'],
    ['too long a sink', { start_size: 2 ** 20, recent_size: 64 }, flags, 'MOA1106: 1048576 is not from 0 to'],
    ['half a token', { start_size: 0.5, recent_size: 64 }, flags, 'MOA1104: expected an integer, found 0.5'],
  ])('%s', (_, plan, given, message) => {
    const { value, text: said } = read(plan, {}, given);
    expect(value).toBeUndefined();
    expect(said).toContain(message);
  });
});

describe('Hugging Face configs', () => {
  const config = (changes: object): object => ({ ...llama, num_hidden_layers: 6, model_type: 'mistral', ...changes });
  const windows = (changes: object, options = {}): string => rulesOf(read(config(changes), { options }).value).map((rules) => rules.split(' ')[0]!).join(' ');

  test.each<[string, object, string]>([
    ['llama', { model_type: 'llama' }, 'N N N N N N'],
    ['mistral', { sliding_window: 4096 }, '4096 4096 4096 4096 4096 4096'],
    ['mistral of newer versions', { sliding_window: null }, 'N N N N N N'],
    ['qwen2', { model_type: 'qwen2', use_sliding_window: true, sliding_window: 512, max_window_layers: 4 }, 'N N N N 512 512'],
    ['qwen2 as it is used', { model_type: 'qwen2', use_sliding_window: false, sliding_window: 100, max_window_layers: 4 }, 'N N N N N N'],
    ['qwen2_moe, which writes 0', { model_type: 'qwen2_moe', use_sliding_window: false, sliding_window: 0 }, 'N N N N N N'],
    ['qwen2_moe', { model_type: 'qwen2_moe', use_sliding_window: true, sliding_window: 128, max_window_layers: 3 }, '128 N 128 N N N'],
    ['gemma2', { model_type: 'gemma2', sliding_window: 4096 }, '4096 N 4096 N 4096 N'],
    ['gemma3', { model_type: 'gemma3_text', sliding_window: 512 }, '512 512 512 512 512 N'],
    ['gemma3 with a pattern', { model_type: 'gemma3_text', sliding_window: 512, sliding_window_pattern: 3 }, '512 512 N 512 512 N'],
    ['gemma3 with a pattern of older versions', { model_type: 'gemma3_text', sliding_window: 512, _sliding_window_pattern: 2 }, '512 N 512 N 512 N'],
    ['gemma3 of full layers', { model_type: 'gemma3_text', sliding_window: 512, sliding_window_pattern: 1 }, 'N N N N N N'],
    ['gpt-oss', { model_type: 'gpt_oss', sliding_window: 128 }, '128 N 128 N 128 N'],
    ['cohere2', { model_type: 'cohere2', sliding_window: 4096 }, '4096 4096 4096 N 4096 4096'],
    ['layer_types before the rule', { sliding_window: 64, layer_types: ['full_attention', 'sliding_attention', 'attention', 'full_attention', 'full_attention', 'sliding_attention'] }, 'N 64 N N N 64'],
    ['layer_types of a type without a rule', { model_type: 'new', sliding_window: 64, layer_types: Array(6).fill('sliding_attention') }, '64 64 64 64 64 64'],
    ['a window that no layer has need not be whole pages', { sliding_window: 100, layer_types: Array(6).fill('full_attention') }, 'N N N N N N'],
  ])('%s', (_, changes, expected) => expect(windows(changes)).toBe(expected));

  test('there is no sink, and the shortest span is no longer than the window', () => {
    const limitsFor = (window: number | null): unknown => read(config({ sliding_window: window })).value!.module.limits;
    expect(limitsFor(4096)).toEqual({ sink: 0, page: 64, minSpan: 128 });
    expect(limitsFor(64)).toEqual({ sink: 0, page: 64, minSpan: 64 });
    expect(limitsFor(null)).toEqual({ sink: 0, page: 64, minSpan: 128 });
  });

  test('the config is that of the model too', () => {
    const { value, text: said } = read(config({ sliding_window: 64, dtype: 'float16', rope_theta: 10000, _name_or_path: 'org/m' }));
    expect(said).toBe('');
    expect(value!.model).toMatchObject({ shape: { layers: 6, queryHeads: 4, kvHeads: 2, headDim: 64 }, elementType: 'fp16', name: 'org/m', rope: { theta: 10000, scaling: 'none' } });
    expect(value!.module.layers[3]!.heads[1]!.origin).toEqual({ path: 'sliding_window' });
    expect(read(config({ sliding_window: 64 }), {}, {}, config({ sliding_window: 64, num_key_value_heads: 4 })).codes).toEqual(['MOA1202']);
    expect(read(config({ sliding_window: 64 }), {}, { layers: 5 }).codes).toEqual(['MOA1201']);
  });

  test('Gemma 2 and 3, whose heads have 256 elements', () => {
    const gemma2 = { model_type: 'gemma2', num_hidden_layers: 26, num_attention_heads: 8, num_key_value_heads: 4, hidden_size: 2304, head_dim: 256, sliding_window: 4096, attn_logit_softcapping: 50, query_pre_attn_scalar: 256, final_logit_softcapping: 30, torch_dtype: 'bfloat16' };
    const { value: second, text: saidOfSecond } = read(gemma2);
    expect(saidOfSecond).toBe('');
    expect(second!.model).toMatchObject({ shape: { layers: 26, queryHeads: 8, kvHeads: 4, headDim: 256 }, elementType: 'bf16', attention: { softCap: 50, learnedSinks: false, scale: 1 / 16 } });
    expect(rulesOf(second).slice(0, 2)).toEqual([Array(8).fill('4096').join(' '), Array(8).fill('N').join(' ')]);
    const gemma3 = { model_type: 'gemma3_text', num_hidden_layers: 26, num_attention_heads: 4, num_key_value_heads: 1, hidden_size: 1152, head_dim: 256, sliding_window: 512, sliding_window_pattern: 6, query_pre_attn_scalar: 256, rope_theta: 1000000, torch_dtype: 'bfloat16' };
    const { value: third, text: saidOfThird } = read(gemma3);
    expect(saidOfThird).toBe('');
    expect(third!.model).toMatchObject({ shape: { layers: 26, queryHeads: 4, kvHeads: 1, headDim: 256 }, attention: { softCap: 0, learnedSinks: false, scale: 1 / 16 } });
    expect(rulesOf(third).slice(4, 7)).toEqual(['512 512 512 512', 'N N N N', '512 512 512 512']);
  });

  test('the text_config of a multimodal model', () => {
    const nested = { ...llama, num_hidden_layers: 6, model_type: 'gemma3_text', sliding_window: 512 };
    const { value, text: said } = read({ model_type: 'gemma3', text_config: nested, vision_config: { num_hidden_layers: 27 } });
    expect(said).toBe('');
    expect(rulesOf(value).map((rules) => rules.split(' ')[0])).toEqual(['512', '512', '512', '512', '512', 'N']);
    expect(value!.module.layers[0]!.heads[0]!.origin).toEqual({ path: 'text_config.sliding_window' });
    const { model_type: _type, ...nameless } = nested;
    expect(rulesOf(read({ model_type: 'gemma3', text_config: nameless }).value)).toEqual(rulesOf(value));
  });

  test('a window of no whole pages is an error, unless it may be longer', () => {
    const { value, text: said } = read(config({ sliding_window: 2047 }));
    expect(value).toBeUndefined();
    expect(said).toContain('MOA1307: the window of 2047 tokens is not whole pages of 64, as rings are, and cuts heads of layers 0..5 (at sliding_window)');
    const rounded = read(config({ sliding_window: 2047 }), { options: { roundWindows: true } });
    expect(rounded.codes).toEqual(['MOA1305']);
    expect(rulesOf(rounded.value)[0]).toMatch(/^2048 /);
  });

  test('all that is wrong is said at once', () => {
    const { codes } = read(config({ num_attention_heads: 0, sliding_window: null, is_encoder_decoder: true, layer_types: ['conv', 'full_attention', 'conv', 'moe', 'full_attention', 'full_attention'] }));
    expect(codes).toEqual(['MOA1106', 'MOA1308', 'MOA1308', 'MOA1308', 'MOA1308']);
  });

  test('keys of rules do not matter where there are layer_types', () => {
    expect(read(config({ model_type: 'exaone4', sliding_window: 64, sliding_window_pattern: 'LLLG', max_window_layers: 'x', layer_types: Array(6).fill('sliding_attention') })).text).toBe('');
  });

  test('how the model makes scores is read with it', () => {
    const attentionOf = (changes: object): unknown => read(config({ layer_types: Array(6).fill('full_attention'), ...changes })).value!.model.attention;
    expect(attentionOf({ attn_logit_softcapping: 50, query_pre_attn_scalar: 256 })).toEqual({ softCap: 50, learnedSinks: false, scale: 1 / 16 });
    expect(attentionOf({ model_type: 'gpt_oss' })).toEqual({ softCap: 0, learnedSinks: true, scale: 1 / 8 });
    expect(attentionOf({ model_type: 'granite', attention_multiplier: 0.0078125 })).toEqual({ softCap: 0, learnedSinks: false, scale: 0.0078125 });
    expect(attentionOf({ attn_logit_softcapping: null })).toEqual({ softCap: 0, learnedSinks: false, scale: 1 / 8 });
  });

  test('learned sinks that the config does not say are warned of', () => {
    expect(read(config({ model_type: 'granite_swa', sliding_window: 128, layer_types: Array(6).fill('sliding_attention') })).codes).toEqual(['MOA1312']);
  });

  test.each<[string, object, string]>([
    ['chunks', { layer_types: ['full_attention', 'chunked_attention', 'linear_attention', 'full_attention', 'full_attention', 'full_attention'] }, 'MOA1308: layer 1 is "chunked_attention"; a plan has full_attention and sliding_attention (at layer_types[1])'],
    ['a second bad layer', { layer_types: ['full_attention', 'chunked_attention', 'linear_attention', 'full_attention', 'full_attention', 'full_attention'] }, '(at layer_types[2])'],
    ['chunks of all layers', { model_type: 'llama4_text', attention_chunk_size: 8192 }, 'MOA1308: all layers attend in chunks'],
    ['too few layer types', { sliding_window: 64, layer_types: ['full_attention'] }, 'MOA1108: layer_types has 1 layers, the model has 6'],
    ['layer types that are none', { layer_types: 'full_attention' }, 'MOA1104: expected an array with a name for each layer'],
    ['a layer type that is a number', { layer_types: [0, 0, 0, 0, 0, 0] }, 'MOA1104: expected a name, found a number (at layer_types[0])'],
    ['sliding layers without a window', { model_type: 'gemma2', sliding_window: null }, 'MOA1103: the key "sliding_window" is missing'],
    ['a window that is not said to be none', {}, 'MOA1103: the key "sliding_window" is missing'],
    ['windows that are switched off', { use_sliding_window: false, sliding_window: 64, layer_types: Array(6).fill('sliding_attention') }, 'MOA1308: layer 0 has a sliding window, and use_sliding_window is false'],
    ['half of what qwen2 needs', { model_type: 'qwen2', use_sliding_window: true, sliding_window: 64 }, 'MOA1103: the key "max_window_layers" is missing'],
    ['a switch that is no boolean', { model_type: 'qwen2', use_sliding_window: 1 }, 'MOA1104: expected true or false, found a number'],
    ['a negative window', { sliding_window: -1 }, 'MOA1106: -1 is not from 1 to'],
    ['windows by layer', { sliding_window: [64, 128] }, 'MOA1104: expected an integer, found an array'],
    ['a type without a rule', { model_type: 'jamba' }, 'MOA1309: the config has no layer_types, and there is no rule for the model type "jamba"'],
    ['no type', { model_type: null }, 'MOA1309: the config has no layer_types, and the config names no model_type'],
    ['a window of a type without one', { model_type: 'llama', sliding_window: 64 }, 'MOA1309: models of the type "llama" have no sliding window, this one has'],
    ['an encoder', { is_encoder_decoder: true, sliding_window: null }, 'MOA1308: the model has an encoder'],
    ['attention to both sides', { use_bidirectional_attention: true, sliding_window: null }, 'MOA1308: the attention of the model is not causal'],
    ['layers that share keys', { num_kv_shared_layers: 2, sliding_window: null }, 'MOA1308: layers of the model share the keys of others'],
    ['no heads', { num_attention_heads: null, sliding_window: null }, 'MOA1103: the key "num_attention_heads" is missing'],
    ['a head dimension that the kernels do not have', { head_dim: 96, sliding_window: null }, 'MOA1206: headDim 96'],
    ['a sparsity', { sliding_window: null }, 'MOA1306: --sparsity is no option of hf-config'],
  ])('%s', (what, changes, message) => {
    const { value, text: said } = read(config(changes), { options: what === 'a sparsity' ? { sparsity: 0.5 } : {} });
    expect(value).toBeUndefined();
    expect(said).toContain(message);
  });
});

describe('which format it is', () => {
  const hidden = { num_hidden_layers: 2 };
  test.each<[string, unknown, string]>([
    ['two formats', { start_size: 4, ...hidden }, 'MOA1301: the input could be of the formats streaming-llm (it has "start_size") and hf-config (it has "num_hidden_layers")'],
    ['a config with a version', { version: 2, ...hidden }, 'MOA1301: the input could be of the formats moa-plan (it has "version") and hf-config'],
    ['the config of DuoAttention', { sink_size: 128, recent_size: 256 }, 'MOA1304: this is the config of DuoAttention'],
    ['MInference', [{ 0: ['vertical_and_slash', 1000, 6096, 0.5], 1: ['stream_llm', 100, 800, 0.9] }, { 0: ['vertical_and_slash', 30, 800, 0.5], 1: ['block_sparse', 1, 2, 0.1] }], 'MOA1321: a pattern of MInference for 4 heads: 2 "vertical_and_slash", 1 "stream_llm", 1 "block_sparse"'],
    ['the static heads of MInference', [{ 0: ['stream_llm', 100, 800, 0.9] }, { 3: ['stream_llm', 100, 800, 0.9] }], 'static are (layer/head) 0/0, 1/3;'],
    ['MInference without any', [{ 0: ['vertical_and_slash', 1000, 6096, 0.5] }], 'no head of it is static'],
    ['PyramidKV', { max_capacity_prompt: 512, window_size: 8, beta: 20 }, 'MOA1322: "max_capacity_prompt" is an argument of PyramidKV, SnapKV or the like'],
    ['SnapKV', { window_size: 32, kernel_size: 5, pooling: 'avgpool' }, 'MOA1322'],
    ['Quest', { page_size: 16, token_budget: 1024 }, 'MOA1323: "token_budget" is an argument of Quest or the like'],
    ['HeadKV', { '0-0': [0.1, 0.2], '31-17': [0.5] }, 'MOA1324: scores of HeadKV for 2 heads'],
    ['nothing of any format', { a: 1 }, 'MOA1102: unknown key "a"'],
    ['a misspelt plan', { alpha: [[0]], beta: [[0]] }, 'did you mean "alphas"?'],
    ['a list', [1, 2], 'MOA1101: a plan is an object, this is an array'],
  ])('%s', (_, plan, message) => {
    const { value, text: said, errors } = read(plan);
    expect(value).toBeUndefined();
    expect(errors).toBeGreaterThan(0);
    expect(said).toContain(message);
  });

  test('a format that is named decides', () => {
    const both = { start_size: 64, recent_size: 64, model_type: 'llama' };
    expect(read(both, { format: 'streaming-llm' }, { layers: 1, queryHeads: 1 }).codes).toContain('MOA1102');
    expect(read({ ...llama, model_type: 'llama', version: 2 }, { format: 'hf-config' }).text).toBe('');
    expect(read({ alphas: [[0]], betas: [[1]] }, { format: 'moa-plan' }).codes).toContain('MOA1103');
    expect(read({ format: 'moa-plan', alphas: [[0]], betas: [[1]] }, { format: 'moa' }).codes).toEqual(['MOA1102']);
    expect(read([], { format: 'hf-config' }).codes).toEqual(['MOA1101']);
    expect(read({ alphas: [[0]], betas: [[1]] }, { options: { sink: 64 } }).codes).toEqual(['MOA1306']);
  });

  test('scores are known by their name, or by tabs between numbers', () => {
    const rest = { options: { sparsity: 0.5, sink: 64, recent: 64 } };
    expect(read('1\n0\n', { ...rest, file: 'a/full_attention_heads.tsv' }, { queryHeads: 1, ...shape }).text).toBe('');
    expect(read('1\n0\n', rest, { queryHeads: 1, ...shape }).codes).toEqual(['MOA1012']);
    expect(read('-1e-4\t1\n', rest, { queryHeads: 2, ...shape }).text).toBe('');
  });
});
