import { architectures as supported, findArchitecture } from '../arch/registry.ts';
import { MODEL_FLAG_NAMES } from '../plan/resolveModelShape.ts';
import { describeValue } from '../util/describeValue.ts';
import type { Diagnostic } from '../util/diagnostics.ts';
import { isOptions, unknownKeys } from '../util/unknownKeys.ts';

/** Whether a value may be an option, and what it is then, in words. */
interface Rule {
  readonly holds: (value: unknown) => boolean;
  readonly words: string;
}

const oneOf = (...values: readonly string[]): Rule => ({ holds: (value) => values.includes(value as string), words: `it is ${values.join(' or ')}` });
const integer = (least: number, most: number): Rule => ({ holds: (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most, words: `it is an integer from ${least} to ${most}` });
const listOf = (values: readonly string[], least: number): Rule => ({
  holds: (value) => Array.isArray(value) && value.length >= least && new Set(value).size === value.length && value.every((one) => values.includes(one as string)),
  words: `it is an array of ${least > 0 ? 'one or more' : 'any'} of ${values.join(', ')}, each once`,
});

/** Of the options whose values are looked at; what others hold is looked at where it is read. */
const rules: Readonly<Record<string, Rule>> = Object.freeze({
  elementTypes: listOf(['bf16', 'fp16'], 1),
  rope: { holds: (value) => typeof value === 'boolean', words: 'it is true or false' },
  cacheType: oneOf('element', 'e4m3'),
  slack: integer(0, 2 ** 20),
  decodeTokens: integer(1, 16),
  ablations: listOf(['unspecialised', 'tensor-cores', 'cuda-cores'], 0),
  observe: { holds: (value) => typeof value === 'function', words: 'it is a function' },
});

/** What is wrong with the options of a compilation from a program: keys that nobody reads, and values that are none of theirs. All of it at once. */
export function compileOptionProblems(options: unknown, known: Readonly<Record<string, true>>): readonly Diagnostic[] {
  if (!isOptions(options)) return [problem(`the options of compile are ${describeValue(options)}; an object is needed`)];
  const given = options as Readonly<Record<string, unknown>>;
  const values = Object.entries(rules).flatMap(([name, { holds, words }]) => (given[name] === undefined || holds(given[name]) ? [] : [problem(`the option ${name} is ${describeValue(given[name])}; ${words}`)]));
  return [...unknownKeys(options, known).map((text) => problem(`the option ${text}`)), ...architectureProblems(given['architectures']), ...values, ...modelProblems(given['model'])];
}

function architectureProblems(given: unknown): readonly Diagnostic[] {
  const help = `findArchitecture('${supported[0]!.name}') gives one; in the order of \`architectures\`, each once`;
  if (!Array.isArray(given)) return [problem(`the option architectures is ${describeValue(given)}; it is an array of architectures`, help)];
  const order = given.map((one: unknown) => supported.findIndex(({ name }) => isOptions(one) && 'name' in one && findArchitecture(String(one.name))?.name === name));
  const wrong = order.findIndex((place, index) => place < 0 || (index > 0 && place <= order[index - 1]!));
  return wrong < 0 ? [] : [problem(`the option architectures[${wrong}] is ${describeValue(given[wrong])}${order[wrong]! < 0 ? ', no architecture that kernels are compiled for' : ', which does not rise'}`, help)];
}

function modelProblems(given: unknown): readonly Diagnostic[] {
  if (given === undefined) return [];
  if (!isOptions(given)) return [problem(`the option model is ${describeValue(given)}; it is an object of facts of the model`)];
  const known = Object.fromEntries(Object.keys(MODEL_FLAG_NAMES).map((name) => [name, true as const]));
  return unknownKeys(given, known).map((text) => problem(`the option model: ${text}`));
}

const problem = (message: string, help?: string): Diagnostic => ({ code: 'MOA2010', severity: 'error', message, ...(help === undefined ? {} : { help }) });
