import type { Rule, SpanLimits } from '../../ir/rule.ts';
import type { Place } from '../planSchema.ts';
import type { InputFormat } from './inputFormat.ts';

/** Rules of a format that counts KV heads, or nothing at all: `placeOnModel.ts` makes a plan of them. */
export interface UnplacedPlan {
  readonly kind: 'unplacedPlan';
  readonly format: InputFormat;
  readonly file: string;
  /** Undefined where all layers are alike. */
  readonly layers?: number;
  /** Undefined where all heads are alike. */
  readonly kvHeads?: number;
  readonly limits: SpanLimits;
  readonly ruleOf: (layer: number, kvHead: number) => Rule;
  /** Where the rules are. */
  readonly place: Place;
  readonly originOf: (layer: number, kvHead: number) => string;
}
