import type { SpanLimits } from '../../ir/rule.ts';
import type { FieldReader } from '../fields.ts';
import type { LatencyTable } from '../latencyTable.ts';
import type { Candidate, Constraint } from './certificate.ts';
import { keptAt } from './spanAt.ts';

/** Reports where the table of a constraint does not reach: its length, and spans shorter than its first (MOA7206). */
export function latencyTableLimits(fields: FieldReader, path: string, { table, length }: Extract<Constraint, { kind: 'latency' }>, candidates: readonly Candidate[], limits: SpanLimits, windows: readonly (number | null)[]): void {
  const entries = table.lengths.filter((entry) => entry.length === length);
  if (entries.length !== 1) return fields.error('MOA7206', `${path}.table`, `the table has ${entries.length} entries for the length ${length}`);
  const [first] = entries[0]!.spans;
  const shortest = Math.min(...candidates.flatMap((candidate) => windows.map((own) => keptAt(candidate, limits, length, own))));
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
