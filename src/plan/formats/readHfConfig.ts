import type { DiagnosticList } from '../../util/diagnostics.ts';
import type { JsonDocument, JsonObject } from '../../util/jsonReader.ts';
import { joinPath } from '../../util/quote.ts';
import { modelConfigOf, textScope, type ModelConfig } from '../parseModelConfig.ts';
import { DEFAULT_LIMITS, type ParsedPlan } from '../planSchema.ts';
import { offsetOf } from '../readFields.ts';
import type { Report, Scope } from '../report.ts';
import { FORMAT_OPTIONS, type FormatOptions } from './inputFormat.ts';
import { FULL_RULE, roundUpToPages, streamingOf } from './streamingRule.ts';

const { page } = DEFAULT_LIMITS;

/**
 * Reads the `config.json` of a Hugging Face model as a plan: layers with a sliding window keep that and no sink, the others everything. A
 * window that is not whole pages is an error (MOA1307), or with `roundWindows` the next longer one.
 */
export function readHfConfig(
  document: JsonDocument,
  root: JsonObject,
  options: FormatOptions,
  report: Report,
  diagnostics: DiagnosticList,
  assumePlain: boolean,
): ParsedPlan | undefined {
  const before = diagnostics.errorCount;
  const model = modelConfigOf(document, diagnostics, { strict: true, assumePlain });
  if (model === undefined) return undefined;
  const text = textScope({ node: root, path: '', report });
  const stated = model.windows.find((tokens) => tokens !== null) ?? undefined;
  const window = stated === undefined ? undefined : wholePages(stated, text, options, report);
  if (diagnostics.errorCount > before) return undefined;
  const streaming = window === undefined ? undefined : streamingOf(0, window);
  const { queryHeads, layers } = model.shape;
  return {
    kind: 'parsedPlan',
    format: 'hf-config',
    file: model.file,
    layers,
    queryHeads,
    limits: streaming?.limits ?? { ...DEFAULT_LIMITS, sink: 0 },
    rules: model.windows.map((tokens) => Array.from({ length: queryHeads }, () => (tokens !== null && streaming !== undefined ? streaming.rule : FULL_RULE))),
    model,
    alphasPlace: model.places.layers,
    originOf: (layer) => originOf(text, model, layer),
  };
}

/** The path of what says what a layer attends. */
function originOf({ node, path }: Scope, { windows, shape }: ModelConfig, layer: number): string {
  const key = ['layer_types', 'layers_block_type'].find((name) => node.members.has(name));
  if (key !== undefined) return joinPath(joinPath(path, key), shape.layerNumbers?.[layer] ?? layer);
  return joinPath(path, windows.some((window) => window !== null) ? 'sliding_window' : 'num_hidden_layers');
}

/** `window` as whole pages; undefined with an error. */
function wholePages(window: number, scope: Scope, { roundWindows }: FormatOptions, report: Report): number | undefined {
  const rounded = roundUpToPages(window);
  if (rounded === window) return rounded;
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
