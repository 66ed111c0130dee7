import type { DiagnosticList } from '../../util/diagnostics.ts';
import type { JsonDocument, JsonNode, JsonObject } from '../../util/jsonReader.ts';
import { joinPath, quote } from '../../util/quote.ts';
import { modelConfigOf, textScope } from '../parseModelConfig.ts';
import { DEFAULT_LIMITS, type DescribedModel, type ParsedPlan } from '../planSchema.ts';
import { offsetOf, withoutNulls } from '../readFields.ts';
import type { Report, Scope } from '../report.ts';
import { MODEL_FLAG_NAMES } from '../resolveModelShape.ts';
import { FULL_RULE, roundUpToPages } from './streamingRule.ts';

/**
 * Reads the `config.json` of a Hugging Face model as a plan: every head keeps everything, without a sink, and the windows of
 * the model's own layers cut that.
 */
export function readHfConfig(
  document: JsonDocument,
  root: JsonObject,
  report: Report,
  diagnostics: DiagnosticList,
): ParsedPlan | undefined {
  const before = diagnostics.errorCount;
  const model = modelConfigOf(document, diagnostics, true);
  const file: Scope = { node: withoutNulls(root), path: '', report };
  const text = textScope(file);
  rejectOtherAttention(file, text);
  if (model === undefined || diagnostics.errorCount > before) return undefined;

  warnOfSinks(file, text);
  const { layers, queryHeads } = model.shape;
  // Short sequences keep no more than the shortest window.
  const windows = (model.windows ?? []).map((window) => roundUpToPages(window ?? Infinity));
  const minSpan = Math.min(DEFAULT_LIMITS.minSpan, ...windows);
  return {
    kind: 'parsedPlan',
    format: 'hf-config',
    file: model.file,
    layers,
    queryHeads,
    limits: { ...DEFAULT_LIMITS, sink: 0, minSpan },
    rules: Array.from({ length: layers }, () => Array.from({ length: queryHeads }, () => FULL_RULE)),
    model,
    alphasPlace: model.places.layers,
    originOf: (layer) => originOf(text, model, layer),
  };
}

/** The path of what says what a layer attends. */
function originOf({ node, path }: Scope, { windows = [] }: DescribedModel, layer: number): string {
  if (node.members.has('layer_types')) return joinPath(joinPath(path, 'layer_types'), layer);
  const slides = windows.some((window) => window !== null);
  return joinPath(path, slides ? 'sliding_window' : 'num_hidden_layers');
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
