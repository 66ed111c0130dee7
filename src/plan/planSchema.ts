/** What a plan may hold: the keys, the ranges, the defaults, and the value that comes of it. */
import type { AttentionFacts, ElementType, ModelShape } from '../ir/nodes.ts';
import type { ModelRope } from '../ir/rope.ts';
import type { Rule, SpanLimits } from '../ir/rule.ts';
import type { Diagnostic, SourceLocation } from '../util/diagnostics.ts';
import type { JsonValue } from '../util/jsonReader.ts';
import type { InputFormat } from './formats/inputFormat.ts';

export const PLAN_FORMAT = 'moa-plan';
export const PLAN_VERSION = 1;

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
/** Tokens of a model's own sliding window. */
export const MODEL_WINDOWS: NumberRange = { min: 1, max: MAX_ALPHA - MAX_MIN_SPAN };
export const MAX_DISTINCT_RULES = 256;

export const DEFAULT_LIMITS: SpanLimits = { sink: 64, page: 64, minSpan: 128 };

export const MODEL_NAME = /^[A-Za-z0-9._/-]{1,128}$/;
export const ELEMENT_TYPES: readonly ElementType[] = ['bf16', 'fp16'];

/** The values that a key may have. Bounds are inclusive; `zero` allows 0 beside them. */
export type FieldType =
  | { readonly kind: 'integer'; readonly min: number; readonly max: number; readonly multipleOf?: number }
  | ({ readonly kind: 'number'; readonly zero?: boolean } & NumberRange)
  | { readonly kind: 'boolean' }
  | { readonly kind: 'constant'; readonly value: string | number }
  | { readonly kind: 'choice'; readonly values: readonly string[] }
  | { readonly kind: 'string'; readonly pattern?: RegExp }
  /** A row for each layer with a value for each query head. */
  | { readonly kind: 'matrix'; readonly cell: FieldType }
  /** For each layer an integer, or null. */
  | { readonly kind: 'layers'; readonly min: number; readonly max: number }
  | { readonly kind: 'object'; readonly fields: Fields }
  /** Any object: carried, not looked into. */
  | { readonly kind: 'opaque' };

export interface Field {
  readonly type: FieldType;
  readonly required: boolean;
  /** What stands for it where it is absent. */
  readonly default?: number;
  readonly description: string;
}

export type Fields = Readonly<Record<string, Field>>;

/** `model` of our own format. */
export const MODEL_FIELDS = {
  name: { type: { kind: 'string', pattern: MODEL_NAME }, required: false, description: 'The name of the model: up to 128 letters, digits and . _ / -.' },
  layers: { type: { kind: 'integer', min: 1, max: MAX_LAYERS }, required: true, description: 'Layers of the model: the rows of alphas and betas.' },
  queryHeads: { type: { kind: 'integer', min: 1, max: MAX_HEADS }, required: true, description: 'Query heads of a layer: the length of a row of alphas and betas.' },
  kvHeads: { type: { kind: 'integer', min: 1, max: MAX_HEADS }, required: true, description: 'KV heads of a layer. Divides queryHeads.' },
  headDim: { type: { kind: 'integer', min: 1, max: MAX_HEAD_DIM }, required: true, description: 'Elements of a head.' },
  elementType: { type: { kind: 'choice', values: ELEMENT_TYPES }, required: false, description: 'Element type of queries, keys and values. Without it kernels are made for both.' },
  softCap: { type: { kind: 'number', zero: true, ...SOFT_CAPS }, required: false, description: 'Scores s become softCap * tanh(s / softCap); 0 for no cap. None by default.' },
  learnedSinks: { type: { kind: 'boolean' }, required: false, description: 'Whether each query head has a logit of its own in the denominator of its softmax. false by default.' },
  scale: { type: { kind: 'number', ...SCALES }, required: false, description: 'What q.k is multiplied by. 1 / sqrt(headDim) by default.' },
  windows: {
    type: { kind: 'layers', ...MODEL_WINDOWS },
    required: false,
    description:
      "The model's own sliding window of each layer, in tokens: a query attends so many of the newest keys, its own " +
      'included. null where the layer attends everything. Without it, the windows of the config that the plan is compiled with.',
  },
} as const satisfies Fields;

