/**
 * RoPE of model configs: against vectors of transformers, what is refused, and which layers have
 * which.
 */
import { describe, expect, test } from 'vitest';
import { ropeFrequencies } from '../../src/ir/ropeFrequencies.ts';
import type { ModelRope } from '../../src/ir/rope.ts';
import { parseModelConfig } from '../../src/plan/parseModelConfig.ts';
import { withoutNulls } from '../../src/plan/readFields.ts';
import { readRope } from '../../src/plan/readRope.ts';
import { Report } from '../../src/plan/report.ts';
import { DiagnosticList, formatDiagnostic } from '../../src/util/diagnostics.ts';
import { readJson, type JsonObject } from '../../src/util/jsonReader.ts';
import { ropeVectors } from './ropeVectors.ts';

const { cases } = ropeVectors;

/**
 * What the reader of RoPE finds in a config, or the codes and texts of what is wrong with it. Other
 * parts of a config are read elsewhere; the types of layers are given, or those of the whole reader.
 */
function read(
  config: object,
  typesKnown = true,
): {
  readonly rope: ModelRope | null;
  readonly problems: readonly string[];
} {
  const given = config as Readonly<Record<string, unknown>>;
  const text = JSON.stringify(config);
  const windows = parseModelConfig(text, 'config.json', new DiagnosticList())?.windows;
  const byReader = windows?.map((window) => (window === null ? 'full_attention' : 'sliding_attention'));
  const diagnostics = new DiagnosticList();
  const document = readJson(text, 'config.json', diagnostics)!;
  const node = withoutNulls(document.root as JsonObject);
  const rope = readRope(
    { node, path: '', report: new Report(document, diagnostics) },
    {
      layers: given['num_hidden_layers'] as number,
      headDim: given['head_dim'] as number,
      modelType: given['model_type'] as string | undefined,
      layerTypes: typesKnown ? ((given['layer_types'] as string[] | undefined) ?? byReader) : undefined,
    },
  );
  const problems = diagnostics
    .toArray()
    .map((one) => `${one.code} ${one.path ?? ''}: ${one.message}\n${formatDiagnostic(one)}`);
  return { rope: rope ?? null, problems };
}

/** Distance in units of the last place of binary32. */
function ulps(a: number, b: number): number {
  const bits = new Int32Array(Float32Array.of(a, b).buffer);
  return Math.abs(bits[0]! - bits[1]!);
}

describe('frequencies and attention factor are those of transformers', () => {
  test.each(cases.map((one) => [`${one.name}, ${one.lengthBound} tokens`, one] as const))(
    '%s',
    (_, { config, lengthBound, inverseFrequencies, attentionFactor }) => {
      const { rope, problems } = read(config);
      expect(problems).toEqual([]);
      expect(rope).toMatchObject({ layers: [0, 0] });
      const made = ropeFrequencies(rope!.ropes[0]!, lengthBound);
      expect(made.inverseFrequencies.length).toBe(inverseFrequencies.length);
      made.inverseFrequencies.forEach((value, pair) =>
        expect(
          ulps(value, inverseFrequencies[pair]!),
          `pair ${pair}: ${value}, not ${inverseFrequencies[pair]}`,
        ).toBeLessThanOrEqual(1),
      );
      expect(made.attentionFactor).toBeCloseTo(attentionFactor, 12);
    },
  );
});

const shape = {
  num_hidden_layers: 6,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 128,
  hidden_size: 512,
  max_position_embeddings: 8192,
};
const llama = { model_type: 'llama', ...shape, rope_theta: 10000 };
const scaled = (rope_scaling: object): object => ({ ...llama, rope_scaling });

