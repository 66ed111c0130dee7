import { definitionFormat } from '../ir/planDefinition.ts';
import { spanOps } from '../ir/spanOps.ts';
import { enums, structs } from '../ir/structs.ts';
import { variableMeanings } from '../kernels/variables.ts';
import { variantNames } from '../kernels/variants.ts';
import { maskShapes } from '../mask/registry.ts';
import type { JsonValue } from '../util/jsonReader.ts';

type Schema = { readonly [key: string]: JsonValue };

/**
 * The JSON Schema of `definition.json`, which docs/package-format.md explains. What no schema can say is there: numbers
 * that are indices of other lists, and that names of fields, buffers and sizes have a meaning.
 */
export function definitionJsonSchema(): Schema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: `urn:moa-compile:definition:${definitionFormat}`,
    title: 'definition.json of a package of moa-compile',
    description: 'What a host needs to run a compiled plan: docs/package-format.md.',
    ...record(definition, ['attention', 'ropes', 'ptx', 'tensorParallel']),
    $defs: { expression: expression(), rule: record(rule), limits: record(limits), rope: rope(), pointee },
  };
}

const integer = (minimum?: number): Schema => ({ type: 'integer', ...(minimum === undefined ? {} : { minimum }) });
const natural = integer(0);
const positive = integer(1);
const number: Schema = { type: 'number' };
const text: Schema = { type: 'string' };
const truth: Schema = { type: 'boolean' };
const nullable = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] });
const list = (items: Schema): Schema => ({ type: 'array', items });
const choice = (...values: readonly JsonValue[]): Schema => ({ enum: values });
const constant = (value: JsonValue): Schema => ({ const: value });
const defined = (name: string): Schema => ({ $ref: `#/$defs/${name}` });
/** An object with any keys. */
const mapOf = (values: Schema): Schema => ({ type: 'object', additionalProperties: values });
/** A path in the package. */
const path: Schema = { type: 'string', pattern: '^\\w[\\w.-]*(/\\w[\\w.-]*)*$' };
const sha256: Schema = { type: 'string', pattern: '^[0-9a-f]{64}$' };

