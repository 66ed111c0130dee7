import { quote } from './quote.ts';

/** A value of any type in an error: short, on one line, and never a failure of its own. */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return quote(value);
    case 'bigint':
      return `the BigInt ${String(value).slice(0, 40)}`;
    case 'symbol':
      return 'a symbol';
    case 'function':
      return 'a function';
    case 'object':
      if (value === null) return 'null';
      if (Array.isArray(value)) return `an array of ${value.length}`;
      return ArrayBuffer.isView(value) ? `a ${Object.prototype.toString.call(value).slice(8, -1)}` : 'an object';
    default:
      return Object.is(value, -0) ? '-0' : String(value);
  }
}
