import { invariant } from './invariant.ts';

const MAX_DEPTH = 64;

/**
 * Pretty JSON that depends on the value alone: keys sorted by UTF-16 units, two spaces, arrays of plain values on one line, LF at the end.
 * Properties that are undefined are left out. Throws an internal error for what JSON cannot hold: infinite numbers, undefined
 * items, functions, bigints, instances of classes, cycles.
 */
export function stableJson(value: unknown): string {
  return `${print(value, '', 0)}\n`;
}

function print(value: unknown, indent: string, depth: number): string {
  invariant(depth <= MAX_DEPTH, 'stableJson: a cycle, or nested too deep');
  if (isScalar(value)) return printScalar(value);
  invariant(typeof value === 'object', `stableJson: cannot print ${typeof value}`);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    if (value.every(isScalar)) return `[${value.map(printScalar).join(', ')}]`;
    return `[\n${value.map((item) => inner + print(item, inner, depth + 1)).join(',\n')}\n${indent}]`;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  invariant(prototype === Object.prototype || prototype === null, 'stableJson: cannot print an instance of a class');
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  if (entries.length === 0) return '{}';
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{\n${entries.map(([key, member]) => `${inner}${JSON.stringify(key)}: ${print(member, inner, depth + 1)}`).join(',\n')}\n${indent}}`;
}

type Scalar = null | boolean | number | string;

const isScalar = (value: unknown): value is Scalar =>
  value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string';

function printScalar(value: Scalar): string {
  invariant(typeof value !== 'number' || Number.isFinite(value), `stableJson: cannot print ${String(value)}`);
  return JSON.stringify(value);
}
