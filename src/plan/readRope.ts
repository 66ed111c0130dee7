import type { ModelRope, Rope } from '../ir/rope.ts';
import { joinPath, quote } from '../util/quote.ts';
import { withoutNulls } from './readFields.ts';
import { isThetaRight, readRotaryDim, readTheta } from './readRopeNumbers.ts';
import { readRopeScaling } from './readRopeScaling.ts';
import { ropeLayers } from './ropeLayers.ts';
import { reportKind, type Scope } from './report.ts';
import {
  NO_ROPE_HELP,
  ROPE_FAMILIES,
  TYPES_WITHOUT_ROPE,
  type RopeFamily,
  type RopeModel,
} from './ropeFamilies.ts';

export type { RopeModel } from './ropeFamilies.ts';

/**
 * Reads the rotary position embedding of `scope`, the config of a language model: `rope_theta` and
 * `rope_scaling`, or `rope_parameters`, also by layer type, and what is a fact of the model's type
 * (`ropeFamilies.ts`). Null where the model has no RoPE, or with a note where nothing says which it
 * has. Undefined when an error was reported: a variant that kernels do not have is one (MOA1401).
 */
export function readRope(scope: Scope, model: RopeModel): ModelRope | null | undefined {
  const { node, path, report } = scope;
  const { modelType } = model;
  const alibi = node.members.get('alibi')?.value;
  if (alibi?.kind === 'boolean' && alibi.value) {
    report.error(
      'MOA1401',
      alibi.offset,
      joinPath(path, 'alibi'),
      'positions are ALiBi biases of the scores, which kernels do not have',
    );
    return undefined;
  }
  const kind = node.members.get('position_embedding_type')?.value;
  if (kind?.kind === 'string' && kind.value === 'nope') return null;
  if (modelType !== undefined && TYPES_WITHOUT_ROPE.includes(modelType)) return null;
  if (!isThetaRight(scope)) return undefined;
  const family = modelType === undefined ? undefined : ROPE_FAMILIES.get(modelType);
  if (family === undefined) {
    // Nothing of RoPE is said: sessions are told how to rotate, if they are to.
    if (![...node.members.keys()].some((key) => ROPE_KEY.test(key))) return null;
    const which =
      modelType === undefined
        ? 'the config names no model_type'
        : `there is no rule for the model type ${quote(modelType)}`;
    const at = node.members.get('model_type')?.value.offset ?? node.offset;
    const message = `it is not known how positions are encoded: ${which}`;
    // A type that is not known may pair elements in another way. Without a type sessions are told
    // as well, since little is certain of the model.
    if (modelType === undefined)
      report.note('MOA1402', at, path, message, {
        help: 'sessions take q and k that are rotated, or the option rope',
      });
    else report.error('MOA1402', at, joinPath(path, 'model_type'), message, { help: NO_ROPE_HELP });
    return modelType === undefined ? null : undefined;
  }
  return readOfFamily(scope, family, model);
}

function readOfFamily(scope: Scope, family: RopeFamily, model: RopeModel): ModelRope | undefined {
  const section = ropeSection(scope);
  if (section === undefined || !knowsAllKeys(scope, family)) return undefined;
  const layers = ropeLayers(scope, section.nested, family, model);
  if (layers === undefined) return undefined;
  const ropes = layers.kinds.map(({ part, theta, plain }): Rope | undefined => {
    const given = section.nested ? partOf(section.scope!, part) : section.scope;
    return readOne(scope, plain ? undefined : given, section.nested, family, model, theta);
  });
  if (ropes.some((rope) => rope === undefined)) return undefined;
  return mergeEqual(ropes as Rope[], layers.ofLayer);
}

/** The same rotation once, of those that a layer has, in the order of layers. */
function mergeEqual(all: readonly Rope[], ofLayer: readonly (number | null)[]): ModelRope {
  const texts = all.map((rope) => JSON.stringify(rope));
  const used = [...new Set(ofLayer.flatMap((kind) => (kind === null ? [] : [texts[kind]!])))];
  return {
    ropes: used.map((text) => all[texts.indexOf(text)]!),
    layers: ofLayer.map((kind) => (kind === null ? null : used.indexOf(texts[kind]!))),
  };
}

/**
 * `rope_parameters` or `rope_scaling`, of which a config has one; undefined scope where it has
 * none.
 */
function ropeSection(
  scope: Scope,
): { readonly scope: Scope | undefined; readonly nested: boolean } | undefined {
  const { node, path, report } = scope;
  const keys = ['rope_parameters', 'rope_scaling'].filter((key) => node.members.has(key));
  const objects = keys.flatMap((key) => {
    const value = node.members.get(key)!.value;
    if (value.kind !== 'object') reportKind(report, value, joinPath(path, key), 'an object');
    return value.kind === 'object' ? [{ key, value }] : [];
  });
  if (objects.length < keys.length) return undefined;
  if (objects.length > 1) {
    const second = objects[1]!;
    report.error(
      'MOA1403',
      second.value.offset,
      joinPath(path, second.key),
      'the config has rope_parameters and rope_scaling, which say the same',
      { help: 'take one of them out' },
    );
    return undefined;
  }
  const [only] = objects;
  if (only === undefined) return { scope: undefined, nested: false };
  const inner = withoutNulls(only.value);
  const nested = [...inner.members.values()].some(({ value }) => value.kind === 'object');
  return {
    scope: { ...scope, node: nested ? only.value : inner, path: joinPath(path, only.key) },
    nested,
  };
}

/** The parameters of one layer type. */
function partOf(section: Scope, part: string): Scope | undefined {
  const value = section.node.members.get(part)?.value;
  return value?.kind === 'object'
    ? { ...section, node: withoutNulls(value), path: joinPath(section.path, part) }
    : undefined;
}

/** Keys of RoPE, whatever the family. */
const ROPE_KEY = /rope|rotary/;

const KEYS = ['rope_theta', 'rope_scaling', 'rope_parameters', 'partial_rotary_factor'];

/**
 * Whether the config has no key of RoPE that means something in other families only (MOA1102).
 * Those of MLA are not its matter.
 */
function knowsAllKeys({ node, path, report }: Scope, { keys = {}, layers }: RopeFamily): boolean {
  const known = [
    ...KEYS,
    ...Object.values(keys),
    ...(layers?.kind === 'localTheta' ? ['rope_local_base_freq'] : []),
    ...(layers?.kind === 'listed' ? ['no_rope_layers', 'no_rope_layer_interval'] : []),
    'qk_rope_head_dim',
  ];
  let right = true;
  for (const [key, { keyOffset }] of node.members) {
    if (!ROPE_KEY.test(key) || known.includes(key)) continue;
    right = false;
    report.error(
      'MOA1102',
      keyOffset,
      joinPath(path, key),
      `the key ${quote(key)} is not known for RoPE of this model type`,
      { help: NO_ROPE_HELP },
    );
  }
  return right;
}

/** One rotation: `section` holds its parameters, if any; the rest is beside it in the config. */
function readOne(
  config: Scope,
  section: Scope | undefined,
  nested: boolean,
  family: RopeFamily,
  model: RopeModel,
  ownTheta: number | undefined,
): Rope | undefined {
  const theta = ownTheta ?? readTheta(config, section, nested, family);
  const rotaryDim = readRotaryDim(config, section, family, model.headDim);
  if (theta === undefined || rotaryDim === undefined) return undefined;
  const scaling = readRopeScaling(config, section, family.aliases ?? {}, rotaryDim);
  return scaling && { theta, rotaryDim, pairing: family.pairing, scaling };
}
