import type { JsonObject } from '../../util/jsonReader.ts';
import { joinPath } from '../../util/quote.ts';
import { withoutNulls } from '../readFields.ts';
import type { Report, Scope } from '../report.ts';
import { NESTED_KEYS } from './configKeys.ts';

/** Keys that say how many layers there are: an object that has one describes the language model itself. */
const LAYER_KEYS: readonly string[] = ['num_hidden_layers', 'n_layer', 'num_layers'];

export interface ConfigScopes {
  /** The whole file. In this and in `text`, null counts as absent. */
  readonly file: Scope;
  /** The object that describes the language model: the file, or an object within it. */
  readonly text: Scope;
  /** `text` as it is written, for keys that may be null. */
  readonly written: Scope;
}

/** Finds the config of the language model within that of a multimodal one. */
export function textScopes(root: JsonObject, report: Report): ConfigScopes {
  let written: Scope = { node: root, path: '', report };
  for (let inner = nestedIn(written); inner !== undefined; inner = nestedIn(written)) written = inner;
  const absent = (scope: Scope): Scope => ({ ...scope, node: withoutNulls(scope.node) });
  return { file: absent({ node: root, path: '', report }), text: absent(written), written };
}

function nestedIn({ node, path, report }: Scope): Scope | undefined {
  if (LAYER_KEYS.some((key) => node.members.has(key))) return undefined;
  for (const key of NESTED_KEYS) {
    const value = node.members.get(key)?.value;
    if (value?.kind === 'object') return { node: value, path: joinPath(path, key), report };
  }
  return undefined;
}
