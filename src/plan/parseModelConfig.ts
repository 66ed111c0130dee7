import type { AttentionFacts, ElementType } from '../ir/nodes.ts';
import type { DiagnosticList } from '../util/diagnostics.ts';
import { readJson, type JsonDocument, type JsonNode, type JsonObject } from '../util/jsonReader.ts';
import { joinPath } from '../util/quote.ts';
import { windowsOf } from './formats/windowsOf.ts';
import { MAX_HEADS, MAX_HEAD_DIM, MAX_LAYERS, MODEL_NAME, SCALES, SOFT_CAPS, type DescribedModel, type Place, type Rope } from './planSchema.ts';
import { compact, offsetOf, readInteger, readNumber, requireInteger, withoutNulls, type IntegerRange } from './readFields.ts';
import { describeKind, Report, reportKind, type Scope } from './report.ts';

/** What a compilation needs of a Hugging Face `config.json`. */
export interface ModelConfig extends DescribedModel {
  readonly kind: 'modelConfig';
  readonly file: string;
}

/**
 * Reads a Hugging Face `config.json`; a multimodal one by its `text_config`. Keys that are not needed are ignored, and null counts as
 * absent. Undefined when an error was reported.
 */
export function parseModelConfig(text: Uint8Array | string, file: string, diagnostics: DiagnosticList): ModelConfig | undefined {
  const before = diagnostics.errorCount;
  const document = readJson(text, file, diagnostics);
  const config = document && modelConfigOf(document, diagnostics);
  return diagnostics.errorCount > before ? undefined : config;
}

/**
 * `parseModelConfig` of what is JSON. `strict`: a model type of which it is not known which layers have a window is an
 * error even where no key speaks of windows.
 */
export function modelConfigOf(
  document: JsonDocument,
  diagnostics: DiagnosticList,
  strict = false,
): ModelConfig | undefined {
  const before = diagnostics.errorCount;
  const report = new Report(document, diagnostics);
  if (document.root.kind !== 'object') {
    const help = 'give the config.json of the model';
    report.error('MOA1101', document.root.offset, '', `a model config is an object, this is ${describeKind(document.root.kind)}`, { help });
    return undefined;
  }
  const root: Scope = { node: withoutNulls(document.root), path: '', report };
  const scope = textScope(root);
  const described = readShape(scope);
  const rope = readRope(scope);
  const scores = readScores(scope);
  const windows = readWindows(document.root, root, scope, described?.shape.layers, strict);
  if (described === undefined || windows === undefined || diagnostics.errorCount > before) return undefined;
  const type = elementTypeOf(scope) ?? elementTypeOf(root);
  const name = nameOf(root);
  return {
    kind: 'modelConfig',
    file: document.source.file,
    shape: described.shape,
    ...(name === undefined ? {} : { name }),
    ...(type === undefined ? {} : { elementType: type.elementType }),
    ...(rope === undefined ? {} : { rope }),
    windows,
    attention: scores.attention,
    places: {
      ...described.places,
      ...scores.places,
      windows: report.place(offsetOf(scope, 'sliding_window'), joinPath(scope.path, 'sliding_window')),
      ...(type === undefined ? {} : { elementType: type.place }),
    },
  };
}

/** The object that describes the language model: `text_config` where the root does not do so itself. */
export function textScope(root: Scope): Scope {
  const nested = root.node.members.get('text_config')?.value;
  if (nested?.kind !== 'object' || root.node.members.has('num_hidden_layers')) return root;
  return { ...root, node: withoutNulls(nested), path: 'text_config' };
}

/** `windowsOf`, also where something else is wrong with the shape, so that everything wrong is said at once. */
function readWindows(
  written: JsonObject,
  root: Scope,
  text: Scope,
  known: number | undefined,
  strict: boolean,
): (number | null)[] | undefined {
  const nested = written.members.get(text.path)?.value;
  const given: Scope = { ...text, node: nested?.kind === 'object' ? nested : written };
  const type = root.node.members.get('model_type')?.value;
  const stated = text.node.members.get('num_hidden_layers')?.value;
  const counted = stated?.kind === 'number' && Number.isInteger(stated.value) && stated.value >= 1 && stated.value <= MAX_LAYERS;
  const layers = known ?? (counted ? stated.value : undefined);
  if (layers === undefined) return undefined;
  return windowsOf(given, type?.kind === 'string' ? type.value : undefined, layers, strict);
}

function readShape(scope: Scope): Pick<DescribedModel, 'shape' | 'places'> | undefined {
  const heads: IntegerRange = { min: 1, max: MAX_HEADS };
  const layers = requireInteger(scope, 'num_hidden_layers', { min: 1, max: MAX_LAYERS });
  const queryHeads = requireInteger(scope, 'num_attention_heads', heads);
  const kvGiven = scope.node.members.has('num_key_value_heads');
  const kvHeads = kvGiven ? readInteger(scope, 'num_key_value_heads', heads) : queryHeads;
  const headDimGiven = scope.node.members.has('head_dim');
  const headDim = headDimGiven ? readInteger(scope, 'head_dim', { min: 1, max: MAX_HEAD_DIM }) : headDimOfHiddenSize(scope, queryHeads);
  if (layers === undefined || queryHeads === undefined || kvHeads === undefined || headDim === undefined) return undefined;
  const place = (key: string): Place => scope.report.place(offsetOf(scope, key), joinPath(scope.path, key));
  return {
    shape: { layers, queryHeads, kvHeads, headDim },
    places: {
      layers: place('num_hidden_layers'),
      queryHeads: place('num_attention_heads'),
      kvHeads: place(kvGiven ? 'num_key_value_heads' : 'num_attention_heads'),
      headDim: place(headDimGiven ? 'head_dim' : 'hidden_size'),
    },
  };
}

