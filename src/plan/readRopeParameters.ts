/** Reads single parameters of how frequencies are scaled. */
import { joinPath } from '../util/quote.ts';
import { readInteger, readNumber, requireMember } from './readFields.ts';
import { reportKind, type Scope } from './report.ts';

/** Tokens. */
const LENGTHS = { min: 1, max: 2 ** 30 } as const;
export const FACTORS = { min: 1, max: 1e6 } as const;
export const POSITIVE = { min: 1e-6, max: 1e6 } as const;

/** A positive number for each pair. */
export function readFactors(section: Scope, key: string, pairs: number): number[] | undefined {
  const list = requireMember(section, key, `${pairs} numbers, one for each pair`);
  if (list === undefined) return undefined;
  const at = joinPath(section.path, key);
  if (list.kind !== 'array') {
    reportKind(section.report, list, at, 'an array of numbers');
    return undefined;
  }
  if (list.items.length !== pairs) {
    section.report.error(
      'MOA1106',
      list.offset,
      at,
      `${key} has ${list.items.length} numbers; ${2 * pairs} elements of a head turn, so ${pairs} are needed`,
    );
    return undefined;
  }
  const bad = list.items.findIndex(
    (item) => item.kind !== 'number' || !(item.value >= POSITIVE.min && item.value <= POSITIVE.max),
  );
  if (bad < 0) return list.items.map((item) => (item as { readonly value: number }).value);
  const item = list.items[bad]!;
  if (item.kind === 'number')
    section.report.error(
      'MOA1106',
      item.offset,
      `${at}[${bad}]`,
      `${item.value} is not from ${POSITIVE.min} to ${POSITIVE.max}`,
    );
  else reportKind(section.report, item, `${at}[${bad}]`, 'a number');
  return undefined;
}

/**
 * The length that the model was trained for: beside the section where a config has it there, else
 * in it.
 */
export function originalLengthOf(config: Scope, section: Scope): number | undefined {
  const key = 'original_max_position_embeddings';
  const beside = readInteger(config, key, LENGTHS);
  const inside = readInteger(section, key, LENGTHS);
  if (beside !== undefined && inside !== undefined && beside !== inside) {
    section.report.error(
      'MOA1403',
      section.node.members.get(key)!.value.offset,
      joinPath(section.path, key),
      `${key} is ${inside} here and ${beside} beside it`,
      { help: 'mend one of them' },
    );
    return undefined;
  }
  if (beside === undefined && !section.node.members.has(key))
    requireMember(section, key, 'the length that the model was trained for, in tokens');
  return beside ?? inside;
}

export function required(
  section: Scope,
  key: string,
  range = FACTORS as { readonly min: number; readonly max: number },
): number | undefined {
  return (
    requireMember(section, key, `a number from ${range.min} to ${range.max}`) &&
    readNumber(section, key, range, 'positive')
  );
}

export function requiredLength(scope: Scope, key: string): number | undefined {
  return requireMember(scope, key, 'a number of tokens') && readInteger(scope, key, LENGTHS);
}

export function outOfRange(section: Scope, key: string, message: string): void {
  section.report.error(
    'MOA1106',
    section.node.members.get(key)?.value.offset ?? section.node.offset,
    joinPath(section.path, key),
    message,
  );
}