/** Our own format. `readFields.ts`, `readMatrix.ts` and `parsePlan.ts` check it, `planJsonSchema.ts` prints it. */
export const PLAN_FIELDS = {
  $schema: { type: { kind: 'string' }, required: false, description: 'Where the JSON Schema of plans is, for editors. Not looked into.' },
  format: { type: { kind: 'constant', value: PLAN_FORMAT }, required: true, description: 'Marks a plan of this format.' },
  version: { type: { kind: 'constant', value: PLAN_VERSION }, required: true, description: 'The version of the format.' },
  model: { type: { kind: 'object', fields: MODEL_FIELDS }, required: true, description: 'The model that the plan is for.' },
  sink: { type: { kind: 'integer', min: 0, max: MAX_MIN_SPAN }, required: false, default: DEFAULT_LIMITS.sink, description: 'Tokens at the start of a sequence that are always attended. Less than minSpan.' },
  page: { type: { kind: 'constant', value: DEFAULT_LIMITS.page }, required: false, default: DEFAULT_LIMITS.page, description: 'Tokens of a page: spans are multiples of it.' },
  minSpan: { type: { kind: 'integer', min: DEFAULT_LIMITS.page, max: MAX_MIN_SPAN, multipleOf: DEFAULT_LIMITS.page }, required: false, default: DEFAULT_LIMITS.minSpan, description: 'The shortest span, in tokens.' },
  alphas: { type: { kind: 'matrix', cell: { kind: 'integer', min: -MAX_ALPHA, max: MAX_ALPHA } }, required: true, description: 'alpha of the span alpha + beta * N, in tokens: a row for each layer, a number for each query head.' },
  betas: { type: { kind: 'matrix', cell: { kind: 'number', min: 0, max: 1 } }, required: true, description: 'beta of the span alpha + beta * N, a part of the length bound N in tokens: a row for each layer, a number for each query head.' },
  certificate: { type: { kind: 'opaque' }, required: false, description: "What the plan's maker says in its proof." },
  evidence: { type: { kind: 'opaque' }, required: false, description: "What the plan's maker says of how it was chosen." },
} as const satisfies Fields;

/** The keys of the MoA authors' format. */
export const AUTHORS_KEYS = ['alphas', 'betas'] as const;
/** The keys of our own format. */
export const PLAN_KEYS: readonly string[] = Object.keys(PLAN_FIELDS);
export const MODEL_KEYS: readonly string[] = Object.keys(MODEL_FIELDS);

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
  readonly rope?: ModelRope;
  /** Why kernels cannot rotate as the model does; errors where they are to. */
  readonly ropeProblems?: readonly Diagnostic[];
  /** The model's own sliding window of each layer in tokens, null where it has none; undefined where nothing says it. */
  readonly windows?: readonly (number | null)[];
  /** What it says of scores. */
  readonly attention?: Partial<AttentionFacts>;
  readonly places: Readonly<Record<Exclude<keyof ModelShape, 'layerNumbers'>, Place>> & {
    readonly [Fact in 'elementType' | 'windows' | keyof AttentionFacts]?: Place;
  };
}

/** A plan that passed every check. */
export interface ParsedPlan {
  readonly kind: 'parsedPlan';
  readonly format: InputFormat;
  readonly file: string;
  readonly layers: number;
  readonly queryHeads: number;
  /** Where the format says it. */
  readonly kvHeads?: number;
  readonly limits: SpanLimits;
  /** By layer and query head. Heads whose alpha and beta are equal share one object. */
  readonly rules: readonly (readonly Rule[])[];
  /** What the plan says of its model. */
  readonly model?: DescribedModel;
  /** Where the rules are: `alphas`, or what stands for it. */
  readonly alphasPlace: Place;
  /** The path of what made a head's rule; in `alphas` by default. */
  readonly originOf?: (layer: number, queryHead: number) => string;
  /** What the plan's maker attached; carried, not looked into. */
  readonly certificate?: JsonValue;
  readonly evidence?: JsonValue;
}
