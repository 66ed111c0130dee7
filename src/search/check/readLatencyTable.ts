import type { SpanLimits } from '../../ir/rule.ts';
import type { JsonValue } from '../../util/jsonReader.ts';
import type { FieldReader } from '../fields.ts';
import type { Candidate, Constraint, LatencyTable } from './certificate.ts';
import { keptAt } from './spanAt.ts';

const TOKENS = { min: 1, max: 2 ** 27 };
const LINE = /^[\x20-\x7e]{1,400}$/;

/** Reads a latency table, of a certificate at `path`. Undefined when an error was reported. */
export function readLatencyTable(fields: FieldReader, value: JsonValue, path: string): LatencyTable | undefined {
  const table = fields.object(value, path, ['format', 'version', 'device', 'phase', 'unit', 'headDim', 'groupSize', 'command', 'lengths']);
  if (table === undefined || !fields.format(table, path, 'moa-latency', 1)) return undefined;
  const text = (key: string): string | undefined => fields.text(table[key], `${path}.${key}`, LINE, 'a line of printable characters');
  const [device, command] = [text('device'), text('command')];
  const phase = fields.choice(table['phase'], `${path}.phase`, ['decode', 'prefill']);
  const unit = fields.choice(table['unit'], `${path}.unit`, ['us', 'ms']);
  const headDim = fields.integer(table['headDim'], `${path}.headDim`, TOKENS);
  const groupSize = fields.integer(table['groupSize'], `${path}.groupSize`, TOKENS);
  const lengths = fields.every(fields.array(table['lengths'], `${path}.lengths`, { min: 1, max: 64 }), `${path}.lengths`, (item, at) => readTimes(fields, item, at));
  if (device === undefined || command === undefined || phase === undefined || unit === undefined) return undefined;
  return headDim === undefined || groupSize === undefined || lengths === undefined ? undefined : { device, phase, headDim, groupSize, lengths };
}

function readTimes(fields: FieldReader, value: JsonValue, path: string): LatencyTable['lengths'][number] | undefined {
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

/** Reports where the table of a constraint does not reach: its length, and spans shorter than its first (MOA7206). */
export function latencyTableLimits(fields: FieldReader, path: string, { table, length }: Extract<Constraint, { kind: 'latency' }>, candidates: readonly Candidate[], limits: SpanLimits): void {
  const entries = table.lengths.filter((entry) => entry.length === length);
  if (entries.length !== 1) return fields.error('MOA7206', `${path}.table`, `the table has ${entries.length} entries for the length ${length}`);
  const [first] = entries[0]!.spans;
  const shortest = candidates.reduce((least, candidate) => Math.min(least, keptAt(candidate, limits, length)), length);
  if (shortest < first!) fields.error('MOA7206', `${path}.table`, `the table begins with a span of ${first} tokens at ${length}, and a candidate keeps ${shortest}`);
}

/** The time of a head that keeps `span` tokens; between spans of the table on a line. */
export function timeOf({ lengths }: LatencyTable, length: number, span: number): number {
  const { spans, times } = lengths.find((entry) => entry.length === length)!;
  const above = spans.findIndex((known) => known >= span);
  if (spans[above] === span) return times[above]!;
  const part = (span - spans[above - 1]!) / (spans[above]! - spans[above - 1]!);
  return times[above - 1]! + part * (times[above]! - times[above - 1]!);
}
