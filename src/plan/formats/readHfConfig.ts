import type { DiagnosticList } from '../../util/diagnostics.ts';
import type { JsonDocument, JsonObject } from '../../util/jsonReader.ts';
import { joinPath } from '../../util/quote.ts';
import { modelConfigOf, textScope, type ModelConfig } from '../parseModelConfig.ts';
import { DEFAULT_LIMITS, type ParsedPlan } from '../planSchema.ts';
import { withoutNulls } from '../readFields.ts';
import type { Report, Scope } from '../report.ts';
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
  assumePlain: boolean,
): ParsedPlan | undefined {
  const model = modelConfigOf(document, diagnostics, { strict: true, assumePlain });
  if (model === undefined) return undefined;
  const text = textScope({ node: withoutNulls(root), path: '', report });
  const { layers, queryHeads } = model.shape;
  // Short sequences keep no more than the shortest window.
  const windows = model.windows.map((window) => roundUpToPages(window ?? Infinity));
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
function originOf({ node, path }: Scope, { windows, shape }: ModelConfig, layer: number): string {
  const key = ['layer_types', 'layers_block_type'].find((name) => node.members.has(name));
  if (key !== undefined) return joinPath(joinPath(path, key), shape.layerNumbers?.[layer] ?? layer);
  const slides = windows.some((window) => window !== null);
  return joinPath(path, slides ? 'sliding_window' : 'num_hidden_layers');
}
