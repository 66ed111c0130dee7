/** Where the command line writes: results to stdout, everything said about them to stderr. */
import { writeSync } from 'node:fs';
import { errorCode } from '../emit/diskDiagnostics.ts';
import { DiagnosticError, formatDiagnostic, type Diagnostic } from '../util/diagnostics.ts';

export interface Output {
  /** Results. */
  readonly print: (text: string) => void;
  /** Diagnostics and notes. */
  readonly say: (text: string) => void;
  /** Whether progress may be drawn. */
  readonly interactive: boolean;
}

/**
 * Writes through file descriptors, so that nothing is lost when the process ends. A closed pipe ends the output silently: its reader
 * has what it wants. Throws a DiagnosticError (MOA5012) when results cannot be written for another reason.
 */
export const standardOutput = (quiet: boolean): Output => ({
  print: (text) => {
    const problem = write(1, text);
    if (problem !== undefined) throw new DiagnosticError([outputProblem(problem)], 1);
  },
  say: (text) => {
    sayingFailed = write(2, text) !== undefined || sayingFailed;
  },
  interactive: !quiet && process.stderr.isTTY === true,
});

/** Whether something that had to be said was lost. Nobody can be told, but for the exit code. */
let sayingFailed = false;

/** Whether standard error took all that was said since this was last asked. */
export function allWasSaid(): boolean {
  const said = !sayingFailed;
  sayingFailed = false;
  return said;
}

/** Writes a line; the error's code where that fails. */
function write(descriptor: number, text: string): string | undefined {
  let bytes = Buffer.from(`${text}\n`);
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(descriptor, bytes));
    } catch (error) {
      const code = errorCode(error);
      if (code === 'EAGAIN') continue;
      if (code === 'EPIPE') return undefined;
      if (code === undefined) throw error;
      return code;
    }
  }
  return undefined;
}

function outputProblem(code: string): Diagnostic {
  const why = code === 'ENOSPC' || code === 'EDQUOT' ? 'no space is left' : 'the system refused it';
  const message = `standard output could not be written: ${why} (${code})`;
  const help = 'free some space, or send the output elsewhere; files that the command had written by then are whole';
  return { code: 'MOA5012', severity: 'error', message, help };
}

/** Warnings that are said in any case: what is compiled may not be what was meant. */
const ALWAYS_SAID: ReadonlySet<string> = new Set(['MOA1204']);

/** Says `diagnostics`; of warnings and notes only when not quiet, or those that matter in any case. */
export function sayDiagnostics(output: Output, diagnostics: readonly Diagnostic[], quiet: boolean): void {
  for (const diagnostic of diagnostics) {
    if (!quiet || diagnostic.severity === 'error' || ALWAYS_SAID.has(diagnostic.code)) output.say(formatDiagnostic(diagnostic));
  }
}

/** With `--strict`, warnings are errors: throws them, with exit code 2. */
export function refuseWarnings(diagnostics: readonly Diagnostic[], strict: boolean | undefined): void {
  if (strict !== true || !diagnostics.some(({ severity }) => severity === 'warning')) return;
  throw new DiagnosticError(diagnostics.map((diagnostic) => (diagnostic.severity === 'warning' ? { ...diagnostic, severity: 'error' } : diagnostic)), 2);
}

/** Rows of text as aligned columns; the first row is the header. Columns of numbers are aligned to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const numeric = rows[0]!.map((_, column) => rows.slice(1).every((row) => /^[-+]?[\d.,]+( ?(%|[KMGT]iB|B))?$|^-?$/.test(row[column]!)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (numeric[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** `1.25 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(2)} ${units[unit]}`;
}

export const formatPercent = (fraction: number): string => `${(fraction * 100).toFixed(1)} %`;
