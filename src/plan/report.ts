import type { Diagnostic, DiagnosticList, RelatedPlace } from '../util/diagnostics.ts';
import { didYouMean } from '../util/didYouMean.ts';
import type { JsonDocument, JsonNode, JsonObject } from '../util/jsonReader.ts';
import { joinPath, quote } from '../util/quote.ts';
import type { SourceText } from '../util/sourceText.ts';
import type { PlanCode } from './codes.ts';
import type { Place } from './planSchema.ts';

/** What to say beyond the message. */
export interface Details {
  readonly help?: string;
  readonly related?: readonly RelatedPlace[];
}

/** Reports problems of one document and counts its errors. */
export class Report {
  readonly #source: SourceText;
  readonly #diagnostics: DiagnosticList;

  constructor({ source }: Pick<JsonDocument, 'source'>, diagnostics: DiagnosticList) {
    this.#source = source;
    this.#diagnostics = diagnostics;
  }

  /** A report on the same document to another list. */
  to(diagnostics: DiagnosticList): Report {
    return new Report({ source: this.#source }, diagnostics);
  }

  /** Of all documents that report to the same list. */
  get errorCount(): number {
    return this.#diagnostics.errorCount;
  }

  error(code: PlanCode, offset: number, path: string, message: string, details: Details = {}): void {
    this.#add('error', code, offset, path, message, details);
  }

  warning(code: PlanCode, offset: number, path: string, message: string, details: Details = {}): void {
    this.#add('warning', code, offset, path, message, details);
  }

  note(code: PlanCode, offset: number, path: string, message: string, details: Details = {}): void {
    this.#add('note', code, offset, path, message, details);
  }

  place(offset: number, path: string): Place {
    return { path, location: this.#source.locate(offset) };
  }

  #add(severity: Diagnostic['severity'], code: PlanCode, offset: number, path: string, message: string, details: Details): void {
    const location = this.#source.locate(offset);
    this.#diagnostics.add({ code, severity, message, location, ...(path === '' ? {} : { path }), ...details });
  }
}

/** An object being checked: its node, its JSON path, and whom to tell. */
export interface Scope {
  readonly node: JsonObject;
  readonly path: string;
  readonly report: Report;
  /** Keys that are absent because they are misspelt, which has been reported. */
  readonly misspelt?: ReadonlySet<string>;
}

const WITH_ARTICLE = {
  object: 'an object',
  array: 'an array',
  number: 'a number',
  string: 'a string',
  boolean: 'a boolean',
  null: 'null',
} as const;

/** `an object`, `a number`, ... for messages. */
export const describeKind = (kind: JsonNode['kind']): string => WITH_ARTICLE[kind];

/** Reports that the value at `path` should be of another kind (MOA1104). */
export function reportKind(report: Report, node: JsonNode, path: string, expected: string): void {
  report.error('MOA1104', node.offset, path, `expected ${expected}, found ${describeKind(node.kind)}`);
}

const MAX_SUGGESTIONS = 100;
/** How many unknown keys are shown that resemble none of ours. */
const MAX_UNKNOWN = 3;

/** Reports keys that are not in `known` (MOA1102), with the known key that was probably meant. Returns those. */
export function rejectUnknownKeys({ node, path, report }: Scope, known: readonly string[]): ReadonlySet<string> {
  const missing = known.filter((key) => !node.members.has(key));
  const unknown = [...node.members].filter(([key]) => !known.includes(key)).map(([key, { keyOffset }], index) => {
    return { key, keyOffset, meant: index < MAX_SUGGESTIONS ? didYouMean(key, missing) : undefined };
  });
  const others = unknown.filter(({ meant }) => meant === undefined);
  // One more is shown rather than counted.
  const shown = new Set(others.slice(0, others.length <= MAX_UNKNOWN + 1 ? others.length : MAX_UNKNOWN));
  for (const entry of unknown) {
    const { key, keyOffset, meant } = entry;
    if (meant === undefined && !shown.has(entry)) continue;
    const help = meant === undefined ? `take it out; the keys here are ${known.join(', ')}` : `did you mean "${meant}"?`;
    report.error('MOA1102', keyOffset, joinPath(path, key), `unknown key ${quote(key)}`, { help });
  }
  const next = others[shown.size];
  if (next !== undefined) {
    const message = `and ${others.length - shown.size} more unknown keys`;
    report.error('MOA1102', next.keyOffset, joinPath(path, next.key), message, { help: 'is this the right file?' });
  }
  return new Set(unknown.flatMap(({ meant }) => meant ?? []));
}
