import type { JsonNode } from '../../util/jsonReader.ts';
import { joinPath, quote } from '../../util/quote.ts';
import { MAX_LAYERS } from '../planSchema.ts';
import { offsetOf, readBoolean, readInteger, readString, requireMember, withoutNulls, type IntegerRange } from '../readFields.ts';
import { describeKind, reportKind, type Scope } from '../report.ts';
import { WINDOW_RANGE } from './streamingRule.ts';
import { WINDOW_RULES, type WindowFacts } from './windowRules.ts';

const PATTERN_RANGE: IntegerRange = { min: 1, max: MAX_LAYERS };

/** Which layers of a model have a sliding window. */
export interface LayerTypes {
  readonly slides: readonly boolean[];
  /** Tokens; there where a layer slides. */
  readonly window: number | undefined;
}

/**
 * Reads what each of `layers` layers attends: `layer_types`, else by the rule of the model's type. `given` is the config of the
 * language model as it is written, for keys that may be null; `type` is the model type of the file where that config has none. Reports what no plan
 * says (MOA1308), model types without a rule (MOA1309), and what is missing.
 */
export function readLayerTypes(given: Scope, type: string | undefined, layers: number): LayerTypes | undefined {
  const scope: Scope = { ...given, node: withoutNulls(given.node) };
  const { node, path, report } = scope;
  const enabled = readBoolean(scope, 'use_sliding_window');
  // Where it is not used, some versions write 0.
  const window = enabled === false ? undefined : readInteger(scope, 'sliding_window', WINDOW_RANGE);
  const types = node.members.get('layer_types')?.value;
  const slides = types === undefined ? slidesByRule(given, scope, type, { window, enabled: enabled === true }, layers) : slidesByName(scope, types, layers);
  if (slides === undefined) return undefined;
  const first = slides.indexOf(true);
  if (first >= 0 && window === undefined) {
    if (!node.members.has('sliding_window')) requireMember(scope, 'sliding_window', `the window of layer ${first}, in tokens`);
    else if (enabled === false) report.error('MOA1308', offsetOf(scope, 'use_sliding_window'), joinPath(path, 'use_sliding_window'), `layer ${first} has a sliding window, and use_sliding_window is false`);
    return undefined;
  }
  return { slides, window };
}

function slidesByRule(given: Scope, scope: Scope, typeOfFile: string | undefined, read: Pick<WindowFacts, 'window' | 'enabled'>, layers: number): boolean[] | undefined {
  const { node, path, report } = scope;
  const type = readString(scope, 'model_type') ?? typeOfFile;
  const rule = type === undefined ? undefined : WINDOW_RULES.get(type);
  const help = 'add "layer_types": a list with "full_attention" or "sliding_attention" for each layer';
  if (rule === undefined) {
    const chunks = node.members.has('attention_chunk_size');
    const which = type === undefined ? 'the config names no model_type' : `there is no rule for the model type ${quote(type)}`;
    if (chunks) report.error('MOA1308', offsetOf(scope, 'attention_chunk_size'), joinPath(path, 'attention_chunk_size'), 'all layers attend in chunks (chunked_attention), not in a window');
    else report.error('MOA1309', offsetOf(scope, 'model_type'), joinPath(path, 'model_type'), `the config has no layer_types, and ${which}`, { help });
    return undefined;
  }
  const facts: WindowFacts = {
    ...read,
    maxWindowLayers: readInteger(scope, 'max_window_layers', { min: 0, max: Number.MAX_SAFE_INTEGER }) ?? 0,
    // Some versions wrote it with an underscore.
    pattern: readInteger(scope, 'sliding_window_pattern', PATTERN_RANGE) ?? readInteger(scope, '_sliding_window_pattern', PATTERN_RANGE),
  };
  let right = true;
  for (const key of rule.needs(facts)) {
    if (given.node.members.has(key)) continue;
    right = false;
    requireMember(scope, key, key === 'sliding_window' ? 'tokens, or null for no window' : 'a number of layers');
  }
  const slides = Array.from({ length: layers }, (_, layer) => rule.slides(layer, facts));
  if (rule.windowless === true && facts.window !== undefined) {
    report.error('MOA1309', offsetOf(scope, 'sliding_window'), joinPath(path, 'sliding_window'), `models of the type ${quote(type!)} have no sliding window, this one has`, { help });
    return undefined;
  }
  return right ? slides : undefined;
}

function slidesByName({ node, path, report }: Scope, types: JsonNode, layers: number): boolean[] | undefined {
  const at = joinPath(path, 'layer_types');
  if (types.kind !== 'array') {
    reportKind(report, types, at, 'an array with a name for each layer');
    return undefined;
  }
  if (types.items.length !== layers) {
    const place = report.place(node.members.get('num_hidden_layers')!.value.offset, '');
    const related = [{ message: `num_hidden_layers is ${layers}`, location: place.location }];
    report.error('MOA1108', types.offset, at, `layer_types has ${types.items.length} layers, the model has ${layers}`, { related });
    return undefined;
  }
  let right = true;
  const slides = types.items.map((item, layer): boolean => {
    const place = `${at}[${layer}]`;
    if (item.kind === 'string' && (item.value === 'sliding_attention' || FULL_TYPES.includes(item.value))) return item.value === 'sliding_attention';
    right = false;
    if (item.kind === 'string') report.error('MOA1308', item.offset, place, `layer ${layer} is ${quote(item.value)}; a plan has full_attention and sliding_attention`);
    else report.error('MOA1104', item.offset, place, `expected a name, found ${describeKind(item.kind)}`);
    return false;
  });
  return right ? slides : undefined;
}

/** The second is the name of older versions. */
const FULL_TYPES: readonly string[] = ['full_attention', 'attention'];
