import type { ModelShape } from '../../ir/nodes.ts';
import { joinPath } from '../../util/quote.ts';
import { MAX_HEADS, MAX_HEAD_DIM, MAX_LAYERS, type Place } from '../planSchema.ts';
import { offsetOf, readBoolean, readInteger, requireInteger, type IntegerRange } from '../readFields.ts';
import type { Scope } from '../report.ts';
import type { UnderstoodType } from './modelType.ts';
import type { FoundType } from './modelTypeOf.ts';

export interface ReadShape {
  /** What could be read; `layers` are all layers of the model. */
  readonly shape: Partial<Pick<ModelShape, 'layers' | 'queryHeads' | 'kvHeads' | 'headDim'>>;
  readonly places: Readonly<Record<'layers' | 'queryHeads' | 'kvHeads' | 'headDim', Place>>;
}

const HEADS: IntegerRange = { min: 1, max: MAX_HEADS };
const LAYERS: IntegerRange = { min: 1, max: MAX_LAYERS };
const HEAD_DIM: IntegerRange = { min: 1, max: MAX_HEAD_DIM };
const HIDDEN: IntegerRange = { min: 1, max: MAX_HEADS * MAX_HEAD_DIM };

/**
 * The shape that a config states by the keys of its model type. What transformers leaves out of a config within another, and KV heads and
 * head dimension anywhere, are the defaults of the type, with a note (MOA1334).
 *
 * @param written the config with its nulls: a key that is null is not absent
 */
export function readShape(scope: Scope, written: Scope, { name, known }: FoundType): ReadShape {
  const { keys } = known;
  const nested = scope.path !== '';
  const required = (key: string, range: IntegerRange): number | undefined => {
    const byDefault = nested && !written.node.members.has(key) ? known.defaults[key] : undefined;
    return typeof byDefault === 'number' ? noteDefault(scope, name, key, byDefault) : requireCount(scope, key, range);
  };
  const layers = scope.node.members.has(keys.layers) ? readCount(scope, keys.layers, LAYERS) : (listedLayers(scope, known) ?? required(keys.layers, LAYERS));
  const queryHeads = required(keys.queryHeads, HEADS);
  const kv = readKvHeads(scope, written, { name, known, listed: true }, queryHeads);
  const dim = readHeadDim(scope, written, { name, known, listed: true }, queryHeads, required);
  const place = (key: string): Place => scope.report.place(offsetOf(scope, key), joinPath(scope.path, key));
  return {
    shape: {
      ...(layers === undefined ? {} : { layers }),
      ...(queryHeads === undefined ? {} : { queryHeads }),
      ...(kv.value === undefined ? {} : { kvHeads: kv.value }),
      ...(dim.value === undefined ? {} : { headDim: dim.value }),
    },
    places: { layers: place(keys.layers), queryHeads: place(keys.queryHeads), kvHeads: place(kv.key), headDim: place(dim.key) },
  };
}

/** The layers of a config that names each of them and does not count them, as newer ones of Nemotron-H do. */
function listedLayers({ node }: Scope, { attentionLayers }: UnderstoodType): number | undefined {
  const lists = (attentionLayers?.names ?? []).map((key) => node.members.get(key)?.value);
  const list = lists.find((value) => value?.kind === 'array' && value.items.length >= LAYERS.min && value.items.length <= LAYERS.max);
  return list?.kind === 'array' ? list.items.length : undefined;
}

interface Keyed {
  readonly value: number | undefined;
  /** The key that says it. */
  readonly key: string;
}

function readKvHeads(scope: Scope, written: Scope, { name, known }: FoundType, queryHeads: number | undefined): Keyed {
  const { kvHeads: spec, keys } = known;
  const asQueryHeads: Keyed = { value: queryHeads, key: keys.queryHeads };
  if (spec.from === 'key') {
    if (scope.node.members.has(spec.key)) return { value: readCount(scope, spec.key, HEADS), key: spec.key };
    const byDefault = written.node.members.has(spec.key) ? null : known.defaults[spec.key];
    return typeof byDefault === 'number' ? { value: noteDefault(scope, name, spec.key, byDefault), key: spec.key } : asQueryHeads;
  }
  if (spec.from === 'queryHeads') return asQueryHeads;
  // Both types share one KV head among all query heads unless the config says otherwise.
  const multiQuery = readBoolean(scope, 'multi_query') ?? true;
  const grouped = spec.from === 'falcon' && (readBoolean(scope, 'new_decoder_architecture') === true || !multiQuery);
  if (!grouped) return multiQuery ? { value: 1, key: 'multi_query' } : asQueryHeads;
  return scope.node.members.has('num_kv_heads') ? { value: readCount(scope, 'num_kv_heads', HEADS), key: 'num_kv_heads' } : asQueryHeads;
}

/** The key of the type, else its default, else `hidden_size / num_attention_heads`, which has to be an integer (MOA1106). */
function readHeadDim(
  scope: Scope,
  written: Scope,
  { name, known }: FoundType,
  queryHeads: number | undefined,
  required: (key: string, range: IntegerRange) => number | undefined,
): Keyed {
  const { headDim: key, hiddenSize } = known.keys;
  if (scope.node.members.has(key)) return { value: readCount(scope, key, HEAD_DIM), key };
  const byDefault = known.defaults[key];
  if (typeof byDefault === 'number') {
    if (!written.node.members.has(key)) return { value: noteDefault(scope, name, key, byDefault), key };
    return { value: requireInteger(scope, key, HEAD_DIM), key };
  }
  const size = required(hiddenSize, HIDDEN);
  if (size === undefined || queryHeads === undefined) return { value: undefined, key: hiddenSize };
  const headDim = size / queryHeads;
  if (Number.isInteger(headDim) && headDim <= MAX_HEAD_DIM) return { value: headDim, key: hiddenSize };
  const message = `hidden_size ${size} over ${queryHeads} heads gives no head dimension from 1 to ${MAX_HEAD_DIM}`;
  scope.report.error('MOA1106', offsetOf(scope, hiddenSize), joinPath(scope.path, hiddenSize), message, { help: `add "${key}"` });
  return { value: undefined, key: hiddenSize };
}

function noteDefault(scope: Scope, type: string | undefined, key: string, value: number): number {
  const message = `the config does not say ${key}; ${value} is taken, the default of models of the type "${type ?? ''}"`;
  scope.report.note('MOA1334', scope.node.offset, joinPath(scope.path, key), message, { help: `add "${key}" if it is another` });
  return value;
}

const requireCount = (scope: Scope, key: string, range: IntegerRange): number | undefined =>
  scope.node.members.has(key) ? readCount(scope, key, range) : requireInteger(scope, key, range);

/** An integer; a list, which is a number for each layer, is an error of its own (MOA1333). */
function readCount(scope: Scope, key: string, range: IntegerRange): number | undefined {
  const value = scope.node.members.get(key)!.value;
  if (value.kind !== 'array') return readInteger(scope, key, range);
  const message = `${key} is a list: it differs by layer, and a plan has one shape for all layers`;
  scope.report.error('MOA1333', value.offset, joinPath(scope.path, key), message);
  return undefined;
}
