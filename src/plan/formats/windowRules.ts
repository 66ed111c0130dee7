/**
 * Which layers of a Hugging Face model have a sliding window where its config has no `layer_types`, by model type: the rules of
 * transformers 5.18, `__post_init__` of the configs and `get_layer_types_and_kwargs`.
 */

/** What the rules look at. */
export interface WindowFacts {
  /** `sliding_window`, in tokens; undefined where it is null. */
  readonly window: number | undefined;
  /** `use_sliding_window`. */
  readonly enabled: boolean;
  /** `max_window_layers`. */
  readonly maxWindowLayers: number;
  /** `sliding_window_pattern`. */
  readonly pattern: number | undefined;
}

export interface WindowRule {
  /** Keys that have to be there, null or not: what stands for them where they are absent differs between versions. */
  readonly needs: (facts: Pick<WindowFacts, 'enabled'>) => readonly string[];
  readonly slides: (layer: number, facts: WindowFacts) => boolean;
  /** Models of the type never have a window, so that a config with one is not understood. */
  readonly windowless?: boolean;
}

const never: WindowRule = { needs: () => [], slides: () => false, windowless: true };
const always: WindowRule = { needs: () => ['sliding_window'], slides: (_, { window }) => window !== undefined };
const whereEnabled: WindowRule = { needs: ({ enabled }) => (enabled ? ['sliding_window'] : []), slides: (_, { window, enabled }) => enabled && window !== undefined };
/** From layer `max_window_layers` on. */
const lateLayers: WindowRule = {
  needs: ({ enabled }) => (enabled ? ['sliding_window', 'max_window_layers'] : []),
  slides: (layer, { window, enabled, maxWindowLayers }) => enabled && window !== undefined && layer >= maxWindowLayers,
};
/** Every other layer before `max_window_layers`. */
const earlyOddLayers: WindowRule = {
  needs: ({ enabled }) => (enabled ? ['sliding_window', 'max_window_layers'] : []),
  slides: (layer, { enabled, maxWindowLayers }) => enabled && layer % 2 === 0 && layer < maxWindowLayers,
};
/** All but every n-th layer. */
const allButEvery = (n: number): WindowRule => ({ needs: () => ['sliding_window'], slides: (layer) => (layer + 1) % n !== 0 });
/** All but every n-th layer, where the config may say n. */
const allButPattern = (n: number): WindowRule => ({ needs: () => ['sliding_window'], slides: (layer, { pattern = n }) => (layer + 1) % pattern !== 0 });

const named = (rule: WindowRule, ...types: readonly string[]): [string, WindowRule][] => types.map((type) => [type, rule]);

export const WINDOW_RULES: ReadonlyMap<string, WindowRule> = new Map([
  ...named(never, 'llama', 'gemma', 'granite', 'phi', 'cohere', 'olmo', 'olmo2', 'stablelm', 'qwen3_vl_text', 'glm', 'glm4'),
  ...named(always, 'mistral', 'mixtral', 'ministral', 'ministral3', 'phi3', 'starcoder2'),
  ...named(whereEnabled, 'qwen3_moe'),
  ...named(lateLayers, 'qwen2', 'qwen3', 'qwen2_vl_text', 'qwen2_5_vl_text'),
  ...named(earlyOddLayers, 'qwen2_moe'),
  ...named(allButEvery(2), 'gemma2', 'vaultgemma', 'gpt_oss'),
  ...named(allButEvery(4), 'olmo3'),
  ...named(allButPattern(4), 'cohere2'),
  ...named(allButPattern(6), 'gemma3', 'gemma3_text'),
]);
