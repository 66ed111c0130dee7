import { invariant } from '../util/invariant.ts';

const columns = 120;

/**
 * A value of plain data as JSON that reads as if written by hand: an object or array on one line where that fits after `indent`, otherwise one member a line. Arrays of numbers and
 * strings stay on one line.
 */
export function printJson(value: unknown, indent = ''): string {
  const line = printOnOneLine(value);
  if (!isNested(value) || indent.length + line.length < columns) return line;
  const inner = `${indent}  `;
  const [open, close, members] = Array.isArray(value)
    ? ['[', ']', value.map((item: unknown) => printJson(item, inner))]
    : ['{', '}', Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}: ${printJson(member, inner)}`)];
  return `${open}\n${members.map((member) => inner + member).join(',\n')}\n${indent}${close}`;
}

function printOnOneLine(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printOnOneLine).join(', ')}]`;
  if (typeof value !== 'object' || value === null) {
    invariant(value === null || typeof value === 'boolean' || typeof value === 'string' || Number.isFinite(value), `printJson: cannot print ${String(value)}`);
    return JSON.stringify(value);
  }
  const members = Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}: ${printOnOneLine(member)}`);
  return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`;
}

/** Whether `value` may take several lines. */
function isNested(value: unknown): value is object {
  if (Array.isArray(value)) return value.some((item) => typeof item === 'object' && item !== null);
  return typeof value === 'object' && value !== null;
}
