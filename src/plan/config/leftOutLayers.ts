import { joinPath, quote } from '../../util/quote.ts';
import { MAX_LAYERS } from '../planSchema.ts';
import { offsetOf, readInteger, readString, requireInteger } from '../readFields.ts';
import { reportKind, type Scope } from '../report.ts';
import type { LayerRule, UnderstoodType } from './modelType.ts';

/** What a layer is that has no attention; null for one that has. */
export type LeftOut = readonly (string | null)[];

/**
 * Which layers of a model of type `name` have no attention, where no list names its layers. Undefined with an error where nothing says it
 * (MOA1309) or the keys are wrong.
 */
export function leftOutByRule(scope: Scope, name: string, { attentionLayers }: UnderstoodType, layers: number): LeftOut | undefined {
  const rule: LayerRule = attentionLayers?.otherwise ?? { by: 'all' };
  const what = attentionLayers?.leftOut[0] ?? '';
  const all = Array.from({ length: layers }, (_, layer) => layer);
  const where = (attends: (layer: number) => boolean): LeftOut => all.map((layer) => (attends(layer) ? null : what));
  switch (rule.by) {
    case 'all':
      return all.map(() => null);
    case 'nothing':
      return missing(scope, name, '');
    case 'period': {
      const absent = [rule.period, rule.offset].filter((key) => !scope.node.members.has(key));
      if (absent.length > 0) return missing(scope, name, ` without ${absent.join(' and ')}`);
      const period = requireInteger(scope, rule.period, { min: 1, max: MAX_LAYERS });
      const offset = requireInteger(scope, rule.offset, { min: 0, max: MAX_LAYERS });
      return period === undefined || offset === undefined ? undefined : where((layer) => layer % period === offset);
    }
    case 'interval': {
      if (!scope.node.members.has(rule.key) && scope.path === '') return missing(scope, name, ` without ${rule.key}`);
      const given = scope.node.members.has(rule.key);
      const interval = given ? readInteger(scope, rule.key, { min: 1, max: MAX_LAYERS }) : rule.default;
      return interval === undefined ? undefined : where((layer) => (layer + 1) % interval === 0);
    }
    case 'numbers':
      return byNumbers(scope, name, rule.key, layers, where);
    case 'letters':
      return byLetters(scope, name, rule, layers);
  }
}

function missing(scope: Scope, name: string, without: string): undefined {
  const message = `the config has no layer_types, and there is no rule for the model type ${quote(name)}${without}`;
  const help = 'add "layer_types": a list with a name for each layer';
  scope.report.error('MOA1309', offsetOf(scope, 'model_type'), joinPath(scope.path, 'model_type'), message, { help });
}

function byNumbers(
  scope: Scope,
  name: string,
  key: string,
  layers: number,
  where: (attends: (layer: number) => boolean) => LeftOut,
): LeftOut | undefined {
  const list = scope.node.members.get(key)?.value;
  if (list === undefined) return missing(scope, name, ` without ${key}`);
  const at = joinPath(scope.path, key);
  if (list.kind !== 'array') {
    reportKind(scope.report, list, at, 'an array of layer numbers');
    return undefined;
  }
  const numbers = new Set<number>();
  for (const [index, item] of list.items.entries()) {
    if (item.kind === 'number' && Number.isInteger(item.value) && item.value >= 0 && item.value < layers) numbers.add(item.value);
    else scope.report.error('MOA1106', item.offset, `${at}[${index}]`, `expected a layer number from 0 to ${layers - 1}`);
  }
  return numbers.size === list.items.length ? where((layer) => numbers.has(layer)) : undefined;
}

function byLetters(scope: Scope, name: string, rule: Extract<LayerRule, { by: 'letters' }>, layers: number): LeftOut | undefined {
  const { key, attention, leftOut } = rule;
  if (!scope.node.members.has(key)) return missing(scope, name, ` without ${key}`);
  const text = readString(scope, key);
  if (text === undefined) return undefined;
  const at = joinPath(scope.path, key);
  if (text.length !== layers) {
    scope.report.error('MOA1108', offsetOf(scope, key), at, `${key} has ${text.length} layers, the model has ${layers}`);
    return undefined;
  }
  let right = true;
  const kinds = [...text].map((letter, layer): string | null => {
    if (letter === attention) return null;
    if (!Object.hasOwn(leftOut, letter)) {
      right = false;
      scope.report.error('MOA1308', offsetOf(scope, key), at, `layer ${layer} is ${quote(letter)}, which is no layer that is known`);
    }
    return leftOut[letter] ?? '';
  });
  return right ? kinds : undefined;
}
