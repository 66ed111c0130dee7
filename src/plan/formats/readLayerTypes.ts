import type { JsonNode } from '../../util/jsonReader.ts';
import { joinPath, quote } from '../../util/quote.ts';
import { leftOutByRule, type LeftOut } from '../config/leftOutLayers.ts';
import type { FoundType } from '../config/modelTypeOf.ts';
import { MAX_LAYERS } from '../planSchema.ts';
import { offsetOf, readBoolean, readInteger, requireMember, withoutNulls, type IntegerRange } from '../readFields.ts';
import { describeKind, reportKind, type Scope } from '../report.ts';
import { WINDOW_RANGE } from './streamingRule.ts';
import { windowRule, type WindowFacts } from './windowRules.ts';

const PATTERN_RANGE: IntegerRange = { min: 1, max: MAX_LAYERS };
/** Keys that say something of windows. */
const WINDOW_KEYS: readonly string[] = ['sliding_window', 'sliding_window_pattern', '_sliding_window_pattern'];

/** What each layer of a model attends. */
export interface LayerTypes {
  readonly slides: readonly boolean[];
  /** What layers without attention are. */
  readonly leftOut: LeftOut;
  /** Tokens; there where a layer slides. */
  readonly window: number | undefined;
}

/**
 * Reads what each of `layers` layers attends: `layer_types`, else by the rule of the model's type. `given` is the config of the
 * language model as it is written, for keys that may be null. Reports what no plan says (MOA1308), model types without a rule (MOA1309), and what
 * is missing. `strict`: a config that names no model type has to say what its layers attend.
 */
export function readLayerTypes(given: Scope, type: FoundType, layers: number, strict: boolean): LayerTypes | undefined {
  const scope: Scope = { ...given, node: withoutNulls(given.node) };
  const { node, path, report } = scope;
  const enabled = readBoolean(scope, 'use_sliding_window');
  // What transformers leaves out of a config within another is the default of the type.
  const byDefault = given.path !== '' && !given.node.members.has('sliding_window') ? type.known.defaults['sliding_window'] : undefined;
  // Where it is not used, some versions write 0.
  const stated = enabled === false ? undefined : readInteger(scope, 'sliding_window', WINDOW_RANGE);
  const window = stated ?? (enabled === false ? undefined : (byDefault ?? undefined));
  const key = (type.known.attentionLayers?.names ?? ['layer_types']).find((name) => node.members.has(name));
  const kinds = key === undefined ? byRule(given, scope, type, { window, enabled: enabled === true }, layers, strict) : byName(scope, key, type, layers);
  if (kinds === undefined) return undefined;
  const first = kinds.slides.indexOf(true);
  if (first >= 0 && window === undefined) {
    if (!node.members.has('sliding_window')) requireMember(scope, 'sliding_window', `the window of layer ${first}, in tokens`);
    else if (enabled === false) report.error('MOA1308', offsetOf(scope, 'use_sliding_window'), joinPath(path, 'use_sliding_window'), `layer ${first} has a sliding window, and use_sliding_window is false`);
    return undefined;
  }
  if (first >= 0 && stated === undefined) {
    const message = `the config does not say sliding_window; ${window} is taken, the default of models of the type ${quote(type.name ?? '')}`;
    report.note('MOA1334', node.offset, joinPath(path, 'sliding_window'), message, { help: 'add "sliding_window" if it is another' });
  }
  return { ...kinds, window };
}

type Kinds = Pick<LayerTypes, 'slides' | 'leftOut'>;

function byRule(given: Scope, scope: Scope, type: FoundType, read: Pick<WindowFacts, 'window' | 'enabled'>, layers: number, strict: boolean): Kinds | undefined {
  const { node } = scope;
  const { name, known } = type;
  const leftOut = leftOutByRule(scope, name ?? '', known, layers);
  if (leftOut === undefined) return undefined;
  const none: Kinds = { slides: leftOut.map(() => false), leftOut };
  if (!type.listed && !strict && !WINDOW_KEYS.some((key) => node.members.has(key))) return none;
  const rule = windowRule(known.windows);
  if (rule === undefined) {
    // Windows that are switched off are in no layer.
    const off = type.listed && (readBoolean(scope, 'use_sliding_window') === false || (given.node.members.has('sliding_window') && !node.members.has('sliding_window')));
    return off ? none : withoutRule(scope, name);
  }
  const windows = byWindowRule(given, scope, type, rule, read, layers);
  return windows && { slides: windows.map((slides, layer) => slides && leftOut[layer] === null), leftOut };
}

