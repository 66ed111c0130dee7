/**
 * What a Hugging Face config does not say of RoPE, by model type: facts of the configs and models
 * of transformers 5.24 (`default_theta`, `partial_rotary_factor`, `apply_rotary_pos_emb`) and,
 * where versions differ, of none.
 */
import type { RopePairing } from '../ir/rope.ts';

/** What the reader of RoPE has to know of the model besides its config's own keys. */
export interface RopeModel {
  readonly layers: number;
  readonly headDim: number;
  /** The type of the text model, else that of the file. */
  readonly modelType: string | undefined;
  /**
   * `layer_types`, or what stands for them, where they are known: `sliding_attention`,
   * `full_attention`.
   */
  readonly layerTypes?: readonly string[] | undefined;
}

export interface RopeFamily {
  readonly pairing: RopePairing;
  /** Theta where the config says none; absent where versions of transformers differ. */
  readonly theta?: number;
  /** The part of a head that turns where the config does not say; 1 by default. */
  readonly partial?: number;
  /** Keys of older configs that stand for others: theta, and the part of a head or its elements. */
  readonly keys?: {
    readonly theta?: string;
    readonly partial?: string;
    readonly rotaryDim?: string;
  };
  /** Which layers have another rotation than the rest, or none. */
  readonly layers?: LayerRopes;
  /** Names of variants that mean others in this family. */
  readonly aliases?: Readonly<Record<string, string>>;
}

/**
 * `localTheta`: layers with a window turn by a theta of their own, without scaling
 * (`rope_local_base_freq`); the number is its default.
 * `plainWindows`: layers with a window have theta's own frequencies, the others those of
 * `rope_scaling`.
 * `windowsOnly`: layers without a window have no RoPE, where the model has windows at all;
 * `always`: also where it has none.
 * `listed`: `no_rope_layers`, 1 for a layer with RoPE, else all but every n-th layer
 * (`no_rope_layer_interval`, or the number).
 */
export type LayerRopes =
  | { readonly kind: 'localTheta'; readonly theta: number }
  | { readonly kind: 'plainWindows' }
  | { readonly kind: 'windowsOnly'; readonly always: boolean }
  | { readonly kind: 'listed'; readonly interval: number };

const families = (facts: RopeFamily, ...types: readonly string[]): [string, RopeFamily][] =>
  types.map((type) => [type, facts]);

const halves = { pairing: 'halves' } as const;
const interleaved = { pairing: 'interleaved' } as const;

export const ROPE_FAMILIES: ReadonlyMap<string, RopeFamily> = new Map([
  ...families(
    { ...halves, theta: 10_000 },
    'llama',
    'mistral',
    'qwen2',
    'qwen3',
    'qwen2_moe',
    'qwen3_moe',
    'gemma',
    'gemma2',
    'vaultgemma',
  ),
  ...families(
    { ...halves, theta: 10_000 },
    'olmo',
    'olmo2',
    'olmoe',
    'granite',
    'granitemoe',
    'granitemoeshared',
    'starcoder2',
    'falcon',
  ),
  ...families(
    halves,
    'ministral',
    'ministral3',
    'arcee',
    'seed_oss',
    'hunyuan_v1_moe',
    'hunyuan_v1_dense',
    'nanochat',
    'dots1',
    'hyperclovax',
    'lfm2',
    'lfm2_moe',
  ),
  ...families(
    halves,
    'qwen2_vl',
    'qwen2_vl_text',
    'qwen2_5_vl',
    'qwen2_5_vl_text',
    'qwen3_vl_text',
    'qwen3_vl_moe_text',
    'apertus',
    'bitnet',
    'mllama_text_model',
  ),
  ...families({ ...halves, theta: 1_000_000 }, 'mixtral', 'phimoe'),
  ...families({ ...halves, theta: 150_000 }, 'gpt_oss'),
  ...families(
    { ...halves, theta: 10_000, aliases: { su: 'longrope', yarn: 'longrope' } },
    'phi3',
    'phi4_multimodal',
  ),
  ...families({ ...halves, theta: 10_000, partial: 0.5 }, 'phi', 'nemotron', 'persimmon'),
  ...families({ ...halves, theta: 10_000, partial: 0.25 }, 'stablelm'),
  ...families(
    {
      ...halves,
      theta: 10_000,
      partial: 0.25,
      keys: { theta: 'rotary_emb_base', partial: 'rotary_pct' },
    },
    'gpt_neox',
  ),
  ...families({ ...halves, theta: 10_000, partial: 0.25 }, 'qwen3_next'),
  ...families({ ...halves, partial: 0.25 }, 'qwen3_5_text', 'qwen3_5_moe_text'),
  ...families({ ...halves, theta: 10_000, partial: 0.5 }, 'glm4_moe'),
  ...families({ ...halves, keys: { rotaryDim: 'rotary_dim' } }, 'minimax', 'minimax_m2'),
  ...families(
    { ...interleaved, theta: 10_000, keys: { rotaryDim: 'rotary_dim' } },
    'gptj',
    'codegen',
  ),
  ...families({ ...interleaved, theta: 10_000, partial: 0.5 }, 'glm', 'glm4'),
  ...families({ ...interleaved, theta: 100_000 }, 'helium'),
  ...families({ ...interleaved, theta: 500_000 }, 'ernie4_5', 'ernie4_5_moe'),
  ...families(interleaved, 'cohere'),
  ...families(
    { ...interleaved, theta: 10_000, layers: { kind: 'windowsOnly', always: true } },
    'cohere2',
  ),
  ...families(
    { ...halves, theta: 10_000, layers: { kind: 'windowsOnly', always: false } },
    'exaone4',
  ),
  ...families({ ...halves, theta: 500_000, layers: { kind: 'plainWindows' } }, 'olmo3'),
  ...families(
    { ...halves, theta: 1_000_000, layers: { kind: 'localTheta', theta: 10_000 } },
    'gemma3',
    'gemma3_text',
  ),
  ...families({ ...halves, theta: 2_000_000, layers: { kind: 'listed', interval: 4 } }, 'smollm3'),
]);

/** What to do about a RoPE that kernels do not have. */
export const NO_ROPE_HELP =
  'compile with --no-rope, and rotate q and k before they reach a session';

/** Model types whose positions are not RoPE: nothing turns. */
export const TYPES_WITHOUT_ROPE: readonly string[] = [
  'gpt2',
  'gpt_bigcode',
  'gpt_neo',
  'opt',
  'bloom',
  'mpt',
];
