/**
 * Reads JSON from people we do not know. Strict (RFC 8259), without recursion, with limits on bytes, depth and values, and with
 * the offset of every key and value, so that a message can point at it.
 */
import { decodeText } from './decodeText.ts';
import type { DiagnosticList } from './diagnostics.ts';
import type { InputCode } from './inputCodes.ts';
import { JsonFault, JsonScanner } from './jsonScanner.ts';
import { joinPath, quote } from './quote.ts';
import type { SourceText } from './sourceText.ts';

interface Positioned {
  /** Where the value starts in the text, in UTF-16 units. */
  readonly offset: number;
}

export interface JsonMember {
  readonly keyOffset: number;
  readonly value: JsonNode;
}

export interface JsonObject extends Positioned {
  readonly kind: 'object';
  /** In the order of the text. */
  readonly members: ReadonlyMap<string, JsonMember>;
}

export interface JsonArray extends Positioned {
  readonly kind: 'array';
  readonly items: readonly JsonNode[];
}

export interface JsonNumber extends Positioned {
  readonly kind: 'number';
  /** Infinite where the text had a number too large for a float, which has been reported then. */
  readonly value: number;
}

export interface JsonString extends Positioned {
  readonly kind: 'string';
  readonly value: string;
}

export interface JsonBoolean extends Positioned {
  readonly kind: 'boolean';
  readonly value: boolean;
}

export interface JsonNull extends Positioned {
  readonly kind: 'null';
}

export type JsonNode = JsonObject | JsonArray | JsonNumber | JsonString | JsonBoolean | JsonNull;

/** A value without positions. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

export interface JsonDocument {
  readonly source: SourceText;
  readonly root: JsonNode;
}

export interface JsonLimits {
  readonly maxBytes: number;
  /** Arrays and objects inside one another. */
  readonly maxDepth: number;
  /** Values of all kinds, containers included. */
  readonly maxValues: number;
}

export const DEFAULT_JSON_LIMITS: JsonLimits = { maxBytes: 4 * 1024 * 1024, maxDepth: 16, maxValues: 1024 * 1024 };

const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

interface OpenObject {
  readonly kind: 'object';
  readonly offset: number;
  readonly members: Map<string, JsonMember>;
  key: string;
  keyOffset: number;
  /** Whether the member being read has been reported and is left out. */
  dropped: boolean;
}

interface OpenArray {
  readonly kind: 'array';
  readonly offset: number;
  readonly items: JsonNode[];
}

type Open = OpenObject | OpenArray;

/**
 * Reads `input`. A text that is not JSON, not UTF-8 or over a limit is reported once and gives undefined. Keys that appear twice
 * (the first is kept), forbidden keys (left out) and infinite numbers are reported each, and the document is returned all the same, so that its
 * other mistakes can be reported with them: ask `diagnostics` whether there were errors.
 */
export function readJson(
  input: Uint8Array | string,
  file: string,
  diagnostics: DiagnosticList,
  limits: Partial<JsonLimits> = {},
): JsonDocument | undefined {
  const { maxBytes, maxDepth, maxValues } = { ...DEFAULT_JSON_LIMITS, ...limits };
  const source = decodeText(input, file, maxBytes, diagnostics);
  if (source === undefined) return undefined;
  try {
    return { source, root: readTree(source, diagnostics, maxDepth, maxValues) };
  } catch (fault) {
    if (!(fault instanceof JsonFault)) throw fault;
    const { code, message, help, offset } = fault;
    diagnostics.add({ code, severity: 'error', message, location: source.locate(offset), ...(help === undefined ? {} : { help }) });
    return undefined;
  }
}

