import { didYouMean } from '../../util/didYouMean.ts';
import { joinPath, quote } from '../../util/quote.ts';
import { offsetOf } from '../readFields.ts';
import type { Scope } from '../report.ts';
import { ASSUME_PLAIN_FLAG } from './assumePlain.ts';
import { KNOWN_TYPES } from './knownModels.ts';
import type { RefusedType, UnderstoodType } from './modelType.ts';
import { PLAIN } from './typeOf.ts';
import type { ConfigScopes } from './textScopes.ts';
import { WRAPPER_TYPES } from './wrapperTypes.ts';

export interface FoundType {
  /** Of the language model; undefined where the config names none. */
  readonly name: string | undefined;
  readonly known: UnderstoodType;
  /** Whether the config names a type that is in the table. */
  readonly listed: boolean;
}

/**
 * The model type of a config and what is known of it. A config that names neither a type nor an architecture describes plain attention by
 * the keys of Llama. Undefined with an error for a type that is not known (MOA1331) or not one that plans are for (MOA1308, MOA1333).
 */
export function modelTypeOf({ file, text }: ConfigScopes, assumePlain: boolean): FoundType | undefined {
  const inner = typeIn(text);
  const outer = text.path === '' ? undefined : typeIn(file);
  if (outer !== undefined && !isWrapper(outer) && !checkOuter(outer, file, assumePlain)) return undefined;
  const named = inner ?? outer;
  const scope = inner === undefined ? file : text;
  const name = named !== undefined && isWrapper(named) ? WRAPPER_TYPES[named] : named;
  if (name === null) {
    unknown(scope, `the config of the language model in a ${quote(named!)} names no model_type`);
    return undefined;
  }
  if (name === undefined) return namesArchitecture(file) ? unknown(file, 'the config names no model_type') : plainType(undefined);
  const known = KNOWN_TYPES.get(name);
  if (known?.status === 'understood') return { name, known, listed: true };
  if (known !== undefined) return refuse(scope, name, known);
  return assumePlain ? assume(scope, name) : unknownType(scope, name);
}

/** Which layers of it have windows, only `layer_types` can say. */
const plainType = (name: string | undefined): FoundType => ({ name, known: { ...PLAIN, windows: { rule: 'stated' } }, listed: false });

function typeIn({ node }: Scope): string | undefined {
  const value = node.members.get('model_type')?.value;
  return value?.kind === 'string' ? value.value : undefined;
}

const isWrapper = (type: string): boolean => Object.hasOwn(WRAPPER_TYPES, type);

/** Whether the type of a file around the config of a language model is one that may be believed. */
function checkOuter(type: string, file: Scope, assumePlain: boolean): boolean {
  const known = KNOWN_TYPES.get(type);
  if (known?.status === 'understood') return true;
  if (known !== undefined) refuse(file, type, known);
  else if (assumePlain) return assume(file, type) !== undefined;
  else unknownType(file, type);
  return false;
}

function namesArchitecture({ node }: Scope): boolean {
  const names = node.members.get('architectures')?.value;
  return names?.kind === 'array' && names.items.length > 0;
}

function refuse({ node, path, report }: Scope, type: string, { about, why }: RefusedType): undefined {
  const code = about === 'geometry' ? 'MOA1333' : 'MOA1308';
  const message = `models of the type ${quote(type)} are not ones that plans are for: ${why}`;
  report.error(code, offsetOf({ node, path, report }, 'model_type'), joinPath(path, 'model_type'), message);
}

const HELP = `${ASSUME_PLAIN_FLAG} takes it as plain softmax attention that the keys of Llama describe; or leave --model out and give the shape by options`;

function unknownType(scope: Scope, type: string): undefined {
  const meant = didYouMean(type, [...KNOWN_TYPES.keys(), ...Object.keys(WRAPPER_TYPES)]);
  return unknown(scope, `the model type ${quote(type)} is not known, so it is not known how its models attend`, meant);
}

function unknown(scope: Scope, message: string, meant?: string): undefined {
  const help = meant === undefined ? HELP : `did you mean ${quote(meant)}? ${HELP}`;
  scope.report.error('MOA1331', offsetOf(scope, 'model_type'), joinPath(scope.path, 'model_type'), message, { help });
}

function assume(scope: Scope, type: string): FoundType {
  const message = `the model type ${quote(type)} is not known; it is taken as plain softmax attention, as ${ASSUME_PLAIN_FLAG} says`;
  scope.report.warning('MOA1336', offsetOf(scope, 'model_type'), joinPath(scope.path, 'model_type'), message);
  return plainType(type);
}