describe('layers', () => {
  const slidingOf = (pattern: string): string[] =>
    [...pattern].map((letter) => (letter === 's' ? 'sliding_attention' : 'full_attention'));

  test.each<readonly [string, object, readonly (number | null)[], readonly object[]]>([
    [
      'Gemma 3, older keys',
      {
        model_type: 'gemma3_text',
        ...shape,
        rope_theta: 1e6,
        rope_local_base_freq: 20000,
        rope_scaling: { rope_type: 'linear', factor: 8 },
        sliding_window: 512,
        sliding_window_pattern: 3,
      },
      [0, 0, 1, 0, 0, 1],
      [
        { theta: 20000, scaling: { type: 'default' } },
        { theta: 1e6, scaling: { type: 'linear', factor: 8 } },
      ],
    ],
    [
      'Gemma 3, defaults',
      { model_type: 'gemma3_text', ...shape, sliding_window: 512 },
      [0, 0, 0, 0, 0, 1],
      [{ theta: 10000 }, { theta: 1e6 }],
    ],
    [
      'Gemma 3, by layer type',
      {
        model_type: 'gemma3_text',
        ...shape,
        sliding_window: 512,
        layer_types: slidingOf('sfsfss'),
        rope_parameters: {
          sliding_attention: { rope_type: 'default', rope_theta: 10000 },
          full_attention: { rope_type: 'linear', factor: 8, rope_theta: 1e6 },
        },
      },
      [0, 1, 0, 1, 0, 0],
      [{ theta: 10000 }, { theta: 1e6, scaling: { type: 'linear', factor: 8 } }],
    ],
    [
      'OLMo 3 scales layers without a window',
      {
        model_type: 'olmo3',
        ...shape,
        rope_theta: 500000,
        sliding_window: 512,
        layer_types: slidingOf('sssfsf'),
        rope_scaling: {
          rope_type: 'yarn',
          factor: 8,
          original_max_position_embeddings: 8192,
          attention_factor: 1.2,
        },
      },
      [0, 0, 0, 1, 0, 1],
      [{ scaling: { type: 'default' } }, { scaling: { type: 'yarn', attentionFactor: 1.2 } }],
    ],
    [
      'Cohere 2 turns layers with a window',
      {
        model_type: 'cohere2',
        ...shape,
        rope_theta: 50000,
        sliding_window: 512,
        layer_types: slidingOf('sssfss'),
      },
      [0, 0, 0, null, 0, 0],
      [{ pairing: 'interleaved' }],
    ],
    [
      'EXAONE 4 turns layers with a window',
      {
        model_type: 'exaone4',
        ...shape,
        rope_theta: 1e6,
        sliding_window: 512,
        layer_types: slidingOf('sssfss'),
      },
      [0, 0, 0, null, 0, 0],
      [{ pairing: 'halves' }],
    ],
    [
      'EXAONE 4 without windows turns all',
      {
        model_type: 'exaone4',
        ...shape,
        rope_theta: 1e6,
        sliding_window: null,
        layer_types: slidingOf('ffffff'),
      },
      [0, 0, 0, 0, 0, 0],
      [{}],
    ],
    [
      'SmolLM 3, listed',
      { model_type: 'smollm3', ...shape, rope_theta: 2e6, no_rope_layers: [1, 0, 1, 1, 0, 1] },
      [0, null, 0, 0, null, 0],
      [{ theta: 2e6 }],
    ],
    [
      'SmolLM 3, by its interval',
      { model_type: 'smollm3', ...shape, no_rope_layer_interval: 3 },
      [0, 0, null, 0, 0, null],
      [{ theta: 2e6 }],
    ],
    [
      'SmolLM 3, by default',
      { model_type: 'smollm3', ...shape, no_rope_layers: null },
      [0, 0, 0, null, 0, 0],
      [{ theta: 2e6 }],
    ],
    [
      'rope_parameters of null are layers without',
      {
        ...llama,
        layer_types: slidingOf('sfsfsf'),
        sliding_window: 64,
        rope_parameters: {
          sliding_attention: { rope_type: 'default', rope_theta: 5000 },
          full_attention: null,
        },
      },
      [0, null, 0, null, 0, null],
      [{ theta: 5000 }],
    ],
    [
      'equal parameters are one rotation',
      {
        ...llama,
        layer_types: slidingOf('sfsfsf'),
        sliding_window: 64,
        rope_parameters: {
          sliding_attention: { rope_type: 'default' },
          full_attention: { rope_type: 'default' },
        },
      },
      [0, 0, 0, 0, 0, 0],
      [{ theta: 10000 }],
    ],
    [
      'gptj',
      { model_type: 'gptj', ...shape, rotary_dim: 64 },
      [0, 0, 0, 0, 0, 0],
      [{ theta: 10000, rotaryDim: 64, pairing: 'interleaved' }],
    ],
  ])('%s', (_, config, layers, ropes) => {
    const { rope, problems } = read(config);
    expect(problems).toEqual([]);
    expect(rope!.layers).toEqual(layers);
    expect(rope!.ropes).toMatchObject(ropes as object[]);
  });

  test('without RoPE there is none', () => {
    expect(read({ model_type: 'gpt2', ...shape })).toEqual({ rope: null, problems: [] });
    expect(read({ model_type: 'granite', position_embedding_type: 'nope', ...shape })).toEqual({
      rope: null,
      problems: [],
    });
  });
});

