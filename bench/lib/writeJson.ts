import { renameSync, writeFileSync } from 'node:fs';

/** A value that is printed in one line up to this width, so that a row of a table is a line of the file. */
const width = 300;

/** JSON for files that people compare: small values on one line, the others one entry a line. */
export function printJson(value: unknown, indent = ''): string {
  const inner = `${indent} `;
  const block = (open: string, entries: readonly string[], close: string): string => `${open}\n${inner}${entries.join(`,\n${inner}`)}\n${indent}${close}`;
  const short = JSON.stringify(value);
  if (indent !== '' && indent.length + short.length <= width) return short;
  if (Array.isArray(value)) return value.length === 0 ? short : block('[', value.map((entry) => printJson(entry, inner)), ']');
  if (typeof value !== 'object' || value === null) return short;
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
  return entries.length === 0 ? short : block('{', entries.map(([key, entry]) => `${JSON.stringify(key)}: ${printJson(entry, inner)}`), '}');
}

/** Writes whole or not at all: a program that is killed leaves what it wrote before. */
export function writeJson(path: string, value: unknown): void {
  writeFileSync(`${path}.part`, `${printJson(value)}\n`);
  renameSync(`${path}.part`, path);
}
