/** Readers of JSON values that have no positions: what a plan carries, and the text inside of a profile. Mistakes are placed by their JSON path. */
import type { DiagnosticList } from '../util/diagnostics.ts';
import { didYouMean } from '../util/didYouMean.ts';
import type { JsonValue } from '../util/jsonReader.ts';
import { joinPath, quote } from '../util/quote.ts';
import type { SearchCode } from './codes.ts';

export type JsonRecord = { readonly [key: string]: JsonValue };

export interface FieldCodes {
  readonly key: SearchCode;
  readonly value: SearchCode;
  readonly format: SearchCode;
}

export interface Range {
  readonly min: number;
  readonly max: number;
}

/** Reads fields of one document. Each reader reports what is wrong and returns undefined then. */
export class FieldReader {
  readonly #file: string;
  readonly #codes: FieldCodes;
  readonly #diagnostics: DiagnosticList;

  constructor(file: string, codes: FieldCodes, diagnostics: DiagnosticList) {
    this.#file = file;
    this.#codes = codes;
    this.#diagnostics = diagnostics;
  }

  error(code: SearchCode, path: string, message: string, help?: string): undefined {
    const location = { file: this.#file, line: 1, column: 1 };
    this.#diagnostics.add({ code, severity: 'error', message, location, ...(path === '' ? {} : { path }), ...(help === undefined ? {} : { help }) });
  }

  /** An object with the keys `required`, perhaps with those of `optional`, and no others. Missing and unknown ones are reported, and it is returned all the same. */
  object(value: JsonValue | undefined, path: string, required: readonly string[], optional: readonly string[] = []): JsonRecord | undefined {
    if (value === undefined) return undefined;
    if (!isRecord(value)) return this.#kind(value, path, 'an object');
    const missing = required.filter((key) => !Object.hasOwn(value, key));
    const meant = new Set<string>();
    for (const key of Object.keys(value)) {
      if (required.includes(key) || optional.includes(key)) continue;
      const near = didYouMean(key, [...missing, ...optional.filter((name) => !Object.hasOwn(value, name))]);
      if (near !== undefined) meant.add(near);
      const help = near === undefined ? `take it out; the keys here are ${[...required, ...optional].join(', ')}` : `did you mean "${near}"?`;
      this.error(this.#codes.key, joinPath(path, key), `unknown key ${quote(key)}`, help);
    }
    for (const key of missing) if (!meant.has(key)) this.error(this.#codes.key, path, `the key "${key}" is missing`);
    return value;
  }

  /** Whether `format` and `version` are those that are read. */
  format(record: JsonRecord, path: string, format: string, version: number): boolean {
    if (record['format'] === format && record['version'] === version) return true;
    const known = record['format'] === format;
    const found = known ? `version ${show(record['version'])}` : `format ${show(record['format'])}`;
    this.error(this.#codes.format, joinPath(path, known ? 'version' : 'format'), `unknown ${found}`, `"${format}" of version ${version} is read`);
    return false;
  }

  array(value: JsonValue | undefined, path: string, { min, max }: Range): readonly JsonValue[] | undefined {
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) return this.#kind(value, path, 'an array');
    const items = value as readonly JsonValue[];
    if (items.length >= min && items.length <= max) return items;
    const wanted = min === max ? `${min}` : `${min} to ${max}`;
    return this.error(this.#codes.value, path, `${items.length} items; there have to be ${wanted}`);
  }

  number(value: JsonValue | undefined, path: string, { min, max }: Range): number | undefined {
    if (value === undefined) return undefined;
    if (typeof value !== 'number') return this.#kind(value, path, 'a number');
    if (value >= min && value <= max) return value;
    return this.error(this.#codes.value, path, Number.isFinite(min) || Number.isFinite(max) ? `${value} is not from ${min} to ${max}` : `${value} is not finite`);
  }

  integer(value: JsonValue | undefined, path: string, range: Range): number | undefined {
    if (typeof value === 'number' && !Number.isInteger(value)) return this.error(this.#codes.value, path, `expected an integer, found ${value}`);
    return this.number(value, path, range);
  }

  /** True or false. */
  flag(value: JsonValue | undefined, path: string): boolean | undefined {
    if (value === undefined || typeof value === 'boolean') return value;
    return this.#kind(value, path, 'true or false');
  }

  /** A string that matches `pattern`; `what` says of what kind. */
  text(value: JsonValue | undefined, path: string, pattern: RegExp, what: string): string | undefined {
    if (value === undefined) return undefined;
    if (typeof value !== 'string') return this.#kind(value, path, 'a string');
    return pattern.test(value) ? value : this.error(this.#codes.value, path, `${quote(value)} is not ${what}`);
  }

  /** One of `choices`. */
  choice<Choice extends string>(value: JsonValue | undefined, path: string, choices: readonly Choice[]): Choice | undefined {
    if (value === undefined) return undefined;
    const found = choices.find((choice) => choice === value);
    return found ?? this.error(this.#codes.value, path, `${show(value)} is none of ${choices.map((choice) => `"${choice}"`).join(', ')}`);
  }

  /** Reads every item; undefined when one of them is wrong. */
  every<Item>(items: readonly JsonValue[] | undefined, path: string, read: (item: JsonValue, path: string) => Item | undefined): readonly Item[] | undefined {
    const found = items?.map((item, index) => read(item, joinPath(path, index)));
    return found?.every((item) => item !== undefined) === true ? found : undefined;
  }

  #kind(value: JsonValue, path: string, expected: string): undefined {
    return this.error(this.#codes.value, path, `expected ${expected}, found ${show(value)}`);
  }
}

const isRecord = (value: JsonValue): value is JsonRecord => typeof value === 'object' && value !== null && !Array.isArray(value);

/** A value in a message. */
function show(value: JsonValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') return quote(value);
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
