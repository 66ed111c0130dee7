import { spanOf } from '../ir/affine.ts';
import { ranges } from '../ir/print.ts';
import type { Rule, SpanLimits } from '../ir/rule.ts';
import type { DiagnosticList } from '../util/diagnostics.ts';
import { addDiagnostic } from './addDiagnostic.ts';
import { FORMAT_OPTIONS, type FormatOptions, type InputFormat } from './formats/inputFormat.ts';
import { roundUpToPages } from './formats/streamingRule.ts';
import type { ModelConfig } from './parseModelConfig.ts';
import { MAX_MIN_SPAN, type DescribedModel, type ParsedPlan, type Place } from './planSchema.ts';

type Windows = readonly (number | null)[];

/**
 * The model's own window of each layer: from `config`, else from the plan's `model`, else none. Where both state them they
 * agree (MOA1220). Kernels need whole pages of every window that cuts a head of the plan (MOA1307, or with `roundWindows`
 * the next longer one). Undefined when an error was reported.
 */
export function resolveWindows(
  plan: ParsedPlan,
  config: ModelConfig | undefined,
  { roundWindows = false }: FormatOptions,
  diagnostics: DiagnosticList,
): Windows | undefined {
  const stated = config?.windows === undefined ? plan.model : config;
  const windows = stated?.windows;
  if (stated === undefined || windows === undefined) return plan.rules.map(() => null);
  if (config !== undefined && !agree(plan.model, config, diagnostics)) return undefined;
  // Another number of layers has been reported.
  if (windows.length !== plan.layers) return undefined;

  const uneven = new Map<number, number[]>();
  windows.forEach((window, layer) => {
    if (window === null || roundUpToPages(window) === window) return;
    if (!cuts(window, plan.rules[layer]!, plan.limits)) return;
    uneven.set(window, [...(uneven.get(window) ?? []), layer]);
  });
  if (uneven.size === 0) return windows;
  for (const [window, layers] of uneven) {
    tell(plan.format, window, layers, stated.places.windows, roundWindows, diagnostics);
  }
  if (!roundWindows) return undefined;
  return windows.map((window) => (window !== null && uneven.has(window) ? roundUpToPages(window) : window));
}

/** Whether the plan's windows are those of the config, where both state them. */
function agree(model: DescribedModel | undefined, config: ModelConfig, diagnostics: DiagnosticList): boolean {
  const [own, given] = [model?.windows, config.windows];
  if (own === undefined || given === undefined || own.length !== given.length) return true;
  const layer = own.findIndex((window, index) => window !== given[index]);
  if (layer < 0) return true;
  const [made, found] = [own[layer]!, given[layer]!].map(windowText);
  const message = `the plan was made for a model with ${made} in layer ${layer}, the model config has ${found} there`;
  const place = model?.places.windows;
  const other = config.places.windows;
  const help = 'use the plan that was made for this model, or make one for it';
  addDiagnostic(diagnostics, 'error', 'MOA1220', place, message, help, { says: 'the windows of the config', place: other });
  return false;
}

const windowText = (window: number | null): string => (window === null ? 'no window' : `a window of ${window} tokens`);

/** Whether a head keeps more than `window` tokens of a sequence, however long. */
const cuts = (window: number, rules: readonly Rule[], limits: SpanLimits): boolean =>
  [...new Set(rules)].some((rule) => rule.numerator > 0 || spanOf(rule, limits, longest, null) > window);

/** Tokens, beyond all constants of a plan. */
const longest = 2 ** 25 + MAX_MIN_SPAN;

function tell(
  format: InputFormat,
  window: number,
  layers: readonly number[],
  place: Place | undefined,
  round: boolean,
  diagnostics: DiagnosticList,
): void {
  const rounded = roundUpToPages(window);
  const where = `layer${layers.length === 1 ? '' : 's'} ${ranges(layers)}`;
  if (round) {
    const message = `the window of ${window} tokens is kept as ${rounded}: whole pages of 64 tokens, in ${where}`;
    const help = 'queries attend up to that many tokens, more than the model was made for';
    addDiagnostic(diagnostics, 'warning', 'MOA1305', place, message, help);
    return;
  }
  const message = `the window of ${window} tokens is not whole pages of 64, as rings are, and cuts heads of ${where}`;
  const { flag, formats } = FORMAT_OPTIONS.roundWindows;
  const rounds = (formats as readonly InputFormat[]).includes(format);
  const help = rounds
    ? `${flag} takes ${rounded} instead, which lets queries attend more than the model was made for`
    : `a plan whose heads keep at most ${rounded - 64} tokens in ${where} is not cut`;
  addDiagnostic(diagnostics, 'error', 'MOA1307', place, message, help);
}
