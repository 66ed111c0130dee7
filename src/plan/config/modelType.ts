/** What is known of a model type of transformers: how its config says what a compilation needs. */

/** Which layers have the window `sliding_window` where the config has no `layer_types`. */
export type WindowSpec =
  /** None; a config that states a window is not understood. */
  | { readonly rule: 'never' }
  /** All, where it is stated. */
  | { readonly rule: 'always' }
  /** All, with `use_sliding_window`. */
  | { readonly rule: 'whereEnabled' }
  /** From layer `max_window_layers` on, with `use_sliding_window`. */
  | { readonly rule: 'lateLayers' }
  /** Every other layer before `max_window_layers`, with `use_sliding_window`. */
  | { readonly rule: 'earlyOddLayers' }
  /** All but each n-th. */
  | { readonly rule: 'allButEvery'; readonly n: number }
  /** All but each n-th, where `sliding_window_pattern` may say n. */
  | { readonly rule: 'allButPattern'; readonly n: number }
  /** The config has to have `layer_types`. */
  | { readonly rule: 'stated' };

/** What q.k is multiplied by. */
export type ScaleSpec =
  /** 1 / sqrt(headDim). */
  | { readonly from: 'headDim' }
  /** The same number in all models of the type. */
  | { readonly from: 'constant'; readonly value: number }
  /** A key: the factor itself, or the number whose root q.k is divided by. */
  | { readonly from: 'key'; readonly key: string; readonly as: 'factor' | 'inverseRoot'; readonly default: number };

/** Which layers have attention, in models where not all have. The others are left out, by name. */
export interface AttentionLayers {
  /** Keys of a list with a name for each layer. The first that is there counts. */
  readonly names: readonly string[];
  /** Names of layers without attention. */
  readonly leftOut: readonly string[];
  /** Where no list is there. */
  readonly otherwise: LayerRule;
}

export type LayerRule =
  /** Nothing else says it. */
  | { readonly by: 'nothing' }
  /** All layers have attention. */
  | { readonly by: 'all' }
  /** Layers i with i mod period = offset. */
  | { readonly by: 'period'; readonly period: string; readonly offset: string }
  /** Each n-th layer. */
  | { readonly by: 'interval'; readonly key: string; readonly default: number }
  /** A list of layer numbers. */
  | { readonly by: 'numbers'; readonly key: string }
  /** A text with a letter for each layer. */
  | {
      readonly by: 'letters';
      readonly key: string;
      readonly attention: string;
      readonly leftOut: Readonly<Record<string, string>>;
    };

/** How the KV heads are said. */
export type KvHeadsSpec =
  | { readonly from: 'key'; readonly key: string }
  | { readonly from: 'queryHeads' }
  /** One with `multi_query`, else as many as query heads. */
  | { readonly from: 'multiQuery' }
  /** `num_kv_heads` with `new_decoder_architecture`, else by `multi_query`. */
  | { readonly from: 'falcon' };

/** Keys that refuse a config, unless they have one of the values. */
export interface KeyRefusal {
  readonly key: string;
  /**
   * Values with which the key changes nothing, beside null and empty lists and objects. `headDim`, `queryHeads` and `kvHeads` stand
   * for those numbers of the model. A list changes nothing if none of its items does.
   */
  readonly unless: readonly (string | number | boolean)[];
  readonly why: string;
  readonly about: 'geometry' | 'attention';
  /** What transformers takes where the key is absent, if that refuses too. */
  readonly whereAbsent?: number | boolean;
}

export interface UnderstoodType {
  readonly status: 'understood';
  /** The keys that state the shape. */
  readonly keys: { readonly layers: string; readonly queryHeads: string; readonly headDim: string; readonly hiddenSize: string };
  readonly kvHeads: KvHeadsSpec;
  /** What transformers takes for keys that are absent; null: it is made of other keys. */
  readonly defaults: Readonly<Record<string, number | null>>;
  readonly scale: ScaleSpec;
  /** What transformers takes where `attn_logit_softcapping` is absent; 0 for none. */
  readonly softCap: number;
  /** `perhaps`: no key of the config says it. */
  readonly learnedSinks: 'never' | 'always' | 'perhaps';
  readonly windows: WindowSpec;
  /** Undefined: all layers have attention. */
  readonly attentionLayers?: AttentionLayers;
  /** Whether queries and keys are normalised after they are rotated, so that no kernel of this compiler may rotate them. */
  readonly normAfterRope: boolean;
  /** Keys of this type, or beginnings of keys, that look as if they mattered and do not. */
  readonly harmless: readonly string[];
  readonly refuses: readonly KeyRefusal[];
}

/** A type that is known, and that no plan is for. */
export interface RefusedType {
  readonly status: 'refused';
  readonly why: string;
  readonly about: 'geometry' | 'attention';
}

export type KnownType = UnderstoodType | RefusedType;