/** An object with these keys and no others. */
function record(properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema {
  return {
    type: 'object',
    properties,
    required: Object.keys(properties).filter((key) => !optional.includes(key)),
    additionalProperties: false,
  };
}

const limits = { sink: natural, page: positive, minSpan: positive };
const rule = { kind: constant('rule'), alpha: integer(), numerator: natural, denominator: positive };

function expression(): Schema {
  const of = defined('expression');
  const forms: readonly (readonly [string, Readonly<Record<string, Schema>>])[] = [
    ['constant', { value: integer() }],
    ['variable', { name: text }],
    ...['add', 'subtract', 'product', 'min', 'max'].map((kind) => [kind, { left: of, right: of }] as const),
    ['multiply', { operand: of, by: integer() }],
    ['divide', { operand: of, by: positive }],
    ['roundUp', { operand: of, multiple: positive }],
    ['span', { rule: defined('rule'), limits: defined('limits') }],
  ];
  const meanings = { N: 'the length bound of a sequence, in tokens', ...variableMeanings };
  const names = Object.entries(meanings).map(([name, meaning]) => `${name}: ${meaning}`);
  return {
    description: `A number that follows from variables. ${names.join('; ')}; and the sizes of a set of buffers.`,
    oneOf: forms.map(([kind, fields]) => record({ kind: constant(kind), ...fields })),
  };
}

function rope(): Schema {
  const positiveNumber: Schema = { type: 'number', exclusiveMinimum: 0 };
  const factors = list(positiveNumber);
  const scalings: readonly (readonly [string, Readonly<Record<string, Schema>>])[] = [
    ['default', {}],
    ['linear', { factor: positiveNumber }],
    ['dynamic', { factor: positiveNumber, originalLength: positive }],
    [
      'llama3',
      { factor: positiveNumber, lowFrequencyFactor: number, highFrequencyFactor: number, originalLength: positive },
    ],
    [
      'yarn',
      {
        factor: positiveNumber,
        betaFast: number,
        betaSlow: number,
        truncate: truth,
        originalLength: positive,
        attentionFactor: positiveNumber,
      },
    ],
    [
      'longrope',
      { shortFactors: factors, longFactors: factors, originalLength: positive, attentionFactor: positiveNumber },
    ],
  ];
  const scaling = { oneOf: scalings.map(([type, fields]) => record({ type: constant(type), ...fields })) };
  return record({ theta: positiveNumber, rotaryDim: positive, pairing: choice('halves', 'interleaved'), scaling });
}

const pointee: Schema = choice('int32', 'uint32', 'float32', 'uint8', 'uint16', ...Object.keys(structs));

const layer = record(
  {
    modelWindow: nullable(positive),
    sink: natural,
    heads: list(natural),
    rings: list(record({ kvHeads: list(natural), rules: list(natural), span: natural, pages: natural })),
    rope: nullable(natural),
  },
  ['rope'],
);

/** What planners and other kernels have. */
const launch = {
  name: { type: 'string', pattern: '^moa_\\w+$' },
  threads: positive,
  sharedBytes: natural,
  grid: { ...defined('expression'), description: 'blocks of a launch' },
  params: { type: 'string', description: 'a name in params' },
  source: path,
  sha256: { ...sha256, description: 'of the source' },
} as const;

const kernel = record(
  {
    ...launch,
    role: choice(...new Set(variantNames.map(({ role }) => role))),
    variant: choice(...new Set(variantNames.map(({ variant }) => variant))),
    elementType: choice('bf16', 'fp16'),
    rope: truth,
    rotaryDim: positive,
    pairing: choice('halves', 'interleaved'),
    partialFloats: natural,
    blocksPerSm: natural,
    rows: natural,
    tokens: positive,
    learnedSinks: constant(true),
    architectures: list(text),
    layers: list(natural),
  },
  ['rotaryDim', 'pairing', 'tokens', 'learnedSinks'],
);

const rows = list(list(integer()));
const tables = {
  layerClass: list(natural),
  headSpans: list(list(natural)),
  ringSpans: list(list(natural)),
  sinks: list(natural),
  rules: rows,
  steps: rows,
  begins: list(natural),
};

const field = { name: text, offset: natural, comment: text };
const params = record({
  bytes: positive,
  fields: list(
    record({ ...field, type: choice('pointer', 'int32', 'float32', 'tensorMap'), of: defined('pointee') }, ['of']),
  ),
});
const struct = record({ bytes: positive, fields: list(record({ ...field, type: choice('int32', 'int64') })) });

const initial: Schema = {
  oneOf: [
    record({ kind: choice('none', 'host') }),
    record({ kind: constant('bytes'), value: { type: 'integer', minimum: 0, maximum: 255 } }),
    record({ kind: constant('range'), first: defined('expression'), step: integer() }),
    record({ kind: constant('table'), name: choice(...Object.keys(tables).filter((name) => name !== 'layerClass')) }),
  ],
};
const bufferSet = record({
  sizes: mapOf(defined('expression')),
  buffers: mapOf(record({ element: defined('pointee'), shape: list(defined('expression')), initial, comment: text })),
});

const definition = {
  format: constant(definitionFormat),
  shape: record(
    { layers: positive, layerNumbers: list(natural), queryHeads: positive, kvHeads: positive, headDim: positive },
    ['layerNumbers'],
  ),
  attention: record({ scale: number, softCap: number, learnedSinks: truth }),
  limits: defined('limits'),
  mask: choice(...Object.keys(maskShapes)),
  layout: record({ pageTokens: positive, pageBytes: positive, cacheType: choice('element', 'e4m3') }),
  ropes: list(defined('rope')),
  rules: list(defined('rule')),
  expressions: list(defined('expression')),
  layers: list(layer),
  kernels: list(kernel),
  planners: record({ changeSequence: record(launch), step: record(launch), planPrefill: record(launch) }),
  tables: record(tables),
  params: mapOf(params),
  structs: record(Object.fromEntries(Object.keys(structs).map((name) => [name, struct]))),
  enums: record({
    SequenceOperation: record(Object.fromEntries(enums.SequenceOperation.map((name) => [name, natural]))),
    SpanOp: record(Object.fromEntries(spanOps.map((name) => [name, natural]))),
  }),
  buffers: record({ session: bufferSet, decode: bufferSet, prefill: bufferSet }),
  prefill: record({
    kind: constant('prefillSchedule'),
    cacheShare: number,
    splitPages: positive,
    splitShare: { type: 'array', prefixItems: [natural, positive], items: false, minItems: 2 },
    byCost: truth,
  }),
  decode: record({ kind: constant('decodeSchedule'), minPages: positive, segmentPages: natural }),
  cubins: mapOf(path),
  ptx: record({ path, architectures: list(text) }),
  serves: list(text),
  tensorParallel: record({ rank: natural, ranks: positive, kvHeads: list(list(natural)) }),
};
