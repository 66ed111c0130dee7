import { describeValue } from '../util/describeValue.ts';
import { isOptions, unknownKeys } from '../util/unknownKeys.ts';

/** Throws what `fail` makes of it where `options` is no object, or has a key that nobody reads: a misspelled option is not ignored. */
export function checkOptions(what: string, options: unknown, known: Readonly<Record<string, true>>, fail: (message: string) => Error): void {
  if (!isOptions(options)) throw fail(`${what} is ${describeValue(options)}; an object of options is needed`);
  const problems = unknownKeys(options, known);
  if (problems.length > 0) throw fail(`${what}: ${problems.join('; ')}`);
}
