import type { ElementType } from '../ir/nodes.ts';
import type { DiagnosticList } from '../util/diagnostics.ts';
import { readJson, type JsonDocument } from '../util/jsonReader.ts';
import { joinPath } from '../util/quote.ts';
import { attendingLayers } from './config/attendingLayers.ts';
import { checkKeys, refuseKeys } from './config/checkKeys.ts';
import { modelTypeOf } from './config/modelTypeOf.ts';
import { noteNorm, warnOfSinks } from './config/noteTypes.ts';
import { ropeOf } from './config/ropeOf.ts';
import { readScores } from './config/readScores.ts';
import { readShape } from './config/readShape.ts';
import { textScopes } from './config/textScopes.ts';
import { readLayerTypes } from './formats/readLayerTypes.ts';
import { MODEL_NAME, type DescribedModel, type Place } from './planSchema.ts';
import { offsetOf } from './readFields.ts';
import { describeKind, Report, type Scope } from './report.ts';

/** What a compilation needs of a Hugging Face `config.json`. */
export interface ModelConfig extends DescribedModel {
  readonly kind: 'modelConfig';
  readonly file: string;
  /** The model's own sliding window of each layer with attention, in tokens; null where it attends everything. */
  readonly windows: readonly (number | null)[];
  /** What the layers of the model without attention are, by their numbers; absent where all have it. */
  readonly leftOut?: ReadonlyMap<number, string>;
}

export interface ModelConfigOptions {
  /** Take a model type and keys that are not known as those of plain attention, with warnings. */
  readonly assumePlain?: boolean;
  /** The config is a plan too: it has to say what its layers attend. */
  readonly strict?: boolean;
}

/**
 * Reads a Hugging Face `config.json`; of a multimodal one the object that describes the language model. It is believed where its model type
 * and all keys that may matter are known (`config/knownModels.ts`); null counts as absent. Undefined when an error was reported.
 */
export function parseModelConfig(text: Uint8Array | string, file: string, diagnostics: DiagnosticList, options: ModelConfigOptions = {}): ModelConfig | undefined {
  const before = diagnostics.errorCount;
  const document = readJson(text, file, diagnostics);
  const config = document && modelConfigOf(document, diagnostics, options);
  return diagnostics.errorCount > before ? undefined : config;
}

/** `parseModelConfig` of what is JSON. */
export function modelConfigOf(document: JsonDocument, diagnostics: DiagnosticList, { assumePlain = false, strict = false }: ModelConfigOptions = {}): ModelConfig | undefined {
  const before = diagnostics.errorCount;
  const report = new Report(document, diagnostics);
  if (document.root.kind !== 'object') {
    const help = 'give the config.json of the model';
    report.error('MOA1101', document.root.offset, '', `a model config is an object, this is ${describeKind(document.root.kind)}`, { help });
    return undefined;
  }
  const scopes = textScopes(document.root, report);
  const { file: root, text: scope, written } = scopes;
  const found = modelTypeOf(scopes, assumePlain);
  if (found === undefined) {
    refuseKeys(scopes, [], {});
    return undefined;
  }
  const described = readShape(scope, written, found);
  const scores = readScores(scope, written, found);
  checkKeys(scopes, found, described.shape, assumePlain);
  const types = described.shape.layers === undefined ? undefined : readLayerTypes(written, found, described.shape.layers, strict);
  const layers = types && attendingLayers(types, scope, described.places.layers);
  const { queryHeads, kvHeads, headDim } = described.shape;
  if (queryHeads === undefined || kvHeads === undefined || headDim === undefined) return undefined;
  if (types === undefined || layers === undefined || diagnostics.errorCount > before) return undefined;
  if (found.known.learnedSinks === 'perhaps') warnOfSinks(scopes, found);
  const { rope, ropeProblems } = ropeOf(scope, found, types, layers.numbers, headDim, diagnostics);
  const rotates = rope !== null && !found.known.normAfterRope;
  if (rope !== null && !rotates) noteNorm(scope, found);
  if (diagnostics.errorCount > before) return undefined;
  const type = elementTypeOf(scope) ?? elementTypeOf(root);
  const name = nameOf(root);
  return {
    kind: 'modelConfig',
    file: document.source.file,
    shape: { layers: layers.numbers.length, queryHeads, kvHeads, headDim, ...(layers.leftOut === undefined ? {} : { layerNumbers: layers.numbers }) },
    ...(name === undefined ? {} : { name }),
    ...(type === undefined ? {} : { elementType: type.elementType }),
    ...(rotates ? { rope } : {}),
    ...(ropeProblems.length === 0 ? {} : { ropeProblems }),
    windows: layers.windows,
    ...(layers.leftOut === undefined ? {} : { leftOut: layers.leftOut }),
    attention: scores.attention,
    places: {
      ...described.places,
      ...scores.places,
      windows: report.place(offsetOf(scope, 'sliding_window'), joinPath(scope.path, 'sliding_window')),
      ...(type === undefined ? {} : { elementType: type.place }),
    },
  };
}

/** The object that describes the language model. */
export const textScope = (root: Scope): Scope => textScopes(root.node, root.report).text;

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