const ADD_TYPES = 'add "layer_types": a list with "full_attention" or "sliding_attention" for each layer';

function withoutRule(scope: Scope, name: string | undefined): undefined {
  const which = name === undefined ? 'the config names no model_type' : `there is no rule for the model type ${quote(name)}`;
  const message = `the config has no layer_types, and ${which}`;
  scope.report.error('MOA1309', offsetOf(scope, 'model_type'), joinPath(scope.path, 'model_type'), message, { help: ADD_TYPES });
}

function byWindowRule(
  given: Scope,
  scope: Scope,
  { name, known }: FoundType,
  rule: NonNullable<ReturnType<typeof windowRule>>,
  read: Pick<WindowFacts, 'window' | 'enabled'>,
  layers: number,
): boolean[] | undefined {
  const { path, report } = scope;
  const nested = given.path !== '';
  const facts: WindowFacts = {
    ...read,
    maxWindowLayers: readInteger(scope, 'max_window_layers', { min: 0, max: Number.MAX_SAFE_INTEGER }) ?? known.defaults['max_window_layers'] ?? 0,
    // Some versions wrote it with an underscore.
    pattern: readInteger(scope, 'sliding_window_pattern', PATTERN_RANGE) ?? readInteger(scope, '_sliding_window_pattern', PATTERN_RANGE),
  };
  let right = true;
  for (const key of rule.needs(facts)) {
    if (given.node.members.has(key) || (nested && known.defaults[key] !== undefined)) continue;
    if (nested && key === 'sliding_window' && rule.slides(0, { ...facts, window: undefined }) === false) continue;
    right = false;
    requireMember(scope, key, key === 'sliding_window' ? 'tokens, or null for no window' : 'a number of layers');
  }
  if (rule.windowless === true && facts.window !== undefined) {
    const message = `models of the type ${quote(name ?? '')} have no sliding window, this one has`;
    report.error('MOA1309', offsetOf(scope, 'sliding_window'), joinPath(path, 'sliding_window'), message, { help: ADD_TYPES });
    return undefined;
  }
  return right ? Array.from({ length: layers }, (_, layer) => rule.slides(layer, facts)) : undefined;
}

/** The second is the name of older versions. */
const FULL_TYPES: readonly string[] = ['full_attention', 'attention'];

function byName({ node, path, report }: Scope, key: string, { known }: FoundType, layers: number): Kinds | undefined {
  const at = joinPath(path, key);
  const types: JsonNode = node.members.get(key)!.value;
  if (types.kind !== 'array') {
    reportKind(report, types, at, 'an array with a name for each layer');
    return undefined;
  }
  if (types.items.length !== layers) {
    const counted = node.members.get(known.keys.layers)?.value ?? node;
    const related = [{ message: `${known.keys.layers} is ${layers}`, location: report.place(counted.offset, '').location }];
    report.error('MOA1108', types.offset, at, `${key} has ${types.items.length} layers, the model has ${layers}`, { related });
    return undefined;
  }
  const { attentionLayers } = known;
  const full = attentionLayers?.otherwise.by === 'all' ? [...FULL_TYPES, 'hybrid'] : FULL_TYPES;
  let right = true;
  const names = types.items.map((item, layer): string => {
    const place = `${at}[${layer}]`;
    const name = item.kind === 'string' ? item.value : '';
    if (name === 'sliding_attention' || full.includes(name) || attentionLayers?.leftOut.includes(name) === true) return name;
    right = false;
    const allowed = ['full_attention', 'sliding_attention', ...(attentionLayers?.leftOut ?? [])];
    const has = allowed.length === 2 ? 'a plan has full_attention and sliding_attention' : `the layers that are known are ${allowed.join(', ')}`;
    if (item.kind === 'string') report.error('MOA1308', item.offset, place, `layer ${layer} is ${quote(name)}; ${has}`);
    else report.error('MOA1104', item.offset, place, `expected a name, found ${describeKind(item.kind)}`);
    return name;
  });
  if (!right) return undefined;
  return {
    slides: names.map((name) => name === 'sliding_attention'),
    leftOut: names.map((name) => (attentionLayers?.leftOut.includes(name) === true ? name : null)),
  };
}
