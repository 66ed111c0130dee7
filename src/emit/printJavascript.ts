import { invariant } from '../util/invariant.ts';

const columns = 120;

/**
 * A value of plain data as JavaScript that reads as if written by hand: an object or array on one line where that fits after `indent`, otherwise
 * one member a line. Arrays of numbers and strings stay on one line, and so does an item of an array that `comment` has words for: they stand above it.
 */
export function printJavascript(value: unknown, indent = '', comment: (item: unknown) => string | undefined = () => undefined): string {
  const line = printOnOneLine(value);
  if (!isNested(value) || (indent.length + line.length < columns && !hasComments(value, comment))) return line;
  const inner = `${indent}    `;
  if (Array.isArray(value)) {
    const items = value.map((item: unknown) => {
      const said = comment(item);
      return said === undefined ? `${inner}${printJavascript(item, inner, comment)},\n` : `${inner}// ${said}\n${inner}${printOnOneLine(item)},\n`;
    });
    return `[\n${items.join('')}${indent}]`;
  }
  const members = Object.entries(value).map(([key, member]) => `${inner}${printKey(key)}: ${printJavascript(member, inner, comment)},\n`);
  return `{\n${members.join('')}${indent}}`;
}

function printOnOneLine(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printOnOneLine).join(', ')}]`;
  if (typeof value === 'string') return printString(value);
  if (typeof value !== 'object' || value === null) {
    invariant(value === null || typeof value === 'boolean' || Number.isFinite(value), `printJavascript: cannot print ${String(value)}`);
    return String(value);
  }
  const members = Object.entries(value).map(([key, member]) => `${printKey(key)}: ${printOnOneLine(member)}`);
  return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`;
}

/** Whether `value` may take several lines. */
function isNested(value: unknown): value is object {
  if (Array.isArray(value)) return value.some((item) => typeof item === 'object' && item !== null);
  return typeof value === 'object' && value !== null;
}

const hasComments = (value: unknown, comment: (item: unknown) => string | undefined): boolean => Array.isArray(value) && value.some((item) => comment(item) !== undefined);

const printKey = (key: string): string => (/^[A-Za-z_]\w*$/.test(key) ? key : printString(key));

function printString(text: string): string {
  const body = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'");
  return `'${body}'`;
}
