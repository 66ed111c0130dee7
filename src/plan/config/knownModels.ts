/** The table of what is known of configs, whole: for the readers here, and printed for Python. */
import {
  HARMLESS_KEYS,
  NESTED_KEYS,
  OTHER_WORDS,
  POSITION_KEYS,
  READ_KEYS,
  RELEVANT_WORDS,
} from './configKeys.ts';
import { HYBRID_TYPES } from './hybridTypes.ts';
import type { KnownType } from './modelType.ts';
import { REFUSED_KEYS } from './refusedKeys.ts';
import { REFUSED_TYPES } from './refusedTypes.ts';
import { UNDERSTOOD_TYPES } from './understoodTypes.ts';
import { WRAPPER_TYPES } from './wrapperTypes.ts';

export const KNOWN_TYPES: ReadonlyMap<string, KnownType> = new Map<string, KnownType>([
  ...Object.entries(UNDERSTOOD_TYPES),
  ...Object.entries(HYBRID_TYPES),
  ...Object.entries(REFUSED_TYPES),
]);

/** `python/moa_compile/search/known_models.json`. */
export const knownModels = (): object => ({
  format: 1,
  nestedKeys: NESTED_KEYS,
  relevantWords: RELEVANT_WORDS,
  otherWords: OTHER_WORDS,
  readKeys: READ_KEYS,
  positionKeys: POSITION_KEYS,
  harmlessKeys: HARMLESS_KEYS,
  refusedKeys: REFUSED_KEYS,
  wrapperTypes: WRAPPER_TYPES,
  types: Object.fromEntries(KNOWN_TYPES),
});