/** `hidden_size / num_attention_heads`, which has to be an integer (MOA1106). */
function headDimOfHiddenSize(scope: Scope, queryHeads: number | undefined): number | undefined {
  const hiddenSize = requireInteger(scope, 'hidden_size', { min: 1, max: MAX_HEADS * MAX_HEAD_DIM });
  if (hiddenSize === undefined || queryHeads === undefined) return undefined;
  const headDim = hiddenSize / queryHeads;
  if (Number.isInteger(headDim) && headDim <= MAX_HEAD_DIM) return headDim;
  const message = `hidden_size ${hiddenSize} over ${queryHeads} heads gives no head dimension from 1 to ${MAX_HEAD_DIM}`;
  scope.report.error('MOA1106', offsetOf(scope, 'hidden_size'), joinPath(scope.path, 'hidden_size'), message, { help: 'add "head_dim"' });
  return undefined;
}

/**
 * How the model makes scores: Gemma's `attn_logit_softcapping`, and `query_pre_attn_scalar`, whose root divides q.k; Granite's `attention_multiplier`. That
 * gpt-oss has learned sinks no key says, only the name of the architecture.
 */
function readScores(scope: Scope): { readonly attention: Partial<AttentionFacts>; readonly places: { readonly [Fact in keyof AttentionFacts]?: Place } } {
  const { node, path, report } = scope;
  const softCap = readNumber(scope, 'attn_logit_softcapping', SOFT_CAPS, 'zero');
  const scalar = readNumber(scope, 'query_pre_attn_scalar', { min: SCALES.max ** -2, max: SCALES.min ** -2 }, 'positive');
  const multiplier = readNumber(scope, 'attention_multiplier', SCALES, 'positive');
  const type = node.members.get('model_type')?.value;
  const learnedSinks = type?.kind === 'string' && type.value === 'gpt_oss' ? true : undefined;
  const keys = { softCap: 'attn_logit_softcapping', learnedSinks: 'model_type', scale: multiplier === undefined ? 'query_pre_attn_scalar' : 'attention_multiplier' } as const;
  const attention = compact({ softCap, learnedSinks, scale: multiplier ?? (scalar && 1 / Math.sqrt(scalar)) });
  const places = Object.entries(keys).filter(([fact]) => fact in attention).map(([fact, key]) => [fact, report.place(offsetOf(scope, key), joinPath(path, key))]);
  return { attention, places: Object.fromEntries(places) };
}

const ELEMENT_TYPES: ReadonlyMap<string, ElementType> = new Map([
  ['bfloat16', 'bf16'],
  ['torch.bfloat16', 'bf16'],
  ['float16', 'fp16'],
  ['torch.float16', 'fp16'],
]);

/** `dtype`, or `torch_dtype` in files of older versions. Undefined for types that the kernels do not take, such as float32. */
function elementTypeOf({ node, path, report }: Scope): { readonly elementType: ElementType; readonly place: Place } | undefined {
  for (const key of ['dtype', 'torch_dtype']) {
    const value = node.members.get(key)?.value;
    if (value === undefined) continue;
    const elementType = value.kind === 'string' ? ELEMENT_TYPES.get(value.value) : undefined;
    return elementType && { elementType, place: report.place(value.offset, joinPath(path, key)) };
  }
  return undefined;
}

/**
 * The model's name. It may end up in comments of a package, so only plain names count, and no paths of a file system, which
 * differ from machine to machine.
 */
function nameOf({ node }: Scope): string | undefined {
  for (const key of ['_name_or_path', 'model_type']) {
    const value = node.members.get(key)?.value;
    if (value?.kind === 'string' && MODEL_NAME.test(value.value) && !/^[./]|\.\./.test(value.value)) return value.value;
  }
  return undefined;
}

/** `rope_theta` and `rope_scaling`, or `rope_parameters` in files of newer versions. */
function readRope(scope: Scope): Rope | undefined {
  const { node, path, report } = scope;
  const parameters = node.members.get('rope_parameters')?.value;
  const nested = parameters?.kind === 'object' ? parameters : undefined;
  const inNested = nested?.members.has('rope_theta') === true;
  const theta = (inNested ? nested : node).members.get('rope_theta')?.value;
  if (theta === undefined) return undefined;
  const at = joinPath(inNested ? joinPath(path, 'rope_parameters') : path, 'rope_theta');
  if (theta.kind !== 'number') {
    reportKind(report, theta, at, 'a number');
    return undefined;
  }
  if (!Number.isFinite(theta.value)) return undefined; // Reported by the reader.
  if (theta.value <= 0) {
    report.error('MOA1106', theta.offset, at, `rope_theta ${theta.value} is not positive`);
    return undefined;
  }
  return { theta: theta.value, scaling: scalingOf(node.members.get('rope_scaling')?.value ?? nested) };
}

function scalingOf(scaling: JsonNode | undefined): Rope['scaling'] {
  if (scaling === undefined) return 'none';
  if (scaling.kind !== 'object') return 'other';
  const type = (scaling.members.get('rope_type') ?? scaling.members.get('type'))?.value;
  const none = type === undefined ? scaling.members.size === 0 || onlyTheta(scaling) : type.kind === 'string' && type.value === 'default';
  return none ? 'none' : 'other';
}

const onlyTheta = (scaling: JsonObject): boolean => scaling.members.size === 1 && scaling.members.has('rope_theta');
