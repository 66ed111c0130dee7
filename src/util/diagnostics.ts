/**
 * What the compiler says to its user. Problems with input are collected in a `DiagnosticList` and reported all at once; a
 * broken invariant of the compiler is thrown instead (`invariant.ts`).
 */

export type Severity = 'error' | 'warning' | 'note';

export interface SourceLocation {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
}

export interface Diagnostic {
  /** `MOA1203`: 1xxx input files, 2xxx options, 3xxx passes, 4xxx toolchain, 5xxx disk, 6xxx runtime, 7xxx search. */
  readonly code: string;
  readonly severity: Severity;
  readonly message: string;
  /** What to do about it. */
  readonly help?: string;
  readonly location?: SourceLocation;
  /** The JSON path in the input: `alphas[3][17]`. */
  readonly path?: string;
  /** Other places that matter, such as the other side of a contradiction. */
  readonly related?: readonly RelatedPlace[];
}

export interface RelatedPlace {
  /** What is there: `model.kvHeads is 8`. */
  readonly message: string;
  readonly location: SourceLocation;
}

/** Ends a compilation with what the user has to hear. `exitCode` is 1 (compile failed) or 2 (bad usage or input). */
export class DiagnosticError extends Error {
  readonly diagnostics: readonly Diagnostic[];
  readonly exitCode: 1 | 2;

  constructor(diagnostics: readonly Diagnostic[], exitCode: 1 | 2) {
    super(diagnostics.map(formatDiagnostic).join('\n'));
    this.name = 'DiagnosticError';
    this.diagnostics = diagnostics;
    this.exitCode = exitCode;
  }
}

/**
 * Collects diagnostics. Keeps the first `limit` errors and the first `limit` warnings and notes, so that neither hides the
 * other, and counts the rest.
 */
export class DiagnosticList {
  readonly #limit: number;
  readonly #kept: Diagnostic[] = [];
  #errors = 0;
  #others = 0;

  constructor(limit = 100) {
    this.#limit = limit;
  }

  add(diagnostic: Diagnostic): void {
    const count = diagnostic.severity === 'error' ? ++this.#errors : ++this.#others;
    if (count <= this.#limit) this.#kept.push(diagnostic);
  }

  get hasErrors(): boolean {
    return this.#errors > 0;
  }

  get errorCount(): number {
    return this.#errors;
  }

  /** All that was kept, in order, and a last note that counts the rest. */
  toArray(): readonly Diagnostic[] {
    const dropped = this.#errors + this.#others - this.#kept.length;
    if (dropped === 0) return [...this.#kept];
    const message = `${dropped} more ${dropped === 1 ? 'problem is' : 'problems are'} not shown`;
    return [...this.#kept, { code: 'MOA1000', severity: 'note', message }];
  }
}

/**
 * `plan.json:3:14: error MOA1203: message (at alphas[3][17])`, then an indented line for each related place and one of help.
 */
export function formatDiagnostic(diagnostic: Diagnostic): string {
  const { location, severity, code, message, path, help, related = [] } = diagnostic;
  const where = location === undefined ? '' : `${formatLocation(location)}: `;
  const at = path === undefined ? '' : ` (at ${path})`;
  const places = related.map((place) => `\n    see ${formatLocation(place.location)}: ${place.message}`).join('');
  const advice = help === undefined ? '' : `\n    help: ${help}`;
  return `${where}${severity} ${code}: ${message}${at}${places}${advice}`;
}

/** `plan.json:3:14`. */
export function formatLocation(location: SourceLocation): string {
  return `${location.file}:${location.line}:${location.column}`;
}
