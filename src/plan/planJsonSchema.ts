import type { JsonValue } from '../util/jsonReader.ts';
import { assertNever } from '../util/invariant.ts';
import { MAX_HEADS, MAX_LAYERS, PLAN_FIELDS, PLAN_FORMAT, PLAN_VERSION, type Field, type Fields, type FieldType } from './planSchema.ts';

type Schema = { readonly [key: string]: JsonValue };

/**
 * The JSON Schema of our plan format, from the table that the validator reads. What no schema can say the validator checks beyond it: rows of
 * equal length, as many as `model` says, sink < minSpan, at most 256 different rules, no key twice.
 */
export function planJsonSchema(): Schema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: `urn:moa-compile:${PLAN_FORMAT}:${PLAN_VERSION}`,
    title: 'MoA plan',
    description: 'For each layer and query head how many keys the head keeps of a sequence of at most N tokens: span(N) = alpha + beta * N tokens, the first `sink` tokens and a window of the newest. docs/plan-format.md says how it is rounded.',
    ...objectSchema(PLAN_FIELDS),
  };
}

function objectSchema(fields: Fields): Schema {
  const entries = Object.entries<Field>(fields);
  return {
    type: 'object',
    properties: Object.fromEntries(entries.map(([key, field]) => [key, fieldSchema(key, field)])),
    required: entries.filter(([, { required }]) => required).map(([key]) => key),
    additionalProperties: false,
  };
}

function fieldSchema(key: string, field: Field): Schema {
  return { title: key, description: field.description, ...typeSchema(field.type), ...(field.default === undefined ? {} : { default: field.default }) };
}

function typeSchema(type: FieldType): Schema {
  switch (type.kind) {
    case 'integer':
      return { type: 'integer', minimum: type.min, maximum: type.max, ...(type.multipleOf === undefined ? {} : { multipleOf: type.multipleOf }) };
    case 'number': {
      const range = { minimum: type.min, maximum: type.max };
      return { type: 'number', ...(type.zero === true ? { anyOf: [{ const: 0 }, range] } : range) };
    }
    case 'boolean':
      return { type: 'boolean' };
    case 'constant':
      return { const: type.value };
    case 'choice':
      return { enum: type.values };
    case 'string':
      return { type: 'string', ...(type.pattern === undefined ? {} : { pattern: type.pattern.source }) };
    case 'matrix': {
      const row = { type: 'array', minItems: 1, maxItems: MAX_HEADS, items: typeSchema(type.cell) };
      return { type: 'array', minItems: 1, maxItems: MAX_LAYERS, items: row };
    }
    case 'layers': {
      const items = { type: ['integer', 'null'], minimum: type.min, maximum: type.max };
      return { type: 'array', minItems: 1, maxItems: MAX_LAYERS, items };
    }
    case 'object':
      return objectSchema(type.fields);
    case 'opaque':
      return { type: 'object' };
    default:
      return assertNever(type);
  }
}
