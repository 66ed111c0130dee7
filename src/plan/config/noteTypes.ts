import { joinPath, quote } from '../../util/quote.ts';
import { offsetOf } from '../readFields.ts';
import type { Scope } from '../report.ts';
import type { FoundType } from './modelTypeOf.ts';
import type { ConfigScopes } from './textScopes.ts';

/** The option that says that a model has learned sinks. */
export const LEARNED_SINKS_FLAG = '--learned-sinks';

/** Warns where the model may have learned sinks that no key of its config says (MOA1312). */
export function warnOfSinks({ file, text }: ConfigScopes, { name }: FoundType): void {
  const scope = text.node.members.has('model_type') ? text : file;
  const message = `models of the type ${quote(name ?? '')} may have learned sinks, which the config does not say`;
  const help = `pass ${LEARNED_SINKS_FLAG} if they are in use`;
  scope.report.warning('MOA1312', offsetOf(scope, 'model_type'), joinPath(scope.path, 'model_type'), message, { help });
}

/** Notes that queries and keys are normalised after they are rotated, so that sessions get them rotated (MOA1338). */
export function noteNorm(scope: Scope, { name }: FoundType): void {
  const message = `models of the type ${quote(name ?? '')} normalise queries and keys after they rotate them, so the package holds no RoPE`;
  const help = 'give sessions queries and keys that are rotated and normalised';
  scope.report.note('MOA1338', offsetOf(scope, 'model_type'), joinPath(scope.path, 'model_type'), message, { help });
}
