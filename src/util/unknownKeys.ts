import { didYouMean } from './didYouMean.ts';
import { quote } from './quote.ts';

/** What is wrong with the keys of `options`, which may have those of `known`: a message for each other one, with the name that was probably meant. */
export function unknownKeys(options: object, known: Readonly<Record<string, true>>): readonly string[] {
  const names = Object.keys(known);
  return Object.keys(options)
    .filter((key) => !Object.hasOwn(known, key))
    .map((key) => {
      const meant = didYouMean(key, names);
      return `${quote(key)} is not known; ${meant === undefined ? `known are ${names.join(', ')}` : `did you mean ${meant}?`}`;
    });
}

/** Whether `value` is what options are given as: an object, and no array, typed array, map or function. */
export function isOptions(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value) && !(value instanceof Map) && !(value instanceof Set);
}
