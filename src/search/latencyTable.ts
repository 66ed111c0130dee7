/** Times of our kernels, measured, by length and span: the cost of a plan in microseconds instead of bytes (docs/search-formats.md). */
import type { JsonValue } from '../util/jsonReader.ts';
import type { FieldReader } from './fields.ts';

export interface LatencyTable {
  readonly device: string;
  readonly phase: string;
  readonly headDim: number;
  readonly groupSize: number;
  readonly lengths: readonly LatencyRow[];
  /** The table as it was written. */
  readonly source: JsonValue;
}

export interface LatencyRow {
  readonly length: number;
  /** Tokens, rising; the last is the length. */
  readonly spans: readonly number[];
  /** Of one KV head of one layer, in the table's unit. */
  readonly times: readonly number[];
}

/** The time of one KV head with `span` at the row's length: linear between the row's spans, which have to reach down to it. */
export function timeOf({ spans, times }: LatencyRow, span: number): number {
  const after = spans.findIndex((known) => known >= span);
  if (spans[after] === span || after === 0) return times[after]!;
  const [left, right] = [spans[after - 1]!, spans[after]!];
  return times[after - 1]! + ((times[after]! - times[after - 1]!) * (span - left)) / (right - left);
}

const TOKENS = { min: 1, max: 2 ** 27 };
const LINE = /^[\x20-\x7e]{1,400}$/;

/** Reads a latency table, a whole file or a part of one at `path`. Undefined when an error was reported. */
export function readLatencyTable(fields: FieldReader, value: JsonValue, path: string): LatencyTable | undefined {
  const at = (key: string): string => (path === '' ? key : `${path}.${key}`);
  const table = fields.object(value, path, ['format', 'version', 'device', 'phase', 'unit', 'headDim', 'groupSize', 'command', 'lengths']);
  if (table === undefined || !fields.format(table, path, 'moa-latency', 1)) return undefined;
  const text = (key: string): string | undefined => fields.text(table[key], at(key), LINE, 'a line of printable characters');
  const [device, command] = [text('device'), text('command')];
  const phase = fields.choice(table['phase'], at('phase'), ['decode', 'prefill']);
  const unit = fields.choice(table['unit'], at('unit'), ['us', 'ms']);
  const headDim = fields.integer(table['headDim'], at('headDim'), TOKENS);
  const groupSize = fields.integer(table['groupSize'], at('groupSize'), TOKENS);
  const lengths = fields.every(fields.array(table['lengths'], at('lengths'), { min: 1, max: 64 }), at('lengths'), (item, place) => readTimes(fields, item, place));
  if (device === undefined || command === undefined || phase === undefined || unit === undefined) return undefined;
  return headDim === undefined || groupSize === undefined || lengths === undefined ? undefined : { device, phase, headDim, groupSize, lengths, source: value };
}

function readTimes(fields: FieldReader, value: JsonValue, path: string): LatencyRow | undefined {
  const entry = fields.object(value, path, ['length', 'spans', 'times']);
  const length = fields.integer(entry?.['length'], `${path}.length`, TOKENS);
  const spans = fields.every(fields.array(entry?.['spans'], `${path}.spans`, { min: 1, max: 4096 }), `${path}.spans`, (item, at) => fields.integer(item, at, TOKENS));
  const times = fields.every(fields.array(entry?.['times'], `${path}.times`, { min: 1, max: 4096 }), `${path}.times`, (item, at) => fields.number(item, at, { min: 0, max: Number.MAX_VALUE }));
  if (length === undefined || spans === undefined || times === undefined) return undefined;
  if (times.length !== spans.length) return fields.error('MOA7204', `${path}.times`, `${times.length} times for ${spans.length} spans`);
  if (spans.some((span, index) => index > 0 && span <= spans[index - 1]!)) return fields.error('MOA7204', `${path}.spans`, 'the spans do not rise');
  if (spans.at(-1) !== length) return fields.error('MOA7204', `${path}.spans`, `the last span is ${spans.at(-1)}, not the length, ${length}`);
  return { length, spans, times };
}

