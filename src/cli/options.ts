/** Values of options: text of the command line to what the compiler takes. */
import { InvalidArgumentError } from 'commander';
import type { EmitKind } from '../compilePackage.ts';
import type { CacheType, ElementType } from '../ir/nodes.ts';
import type { Ablation } from '../passes/pass.ts';
import { pipeline } from '../passes/pipeline.ts';
import { didYouMean } from '../util/didYouMean.ts';

export const emitKinds: readonly EmitKind[] = ['ir', 'cuda', 'cubin', 'ts'];

const elementTypeNames: Readonly<Record<string, ElementType>> = { bf16: 'bf16', bfloat16: 'bf16', fp16: 'fp16', float16: 'fp16', half: 'fp16' };

/** Collects an option that may be repeated. */
export const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

/** The path of an output. */
export function parseOutput(value: string): string {
  if (value.trim() === '') throw new InvalidArgumentError('the name is empty.');
  return value;
}

export function parseEmit(value: string): readonly EmitKind[] {
  return listOf(value, (word) => {
    const kind = emitKinds.find((known) => known === word);
    if (kind === undefined) throw new InvalidArgumentError(`'${word}' is none of ${emitKinds.join(', ')}.`);
    return kind;
  });
}

/** A list of some of these words; `none` for none of them. */
export const parseOneOf =
  <Word extends string>(words: readonly Word[]) =>
  (value: string): readonly Word[] =>
    value === 'none'
      ? []
      : listOf(value, (word) => {
          const found = words.find((known) => known === word);
          if (found === undefined) throw new InvalidArgumentError(`'${word}' is none of ${words.join(', ')}, none.`);
          return found;
        });

export function parseElementTypes(value: string): readonly ElementType[] {
  return listOf(value, (word) => {
    const type = elementTypeNames[word];
    if (type === undefined) throw new InvalidArgumentError(`'${word}' is neither bf16 nor fp16.`);
    return type;
  });
}

/** `fp8_e4m3` and `fp8` are the names that serving engines have for `e4m3`. */
const cacheTypeNames: ReadonlyMap<string, CacheType> = new Map([
  ['auto', 'element'],
  ['e4m3', 'e4m3'],
  ['fp8_e4m3', 'e4m3'],
  ['fp8', 'e4m3'],
]);

export function parseCacheType(value: string): CacheType {
  const type = cacheTypeNames.get(value);
  if (type !== undefined) return type;
  // Names of PyTorch and others hold ours: float8_e4m3fn.
  const meant = /e4m3/i.test(value) ? 'e4m3' : didYouMean(value, ['auto', 'e4m3']);
  const advice = meant === undefined ? '' : ` Did you mean ${meant}?`;
  throw new InvalidArgumentError(`'${value}' is neither auto nor e4m3.${advice}`);
}

const ablations: readonly Ablation[] = ['unspecialised', 'tensor-cores', 'cuda-cores'];

export function parseAblations(value: string): readonly Ablation[] {
  const parsed = listOf(value, (word) => {
    const ablation = ablations.find((known) => known === word || (known === 'unspecialised' && word === 'unspecialized'));
    if (ablation === undefined) throw new InvalidArgumentError(`'${word}' is none of ${ablations.join(', ')}.`);
    return ablation;
  });
  if (parsed.includes('tensor-cores') && parsed.includes('cuda-cores')) throw new InvalidArgumentError('tensor-cores and cuda-cores exclude each other.');
  return parsed;
}

export function parseCount(value: string): number {
  const count = Number(value);
  if (!Number.isSafeInteger(count) || count < 1) throw new InvalidArgumentError(`'${value}' is not a positive integer.`);
  return count;
}

export function parseNumber(value: string): number {
  const number = Number(value);
  if (value.trim() === '' || !Number.isFinite(number)) throw new InvalidArgumentError(`'${value}' is not a number.`);
  return number;
}

export const parseLengths = (value: string): readonly number[] => listOf(value, parseLength);

/** A number of tokens: `4096`, `16k`. */
function parseLength(word: string): number {
  const match = /^(\d{1,9})(k?)$/i.exec(word);
  const tokens = match === null ? 0 : Number(match[1]) * (match[2] === '' ? 1 : 1024);
  if (tokens < 1 || tokens > 2 ** 27) throw new InvalidArgumentError(`'${word}' is not a length from 1 to 2^27 tokens, such as 4096 or 16k.`);
  return tokens;
}

/** A number, for every length or for one: `0.5`, `0.25@16k`. */
export interface ValueAt {
  readonly value: number;
  readonly length?: number;
}

/** Parses lists of `ValueAt`; repeatable. Values are from 0 to `max`. */
export const parseValuesAt = (max: number) => (text: string, before: readonly ValueAt[] = []): readonly ValueAt[] => [
  ...before,
  ...listOf(text, (word) => {
    const [number, at, ...more] = word.split('@');
    const value = Number(number);
    if (number === '' || more.length > 0 || !(value >= 0 && value <= max)) throw new InvalidArgumentError(`'${word}' is not a number from 0 to ${max}, such as 0.5, or 0.25@16k for one length.`);
    return at === undefined ? { value } : { value, length: parseLength(at) };
  }),
];

export const parseLengthOption = (value: string): number => parseLength(value);

export function parseFraction(value: string): number {
  const fraction = Number(value);
  if (value.trim() === '' || !(fraction >= 0 && fraction <= 1)) throw new InvalidArgumentError(`'${value}' is not a number from 0 to 1.`);
  return fraction;
}

/** An integer from `min` to `max`. */
export const parseIntegerFrom = (min: number, max: number) => (value: string): number => {
  const number = Number(value);
  if (value.trim() === '' || !Number.isInteger(number) || number < min || number > max) throw new InvalidArgumentError(`'${value}' is not an integer from ${min} to ${max}.`);
  return number;
};

export function parsePass(value: string): string {
  if (value !== 'all' && !pipeline.some((pass) => pass.name === value)) {
    throw new InvalidArgumentError(`there is no pass '${value}'; passes are ${pipeline.map((pass) => pass.name).join(', ')}.`);
  }
  return value;
}

export function parseStopAfter(value: string): string {
  if (value === 'all') throw new InvalidArgumentError('name one pass.');
  return parsePass(value);
}

function listOf<Value>(text: string, parse: (word: string) => Value): readonly Value[] {
  const words = text.split(/[\s,]+/).filter((word) => word !== '');
  if (words.length === 0) throw new InvalidArgumentError('the list is empty.');
  return [...new Set(words.map(parse))];
}
