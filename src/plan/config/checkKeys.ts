import { didYouMean } from '../../util/didYouMean.ts';
import type { JsonNode } from '../../util/jsonReader.ts';
import { joinPath, quote } from '../../util/quote.ts';
import type { ModelShape } from '../../ir/nodes.ts';
import type { Scope } from '../report.ts';
import { ASSUME_PLAIN_FLAG } from './assumePlain.ts';
import { HARMLESS_KEYS, OTHER_WORDS, POSITION_KEYS, READ_KEYS, RELEVANT_WORDS } from './configKeys.ts';
import type { FoundType } from './modelTypeOf.ts';
import type { KeyRefusal } from './modelType.ts';
import { REFUSED_KEYS } from './refusedKeys.ts';
import type { ConfigScopes } from './textScopes.ts';

/** Looking for what was meant takes a while. */
const MAX_SUGGESTIONS = 100;

/** What of the shape is known, for keys that refuse a config only where they differ from it. */
type KnownShape = Partial<ModelShape>;

/** Reports keys that refuse a config (MOA1308, MOA1333), and keys that may matter and are not known (MOA1332). */
export function checkKeys({ file, text }: ConfigScopes, found: FoundType, shape: KnownShape, assumePlain: boolean): void {
  const { known } = found;
  refuseKeys({ file, text }, known.refuses, shape);
  refuseAbsent(text, known.refuses, shape);
  const refused = new Set([...known.refuses, ...REFUSED_KEYS].map(({ key }) => key));
  const { layers, queryHeads, headDim, hiddenSize } = known.keys;
  const kvHeads = known.kvHeads.from === 'key' ? [known.kvHeads.key] : [];
  const understood = new Set([...READ_KEYS, ...POSITION_KEYS, ...HARMLESS_KEYS, layers, queryHeads, headDim, hiddenSize, ...kvHeads]);
  const names = known.attentionLayers?.names ?? [];
  let unknown = 0;
  for (const [key, { keyOffset }] of text.node.members) {
    if (understood.has(key) || refused.has(key) || names.includes(key) || !mayMatter(key)) continue;
    if (known.harmless.some((harmless) => harmless === key || (harmless.endsWith('_') && key.startsWith(harmless)))) continue;
    unknown += 1;
    tellUnknown(text, key, keyOffset, found.name, assumePlain, unknown <= MAX_SUGGESTIONS);
  }
}

/** Whether the name of a key speaks of geometry, masks, scores or positions. */
export function mayMatter(key: string): boolean {
  const words = key.replaceAll(/([a-z\d])([A-Z])/g, '$1_$2').toLowerCase();
  return RELEVANT_WORDS.some((word) => words.includes(word)) && !OTHER_WORDS.some((word) => words.includes(word));
}

function tellUnknown(
  scope: Scope,
  key: string,
  offset: number,
  type: string | undefined,
  assumePlain: boolean,
  suggests: boolean,
): void {
  const at = joinPath(scope.path, key);
  const whose = type === undefined ? 'a config without a model_type' : `models of the type ${quote(type)}`;
  if (assumePlain) {
    scope.report.warning('MOA1336', offset, at, `the key ${quote(key)} is not known for ${whose}; it is ignored, as ${ASSUME_PLAIN_FLAG} says`);
    return;
  }
  const meant = suggests ? didYouMean(key, READ_KEYS.filter((known) => !scope.node.members.has(known))) : undefined;
  const help = `${meant === undefined ? '' : `did you mean "${meant}"? `}take it out if it changes nothing of the attention, or pass ${ASSUME_PLAIN_FLAG} to ignore it`;
  scope.report.error('MOA1332', offset, at, `the key ${quote(key)} may change how the model attends, and is not known for ${whose}`, { help });
}

/** Reports keys that refuse a config of any type, or by `own` one of its type. */
export function refuseKeys({ file, text }: Pick<ConfigScopes, 'file' | 'text'>, own: readonly KeyRefusal[], shape: KnownShape): void {
  const ownKeys = new Set(own.map(({ key }) => key));
  refuseIn(text, [...own, ...REFUSED_KEYS.filter(({ key }) => !ownKeys.has(key))], shape);
  if (file.path !== text.path) refuseIn(file, REFUSED_KEYS, shape);
}

function refuseIn({ node, path, report }: Scope, refusals: readonly KeyRefusal[], shape: KnownShape): void {
  for (const refusal of refusals) {
    const value = node.members.get(refusal.key)?.value;
    if (value === undefined || changesNothing(value, refusal, shape)) continue;
    const why = node.members.has('layer_types') ? refusal.why.replace(/^all /, '') : refusal.why;
    report.error(codeOf(refusal), value.offset, joinPath(path, refusal.key), why);
  }
}

/** Keys that refuse a config where they are absent, because of what transformers takes then. */
function refuseAbsent({ node, path, report }: Scope, refusals: readonly KeyRefusal[], shape: KnownShape): void {
  for (const { key, why, whereAbsent, unless, about } of refusals) {
    if (whereAbsent === undefined || node.members.has(key) || standsFor(whereAbsent, unless, shape)) continue;
    const help = `${JSON.stringify(whereAbsent)} is the default of the model type where the key is absent; add "${key}" if it is another`;
    report.error(codeOf({ about }), node.offset, joinPath(path, key), `the key "${key}" is missing: ${why}`, { help });
  }
}

const codeOf = ({ about }: Pick<KeyRefusal, 'about'>): 'MOA1308' | 'MOA1333' => (about === 'geometry' ? 'MOA1333' : 'MOA1308');

function changesNothing(value: JsonNode, refusal: KeyRefusal, shape: KnownShape): boolean {
  switch (value.kind) {
    case 'null':
      return true;
    case 'array':
      return value.items.every((item) => changesNothing(item, refusal, shape));
    case 'object':
      return value.members.size === 0;
    default:
      return standsFor(value.value, refusal.unless, shape);
  }
}

function standsFor(value: string | number | boolean, unless: KeyRefusal['unless'], shape: KnownShape): boolean {
  return unless.some((allowed) => {
    if (allowed === 'headDim' || allowed === 'queryHeads' || allowed === 'kvHeads') return value === shape[allowed];
    return value === allowed;
  });
}
