import { assertNever } from '../../util/invariant.ts';
import type { WindowSpec } from '../config/modelType.ts';

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

const sometimes = ({ enabled }: Pick<WindowFacts, 'enabled'>): string[] => (enabled ? ['sliding_window', 'max_window_layers'] : []);

/** What a rule of the table of model types means. */
export function windowRule(spec: WindowSpec): WindowRule | undefined {
  switch (spec.rule) {
    case 'never':
      return { needs: () => [], slides: () => false, windowless: true };
    case 'always':
      return { needs: () => ['sliding_window'], slides: (_, { window }) => window !== undefined };
    case 'whereEnabled':
      return { needs: ({ enabled }) => (enabled ? ['sliding_window'] : []), slides: (_, { window, enabled }) => enabled && window !== undefined };
    case 'lateLayers':
      return { needs: sometimes, slides: (layer, { window, enabled, maxWindowLayers }) => enabled && window !== undefined && layer >= maxWindowLayers };
    case 'earlyOddLayers':
      return { needs: sometimes, slides: (layer, { enabled, maxWindowLayers }) => enabled && layer % 2 === 0 && layer < maxWindowLayers };
    case 'allButEvery':
      return { needs: () => ['sliding_window'], slides: (layer) => (layer + 1) % spec.n !== 0 };
    case 'allButPattern':
      return { needs: () => ['sliding_window'], slides: (layer, { pattern = spec.n }) => (layer + 1) % pattern !== 0 };
    case 'stated':
      return undefined;
    default:
      return assertNever(spec);
  }
}
