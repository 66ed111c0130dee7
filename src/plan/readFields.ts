/** Readers of single members of an object. Each reports what is wrong and returns undefined then, or when the member is absent. */
import type { JsonNode, JsonObject } from '../util/jsonReader.ts';
import { joinPath } from '../util/quote.ts';
import type { NumberRange } from './planSchema.ts';
import { reportKind, type Scope } from './report.ts';

/** The member, or undefined with MOA1103 unless a misspelt key stands for it. `what` says in the help what belongs there. */
export function requireMember({ node, path, report, misspelt }: Scope, key: string, what: string): JsonNode | undefined {
  const member = node.members.get(key);
  if (member === undefined && misspelt?.has(key) !== true) {
    report.error('MOA1103', node.offset, path, `the key "${key}" is missing`, { help: `add "${key}": ${what}` });
  }
  return member?.value;
}

export interface IntegerRange {
  readonly min: number;
  readonly max: number;
}

/** An integer of `range`; MOA1104 for another type or a fraction, MOA1106 outside the range. */
export function readInteger({ node, path, report }: Scope, key: string, { min, max }: IntegerRange): number | undefined {
  const value = node.members.get(key)?.value;
  if (value === undefined) return undefined;
  const at = joinPath(path, key);
  if (value.kind !== 'number') {
    reportKind(report, value, at, 'an integer');
  } else if (!Number.isFinite(value.value)) {
    return undefined; // Reported by the reader.
  } else if (!Number.isInteger(value.value)) {
    report.error('MOA1104', value.offset, at, `expected an integer, found ${value.value}`);
  } else if (value.value < min || value.value > max) {
    report.error('MOA1106', value.offset, at, `${value.value} is not from ${min} to ${max}`);
  } else {
    return value.value;
  }
  return undefined;
}

/** `readInteger` of a member that has to be there. */
export function requireInteger(scope: Scope, key: string, range: IntegerRange): number | undefined {
  if (requireMember(scope, key, `an integer from ${range.min} to ${range.max}`) === undefined) return undefined;
  return readInteger(scope, key, range);
}

/** A number of `range`, or 0 where `zero` allows it; MOA1104 for another type, MOA1106 outside the range. */
export function readNumber({ node, path, report }: Scope, key: string, { min, max }: NumberRange, zero: 'zero' | 'positive'): number | undefined {
  const value = node.members.get(key)?.value;
  if (value === undefined) return undefined;
  const at = joinPath(path, key);
  if (value.kind !== 'number') {
    reportKind(report, value, at, 'a number');
  } else if (!Number.isFinite(value.value)) {
    return undefined; // Reported by the reader.
  } else if (!(value.value >= min && value.value <= max) && !(zero === 'zero' && value.value === 0)) {
    report.error('MOA1106', value.offset, at, `${value.value} is not from ${min} to ${max}${zero === 'zero' ? ', or 0' : ''}`);
  } else {
    return value.value;
  }
  return undefined;
}

/** true or false; MOA1104 for another type. */
export function readBoolean({ node, path, report }: Scope, key: string): boolean | undefined {
  const value = node.members.get(key)?.value;
  if (value === undefined) return undefined;
  if (value.kind === 'boolean') return value.value;
  reportKind(report, value, joinPath(path, key), 'true or false');
  return undefined;
}

/** A string; MOA1104 for another type. */
export function readString({ node, path, report }: Scope, key: string): string | undefined {
  const value = node.members.get(key)?.value;
  if (value === undefined) return undefined;
  if (value.kind === 'string') return value.value;
  reportKind(report, value, joinPath(path, key), 'a string');
  return undefined;
}

/** An object; MOA1104 for another type. */
export function readObject({ node, path, report }: Scope, key: string): JsonObject | undefined {
  const value = node.members.get(key)?.value;
  if (value === undefined) return undefined;
  if (value.kind === 'object') return value;
  reportKind(report, value, joinPath(path, key), 'an object');
  return undefined;
}

/** `node` without the members that are null, for files in which null means absent. */
export function withoutNulls(node: JsonObject): JsonObject {
  return { ...node, members: new Map([...node.members].filter(([, member]) => member.value.kind !== 'null')) };
}

/** `record` without the members that are undefined. */
export function compact<Values extends object>(record: Values): { readonly [Key in keyof Values]?: Exclude<Values[Key], undefined> } {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as { [Key in keyof Values]?: Exclude<Values[Key], undefined> };
}

/** The offset of a member's value, or of the object where it is absent. */
export function offsetOf({ node }: Scope, key: string): number {
  return node.members.get(key)?.value.offset ?? node.offset;
}
