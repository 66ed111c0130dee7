import type { Scope } from '../report.ts';
import { WINDOW_RULES } from './windowRules.ts';

/**
 * The type of each layer: `layer_types`, else by the rule of the model's type. Undefined where
 * neither says it; nothing is reported.
 */
export function layerTypesOf(
  { node }: Scope,
  modelType: string | undefined,
  layers: number,
): readonly string[] | undefined {
  const types = node.members.get('layer_types')?.value;
  if (types?.kind === 'array') {
    const names = types.items.map((item) => (item.kind === 'string' ? item.value : undefined));
    return names.length === layers && names.every((name) => name !== undefined) ? names : undefined;
  }
  const rule = modelType === undefined ? undefined : WINDOW_RULES.get(modelType);
  if (rule === undefined) return undefined;
  const numberOf = (key: string): number | undefined => {
    const value = node.members.get(key)?.value;
    return value?.kind === 'number' ? value.value : undefined;
  };
  const enabled = node.members.get('use_sliding_window')?.value;
  const facts = {
    window: numberOf('sliding_window'),
    enabled: enabled?.kind === 'boolean' && enabled.value,
    maxWindowLayers: numberOf('max_window_layers') ?? 0,
    pattern: numberOf('sliding_window_pattern') ?? numberOf('_sliding_window_pattern'),
  };
  return Array.from({ length: layers }, (_, layer) =>
    rule.slides(layer, facts) ? 'sliding_attention' : 'full_attention',
  );
}