function readTree(source: SourceText, diagnostics: DiagnosticList, maxDepth: number, maxValues: number): JsonNode {
  const scanner = new JsonScanner(source.text);
  /** The containers around the value being read, outermost first. */
  const stack: Open[] = [];
  let values = 0;

  const report = (code: InputCode, offset: number, message: string, help: string): void => {
    const path = pathOf(stack);
    diagnostics.add({ code, severity: 'error', message, help, location: source.locate(offset), ...(path === '' ? {} : { path }) });
  };

  const readKey = (object: OpenObject): void => {
    if (scanner.peek() !== '"') throw scanner.unexpected('a key in double quotes');
    object.keyOffset = scanner.position;
    object.key = scanner.string();
    object.dropped = false;
    const earlier = object.members.get(object.key);
    if (FORBIDDEN_KEYS.has(object.key)) {
      object.dropped = true;
      report('MOA1014', object.keyOffset, `the key ${quote(object.key)} is not allowed`, 'take it out');
    } else if (earlier !== undefined) {
      object.dropped = true;
      const { line } = source.locate(earlier.keyOffset);
      report('MOA1013', object.keyOffset, `the key ${quote(object.key)} was already given at line ${line}`, 'keep one of the two');
    }
    if (scanner.peek() !== ':') throw scanner.unexpected('":"');
    scanner.position += 1;
  };

  for (;;) {
    // A value starts here.
    const first = scanner.peek();
    const offset = scanner.position;
    values += 1;
    if (values > maxValues) throw new JsonFault(offset, `the text holds more than ${maxValues} values`, undefined, 'MOA1017');
    let node: JsonNode;
    if (first === '{' || first === '[') {
      if (stack.length >= maxDepth) {
        throw new JsonFault(offset, `arrays and objects are nested more than ${maxDepth} deep`, undefined, 'MOA1016');
      }
      scanner.position += 1;
      const open: Open =
        first === '{'
          ? { kind: 'object', offset, members: new Map(), key: '', keyOffset: 0, dropped: false }
          : { kind: 'array', offset, items: [] };
      if (scanner.peek() !== closer(open)) {
        stack.push(open);
        if (open.kind === 'object') readKey(open);
        continue;
      }
      scanner.position += 1;
      node = close(open);
    } else if (first === '"') {
      node = { kind: 'string', offset, value: scanner.string() };
    } else if (first === '-' || (first >= '0' && first <= '9')) {
      node = { kind: 'number', offset, value: scanner.number() };
      if (!Number.isFinite(node.value)) {
        const written = quote(source.text.slice(offset, scanner.position));
        report('MOA1015', offset, `${written} is too large for a 64-bit float`, 'write a smaller number');
      }
    } else {
      const value = scanner.literal();
      node = value === null ? { kind: 'null', offset } : { kind: 'boolean', offset, value };
    }

    // A value ends here, and with it perhaps containers.
    for (;;) {
      const open = stack.at(-1);
      if (open === undefined) {
        if (scanner.peek() !== '') throw scanner.unexpected('the end of the text');
        return node;
      }
      if (open.kind === 'array') open.items.push(node);
      else if (!open.dropped) open.members.set(open.key, { keyOffset: open.keyOffset, value: node });
      const next = scanner.peek();
      if (next === ',') {
        readComma(scanner, open);
        if (open.kind === 'object') readKey(open);
        break;
      }
      if (next !== closer(open)) throw notClosed(scanner, open, source);
      scanner.position += 1;
      stack.pop();
      node = close(open);
    }
  }
}

const closer = (open: Open): string => (open.kind === 'object' ? '}' : ']');

function close(open: Open): JsonObject | JsonArray {
  const { offset } = open;
  return open.kind === 'object' ? { kind: 'object', offset, members: open.members } : { kind: 'array', offset, items: open.items };
}

function readComma(scanner: JsonScanner, open: Open): void {
  const offset = scanner.position;
  scanner.position += 1;
  if (scanner.peek() === closer(open)) {
    throw new JsonFault(offset, `a comma before ${quote(closer(open))}`, 'JSON has no trailing commas; take it out');
  }
}

function notClosed(scanner: JsonScanner, open: Open, source: SourceText): JsonFault {
  const { line, column } = source.locate(open.offset);
  return scanner.unexpected(`"," or ${quote(closer(open))} for the ${open.kind} that starts at ${line}:${column}`);
}

function pathOf(stack: readonly Open[]): string {
  return stack.reduce((path, open) => joinPath(path, open.kind === 'object' ? open.key : open.items.length), '');
}

/** The value of `node` without positions. Depth is bounded by the reader, so it recurses. */
export function toJsonValue(node: JsonNode): JsonValue {
  switch (node.kind) {
    case 'object':
      return Object.fromEntries([...node.members].map(([key, member]) => [key, toJsonValue(member.value)]));
    case 'array':
      return node.items.map(toJsonValue);
    case 'null':
      return null;
    default:
      return node.value;
  }
}
