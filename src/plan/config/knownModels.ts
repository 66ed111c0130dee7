/** The table of what is known of configs, whole: for the readers here, and printed for Python. */
import { HARMLESS_KEYS, NESTED_KEYS, REFUSED_KEYS, RELEVANT_WORDS } from './configKeys.ts';
import type { KnownType } from './modelType.ts';
import { REFUSED_TYPES } from './refusedTypes.ts';
import { UNDERSTOOD_TYPES } from './understoodTypes.ts';

export const KNOWN_TYPES: ReadonlyMap<string, KnownType> = new Map<string, KnownType>([
  ...Object.entries(UNDERSTOOD_TYPES),
  ...Object.entries(REFUSED_TYPES).map(
    ([type, why]): [string, KnownType] => [type, { status: 'refused', why }],
  ),
]);

/** `python/moa_compile/known_models.json`. */
export const knownModels = (): object => ({
  format: 1,
  nestedKeys: NESTED_KEYS,
  relevantWords: RELEVANT_WORDS,
  refusedKeys: REFUSED_KEYS,
  harmlessKeys: HARMLESS_KEYS,
  types: Object.fromEntries(KNOWN_TYPES),
});
