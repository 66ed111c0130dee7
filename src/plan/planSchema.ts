/** What a plan may hold: the keys, the ranges, the defaults, and the value that comes of it. */
import type { AttentionFacts, ElementType, ModelShape } from '../ir/nodes.ts';
import type { Rule, SpanLimits } from '../ir/rule.ts';
import type { SourceLocation } from '../util/diagnostics.ts';
import type { JsonValue } from '../util/jsonReader.ts';

export const PLAN_FORMAT = 'moa-plan';
export const PLAN_VERSION = 1;

/** The keys of the MoA authors' format. */
export const AUTHORS_KEYS = ['alphas', 'betas'] as const;
/** The keys of our own format. */
export const PLAN_KEYS = ['format', 'version', 'model', 'sink', 'page', 'minSpan', 'alphas', 'betas', 'certificate', 'evidence'] as const;
export const MODEL_KEYS = ['name', 'layers', 'queryHeads', 'kvHeads', 'headDim', 'elementType', 'softCap', 'learnedSinks', 'scale'] as const;

export const MAX_LAYERS = 1024;
export const MAX_HEADS = 1024;
export const MAX_HEAD_DIM = 1024;
/** Tokens. */
export const MAX_ALPHA = 2 ** 24;
/** Tokens. */
export const MAX_MIN_SPAN = 2 ** 20;
/** Of a logit; 0 is none. Beyond these the cap's arithmetic is no longer finer than a rounding of probabilities. */
export const SOFT_CAPS: NumberRange = { min: 1e-3, max: 1000 };
/** What q.k may be multiplied by. */
export const SCALES: NumberRange = { min: 1e-6, max: 1e6 };
export const MAX_DISTINCT_RULES = 256;

export const DEFAULT_LIMITS: SpanLimits = { sink: 64, page: 64, minSpan: 128 };

export const MODEL_NAME = /^[A-Za-z0-9._/-]{1,128}$/;

export interface NumberRange {
  readonly min: number;
  readonly max: number;
}

/** Where a fact is written. */
export interface Place {
  /** Its JSON path: `model.kvHeads`. */
  readonly path: string;
  readonly location: SourceLocation;
}

/** A model as a plan or a config describes it, and where. */
export interface DescribedModel {
  readonly shape: ModelShape;
  readonly elementType?: ElementType;
  readonly name?: string;
  /** What it says of scores. */
  readonly attention?: Partial<AttentionFacts>;
  readonly places: Readonly<Record<keyof ModelShape, Place>> & { readonly [Fact in 'elementType' | keyof AttentionFacts]?: Place };
}

/** A plan that passed every check. */
export interface ParsedPlan {
  readonly kind: 'parsedPlan';
  readonly format: 'moa' | 'moa-plan';
  readonly file: string;
  readonly layers: number;
  readonly queryHeads: number;
  readonly limits: SpanLimits;
  /** By layer and query head. Heads whose alpha and beta are equal share one object. */
  readonly rules: readonly (readonly Rule[])[];
  /** What the plan says of its model; only in our own format. */
  readonly model?: DescribedModel;
  /** Where `alphas` is. */
  readonly alphasPlace: Place;
  /** What the plan's maker attached; carried, not looked into. */
  readonly certificate?: JsonValue;
  readonly evidence?: JsonValue;
}
