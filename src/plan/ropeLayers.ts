import type { JsonNode } from '../util/jsonReader.ts';
import { joinPath, quote } from '../util/quote.ts';
import { readInteger, readNumber } from './readFields.ts';
import type { RopeFamily, RopeModel } from './ropeFamilies.ts';
import { reportKind, type Scope } from './report.ts';

/** One rotation of a model, before its numbers are read. */
export interface RopeKind {
  /** Where `rope_parameters` is nested: the layer type that it is for. */
  readonly part: string;
  /** Its own theta, beside that of the config. */
  readonly theta?: number | undefined;
  /** Whether it is without the scaling that the config says. */
  readonly plain?: boolean;
}

export interface RopeLayers {
  readonly kinds: readonly RopeKind[];
  /** By layer: an index into `kinds`, or null for a layer without RoPE. */
  readonly ofLayer: readonly (number | null)[];
}

/**
 * Which layers have which rotation. `nested`: the config has parameters for each layer type.
 * Undefined when an error was reported.
 */
export function ropeLayers(
  scope: Scope,
  nested: boolean,
  family: RopeFamily,
  model: RopeModel,
): RopeLayers | undefined {
  const { layers: count, layerTypes } = model;
  const all = (kind: number | null): (number | null)[] => Array.from({ length: count }, () => kind);
  const needsTypes = nested || (family.layers !== undefined && family.layers.kind !== 'listed');
  if (needsTypes && layerTypes === undefined) {
    scope.report.error(
      'MOA1103',
      scope.node.offset,
      scope.path,
      'it is not known which layers have which RoPE: the key "layer_types" is missing',
      { help: 'add "layer_types": a name for each layer' },
    );
    return undefined;
  }
  const types = layerTypes ?? [];
  const ofTypes = (of: (type: string) => number | null): (number | null)[] => types.map(of);
  const slides = (type: string): boolean => type === 'sliding_attention';
  if (nested) return nestedLayers(scope, family, types);
  const full: RopeKind = { part: 'full_attention' };
  switch (family.layers?.kind) {
    case undefined:
      return { kinds: [full], ofLayer: all(0) };
    case 'localTheta': {
      const theta =
        readNumber(scope, 'rope_local_base_freq', { min: 1.001, max: 1e30 }, 'positive') ??
        family.layers.theta;
      return {
        kinds: [full, { part: 'sliding_attention', theta, plain: true }],
        ofLayer: ofTypes((type) => (slides(type) ? 1 : 0)),
      };
    }
    case 'plainWindows':
      return {
        kinds: [full, { part: 'sliding_attention', plain: true }],
        ofLayer: ofTypes((type) => (slides(type) ? 1 : 0)),
      };
    case 'windowsOnly':
      if (!family.layers.always && !scope.node.members.has('sliding_window'))
        return { kinds: [full], ofLayer: all(0) };
      return { kinds: [full], ofLayer: ofTypes((type) => (slides(type) ? 0 : null)) };
    case 'listed': {
      const ofLayer = listedLayers(scope, family.layers.interval, count);
      return ofLayer && { kinds: [full], ofLayer };
    }
  }
}

/**
 * A rotation for each layer type that has parameters; null parameters are of layers without RoPE.
 */
function nestedLayers(
  { node, path, report }: Scope,
  family: RopeFamily,
  types: readonly string[],
): RopeLayers | undefined {
  const section = node.members.get('rope_parameters') ?? node.members.get('rope_scaling');
  const members =
    section?.value.kind === 'object'
      ? section.value.members
      : new Map<string, { readonly value: JsonNode; readonly keyOffset: number }>();
  const at = joinPath(
    path,
    node.members.has('rope_parameters') ? 'rope_parameters' : 'rope_scaling',
  );
  let right = true;
  for (const [key, { keyOffset }] of members) {
    if (types.includes(key) || key === 'sliding_attention' || key === 'full_attention') continue;
    right = false;
    report.error(
      'MOA1102',
      keyOffset,
      joinPath(at, key),
      `unknown key ${quote(key)} beside parameters of layer types`,
      { help: 'these are names of layer_types' },
    );
  }
  const names = [...new Set(types)];
  for (const name of names) {
    if (members.has(name)) continue;
    right = false;
    report.error(
      'MOA1103',
      section!.value.offset,
      at,
      `the key "${name}" is missing: layers have that type`,
      { help: 'add the RoPE of these layers, or null for none' },
    );
  }
  if (!right) return undefined;
  const rotated = names.filter((name) => members.get(name)!.value.kind !== 'null');
  const windowsOnly = family.layers?.kind === 'windowsOnly' && names.includes('sliding_attention');
  return {
    kinds: rotated.map((part) => ({ part })),
    ofLayer: types.map((type) =>
      rotated.includes(type) && !(windowsOnly && type !== 'sliding_attention')
        ? rotated.indexOf(type)
        : null,
    ),
  };
}

/**
 * `no_rope_layers`: 1 for a layer with RoPE, 0 for one without; else all but every n-th have it.
 */
function listedLayers(
  scope: Scope,
  interval: number,
  count: number,
): (number | null)[] | undefined {
  const { node, path, report } = scope;
  const list = node.members.get('no_rope_layers')?.value;
  if (list === undefined) {
    const every =
      readInteger(scope, 'no_rope_layer_interval', { min: 1, max: 2 ** 20 }) ?? interval;
    return Array.from({ length: count }, (_, layer) => ((layer + 1) % every === 0 ? null : 0));
  }
  const at = joinPath(path, 'no_rope_layers');
  if (list.kind !== 'array') {
    reportKind(report, list, at, 'an array with 0 or 1 for each layer');
    return undefined;
  }
  if (list.items.length !== count) {
    report.error(
      'MOA1108',
      list.offset,
      at,
      `no_rope_layers has ${list.items.length} layers, the model has ${count}`,
    );
    return undefined;
  }
  const bad = list.items.findIndex(
    (item) => item.kind !== 'number' || (item.value !== 0 && item.value !== 1),
  );
  if (bad < 0)
    return list.items.map((item) => ((item as { readonly value: number }).value === 1 ? 0 : null));
  report.error(
    'MOA1106',
    list.items[bad]!.offset,
    `${at}[${bad}]`,
    'this is 0, for a layer without RoPE, or 1',
  );
  return undefined;
}