describe('what is not understood is named', () => {
  const longrope = {
    rope_type: 'longrope',
    short_factor: Array(64).fill(1),
    long_factor: Array(64).fill(2),
    original_max_position_embeddings: 4096,
  };
  const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 4096 };
  const llama3 = {
    rope_type: 'llama3',
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  const without = (from: object, key: string): object =>
    Object.fromEntries(Object.entries(from).filter(([name]) => name !== key));

  test.each<readonly [object, RegExp]>([
    [
      scaled({ type: 'mrope', mrope_section: [16, 24, 24] }),
      /MOA1401 rope_scaling.mrope_section: .*mrope/,
    ],
    [scaled({ type: 'mrope' }), /MOA1401 rope_scaling.type: .*"mrope"/],
    [scaled({ rope_type: 'default', mrope_section: [16, 24, 24] }), /MOA1401.*mrope/],
    [
      scaled({ rope_type: 'proportional', factor: 2 }),
      /MOA1401 rope_scaling.rope_type: .*"proportional"/,
    ],
    [scaled({ rope_type: 'toString' }), /MOA1401.*"toString"/],
    [scaled({ type: 'su', ...without(longrope, 'rope_type') }), /MOA1401.*"su"/],
    [scaled({ factor: 2 }), /MOA1103 rope_scaling: the key "rope_type" is missing/],
    [scaled({ rope_type: 'linear' }), /MOA1103 rope_scaling: the key "factor" is missing/],
    [scaled({ rope_type: 'linear', factor: 2, alpha: 1000 }), /MOA1102 rope_scaling.alpha/],
    [scaled({ rope_type: 'default', factor: 2 }), /MOA1102 rope_scaling.factor/],
    [
      scaled({ rope_type: 'linear', type: 'dynamic', factor: 2 }),
      /MOA1403 rope_scaling.type: rope_type is "linear", type is "dynamic"/,
    ],
    [scaled({ ...yarn, finetuned: true }), /MOA1102 rope_scaling.finetuned/],
    [
      scaled(without(yarn, 'original_max_position_embeddings')),
      /MOA1103.*"original_max_position_embeddings"/,
    ],
    [scaled(without(llama3, 'low_freq_factor')), /MOA1103.*"low_freq_factor"/],
    [
      scaled(without(llama3, 'original_max_position_embeddings')),
      /MOA1103.*"original_max_position_embeddings"/,
    ],
    [
      scaled({ ...llama3, high_freq_factor: 1 }),
      /MOA1106.*high_freq_factor 1 is not over low_freq_factor 1/,
    ],
    [scaled({ ...yarn, factor: 0.5 }), /MOA1106.*0.5 is not from 1/],
    [scaled({ ...yarn, beta_fast: 1, beta_slow: 2 }), /MOA1106.*beta_fast 1 is under beta_slow 2/],
    [
      scaled({ ...longrope, short_factor: Array(48).fill(1) }),
      /MOA1106.*short_factor has 48 numbers.*64 are needed/,
    ],
    [scaled({ ...longrope, long_factor: [...Array(63).fill(1), 'x'] }), /MOA1104.*a string/],
    [scaled({ ...longrope, short_mscale: 1.2 }), /MOA1102 rope_scaling.short_mscale/],
    [without(scaled(longrope), 'max_position_embeddings'), /MOA1103.*"max_position_embeddings"/],
    [
      without(scaled({ rope_type: 'dynamic', factor: 2 }), 'max_position_embeddings'),
      /MOA1103.*"max_position_embeddings"/,
    ],
    [
      { ...scaled(yarn), rope_parameters: yarn },
      /MOA1403 rope_scaling: the config has rope_parameters and rope_scaling/,
    ],
    [
      { ...llama, rope_parameters: { rope_theta: 5000, rope_type: 'default' } },
      /MOA1403 rope_theta: rope_theta is 10000, rope_parameters.rope_theta is 5000/,
    ],
    [
      { ...llama, original_max_position_embeddings: 2048, rope_scaling: yarn },
      /MOA1403.*4096 here and 2048 beside it/,
    ],
    [{ ...llama, rope_local_base_freq: 10000 }, /MOA1102 rope_local_base_freq/],
    [{ ...llama, no_rope_layers: [1, 1, 1, 0, 1, 1] }, /MOA1102 no_rope_layers/],
    [
      { ...llama, partial_rotary_factor: 0.1 },
      /MOA1404 .*12 of 128 elements of a head turn; kernels turn a multiple of 16/,
    ],
    [{ ...llama, model_type: 'new' }, /MOA1402 model_type: .*model type "new"/],
    [
      { ...llama, model_type: 'cohere', rope_theta: null },
      /MOA1103 : the key "rope_theta" is missing/,
    ],
    [{ model_type: 'falcon', ...shape, alibi: true }, /MOA1401 alibi: .*ALiBi/],
    [{ model_type: 'smollm3', ...shape, no_rope_layers: [1, 0] }, /MOA1108 no_rope_layers/],
    [
      { model_type: 'smollm3', ...shape, no_rope_layers: [1, 0, 2, 1, 1, 1] },
      /MOA1106: this is 0, .*no_rope_layers\[2\]/,
    ],
    [
      {
        ...llama,
        layer_types: Array(6).fill('full_attention'),
        rope_parameters: {
          full_attention: { rope_type: 'default' },
          global: { rope_type: 'default' },
        },
      },
      /MOA1102 rope_parameters.global/,
    ],
  ])('%j', (config, expected) => {
    const { rope, problems } = read(config);
    expect(rope).toBeNull();
    expect(problems.join('\n')).toMatch(expected);
  });

  test('parameters by layer type, where the types of layers are not known', () => {
    const rope_parameters = { full_attention: { rope_type: 'default' } };
    const { rope, problems } = read({ ...llama, model_type: 'seed_oss', rope_parameters }, false);
    expect(rope).toBeNull();
    expect(problems.join('\n')).toMatch(/MOA1103.*"layer_types" is missing/);
  });
});
