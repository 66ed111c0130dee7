import type { DiagnosticList } from '../../util/diagnostics.ts';
import type { JsonDocument, JsonNode, JsonObject } from '../../util/jsonReader.ts';
import { joinPath, quote } from '../../util/quote.ts';
import { modelConfigOf, textScope } from '../parseModelConfig.ts';
import { DEFAULT_LIMITS, MAX_LAYERS, type ParsedPlan } from '../planSchema.ts';
import { offsetOf, withoutNulls } from '../readFields.ts';
import type { Report, Scope } from '../report.ts';
import { MODEL_FLAG_NAMES } from '../resolveModelShape.ts';
import { FORMAT_OPTIONS, type FormatOptions } from './inputFormat.ts';
import { readLayerTypes } from './readLayerTypes.ts';
import { FULL_RULE, roundUpToPages, streamingOf } from './streamingRule.ts';

const { page } = DEFAULT_LIMITS;

/**
 * Reads the `config.json` of a Hugging Face model as a plan: layers with a sliding window keep that and no sink, the others everything. A
 * window that is not whole pages is an error (MOA1307), or with `roundWindows` the next longer one.
 */
export function readHfConfig(document: JsonDocument, root: JsonObject, options: FormatOptions, report: Report, diagnostics: DiagnosticList): ParsedPlan | undefined {
  const before = diagnostics.errorCount;
  const model = modelConfigOf(document, diagnostics);
  const file: Scope = { node: withoutNulls(root), path: '', report };
  const text = textScope(file);
  const written: Scope = { ...text, node: text.path === '' ? root : (root.members.get(text.path)!.value as JsonObject) };
  rejectOtherAttention(file, text);
  const type = root.members.get('model_type')?.value;
  const layers = model?.shape.layers ?? layersOf(text);
  const types = layers === undefined ? undefined : readLayerTypes(written, type?.kind === 'string' ? type.value : undefined, layers);
  if (types === undefined || model === undefined) return undefined;

  const window = types.window === undefined ? undefined : wholePages(types.window, text, types.slides.includes(true), options, report);
  if (diagnostics.errorCount > before) return undefined;
  warnOfSinks(file, text);
  const streaming = window === undefined || !types.slides.includes(true) ? undefined : streamingOf(0, window);
  const { queryHeads } = model.shape;
  return {
    kind: 'parsedPlan',
    format: 'hf-config',
    file: model.file,
    layers: model.shape.layers,
    queryHeads,
    limits: streaming?.limits ?? { ...DEFAULT_LIMITS, sink: 0 },
    rules: types.slides.map((slides) => Array.from({ length: queryHeads }, () => (slides && streaming !== undefined ? streaming.rule : FULL_RULE))),
    model,
    alphasPlace: model.places.layers,
    originOf: (layer) => types.originOf(layer),
  };
}

/** The layers of a config of which something else is wrong, so that what is wrong with its layers is said as well. */
function layersOf({ node }: Scope): number | undefined {
  const value = node.members.get('num_hidden_layers')?.value;
  return value?.kind === 'number' && Number.isInteger(value.value) && value.value >= 1 && value.value <= MAX_LAYERS ? value.value : undefined;
}

/** `window` as whole pages; undefined with an error. Nothing is said of a window that no layer has. */
function wholePages(window: number, scope: Scope, used: boolean, { roundWindows }: FormatOptions, report: Report): number | undefined {
  const rounded = roundUpToPages(window);
  if (rounded === window || !used) return rounded;
  const at = joinPath(scope.path, 'sliding_window');
  const offset = offsetOf(scope, 'sliding_window');
  if (roundWindows === true) {
    report.warning('MOA1305', offset, at, `the window of ${window} tokens is kept as ${rounded}: whole pages of ${page} tokens`, { help: 'queries attend up to that many tokens, more than the model was made for' });
    return rounded;
  }
  const help = `${FORMAT_OPTIONS.roundWindows.flag} takes ${rounded} instead, which lets queries attend more than the model was made for`;
  report.error('MOA1307', offset, at, `the window of ${window} tokens is not whole pages of ${page}, as rings are`, { help });
  return undefined;
}

/** Reports attention that is not causal, or not over keys of its own layer (MOA1308). */
function rejectOtherAttention(file: Scope, text: Scope): void {
  // Newer files name a part of the attention instead of true.
  const isTrue = ({ node }: Scope, key: string): boolean => {
    const value: JsonNode | undefined = node.members.get(key)?.value;
    return value?.kind === 'string' || (value?.kind === 'boolean' && value.value);
  };
  const reject = (scope: Scope, key: string, message: string): void => scope.report.error('MOA1308', offsetOf(scope, key), joinPath(scope.path, key), message);
  if (isTrue(file, 'is_encoder_decoder')) reject(file, 'is_encoder_decoder', 'the model has an encoder, whose attention is not causal');
  if (isTrue(text, 'use_bidirectional_attention')) reject(text, 'use_bidirectional_attention', 'the attention of the model is not causal');
  const shared = text.node.members.get('num_kv_shared_layers')?.value;
  if (shared?.kind === 'number' && shared.value > 0) reject(text, 'num_kv_shared_layers', 'layers of the model share the keys of others, which a plan does not say');
}

/** Model types other than gpt-oss, which is known to the reader of configs, whose layers have learned sinks. */
const SINK_TYPES: readonly string[] = ['granite_swa', 'granitemoe_swa', 'mimo_v2_flash'];

/** Warns where the model has learned sinks that no key of its config says (MOA1312). */
function warnOfSinks(file: Scope, text: Scope): void {
  const type = (text.node.members.get('model_type') ?? file.node.members.get('model_type'))?.value;
  if (type?.kind !== 'string' || !SINK_TYPES.includes(type.value)) return;
  const help = `pass ${MODEL_FLAG_NAMES.learnedSinks} if they are in use`;
  text.report.warning('MOA1312', type.offset, 'model_type', `models of the type ${quote(type.value)} may have learned sinks, which the config does not say`, { help });
}
