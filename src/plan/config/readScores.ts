import type { AttentionFacts } from '../../ir/nodes.ts';
import { joinPath, quote } from '../../util/quote.ts';
import { SCALES, SOFT_CAPS, type Place } from '../planSchema.ts';
import { compact, offsetOf, readNumber } from '../readFields.ts';
import type { Scope } from '../report.ts';
import type { FoundType } from './modelTypeOf.ts';

export interface ReadScores {
  /** What differs from plain scores, or is stated. */
  readonly attention: Partial<AttentionFacts>;
  readonly places: { readonly [Fact in keyof AttentionFacts]?: Place };
}

const SCALE_KEYS = ['attention_multiplier', 'query_pre_attn_scalar'] as const;
const CAP_KEY = 'attn_logit_softcapping';

/**
 * How the model makes scores: by keys of its config, whose meaning does not depend on the type, else as all models of the type do.
 * `scale` is what transformers' attention multiplies q.k by.
 *
 * @param written the config with its nulls: a cap that is null is none
 */
export function readScores(scope: Scope, written: Scope, { name, known }: FoundType): ReadScores {
  const { path, report } = scope;
  const stated = readNumber(scope, CAP_KEY, SOFT_CAPS, 'zero');
  const byType = known.softCap === 0 || written.node.members.has(CAP_KEY) ? undefined : known.softCap;
  const scalar = readNumber(scope, 'query_pre_attn_scalar', { min: SCALES.max ** -2, max: SCALES.min ** -2 }, 'positive');
  const multiplier = readNumber(scope, 'attention_multiplier', SCALES, 'positive');
  const attention = compact({
    softCap: stated ?? byType,
    learnedSinks: known.learnedSinks === 'always' ? true : undefined,
    scale: multiplier ?? (scalar === undefined ? scaleOf(known.scale) : 1 / Math.sqrt(scalar)),
  });
  rejectOtherScale(scope, { name, known, listed: true });
  const { members } = scope.node;
  const keys = {
    softCap: stated === undefined ? 'model_type' : CAP_KEY,
    learnedSinks: 'model_type',
    scale: SCALE_KEYS.find((key) => members.has(key)) ?? 'model_type',
  };
  const places = Object.entries(keys)
    .filter(([fact]) => fact in attention)
    .map(([fact, key]) => [fact, report.place(offsetOf(scope, key), joinPath(path, key))]);
  return { attention, places: Object.fromEntries(places) };
}

/** The scale of a type whose config does not say it; undefined for `1 / sqrt(headDim)`. */
function scaleOf(spec: FoundType['known']['scale']): number | undefined {
  if (spec.from === 'headDim') return undefined;
  if (spec.from === 'constant') return spec.value;
  return spec.as === 'factor' ? spec.default : 1 / Math.sqrt(spec.default);
}

/** Reports a key of the scale in a model whose type has the same one always (MOA1308). */
function rejectOtherScale(scope: Scope, { name, known }: FoundType): void {
  const { scale } = known;
  if (scale.from !== 'constant') return;
  for (const key of SCALE_KEYS) {
    if (!scope.node.members.has(key)) continue;
    const message = `scores of models of the type ${quote(name ?? '')} are scaled by ${scale.value}, whatever this key says`;
    scope.report.error('MOA1308', offsetOf(scope, key), joinPath(scope.path, key), message);
  }
}
