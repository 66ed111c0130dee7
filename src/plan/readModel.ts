import type { ElementType } from '../ir/nodes.ts';
import { quote } from '../util/quote.ts';
import { ELEMENT_TYPES, MODEL_FIELDS, MODEL_KEYS, MODEL_NAME, type DescribedModel } from './planSchema.ts';
import { compact, offsetOf, readBoolean, readNumber, readObject, readString, requireInteger, requireMember } from './readFields.ts';
import type { Matrix } from './readMatrix.ts';
import { rejectUnknownKeys, reportKind, type Scope } from './report.ts';

/** Reads the `model` section of a plan in our own format. Undefined when anything in it is wrong. */
export function readModel(plan: Scope): DescribedModel | undefined {
  if (requireMember(plan, 'model', '{"layers", "queryHeads", "kvHeads", "headDim"}') === undefined) return undefined;
  const node = readObject(plan, 'model');
  if (node === undefined) return undefined;
  const section: Scope = { node, path: 'model', report: plan.report };
  const scope: Scope = { ...section, misspelt: rejectUnknownKeys(section, MODEL_KEYS) };
  const layers = requireInteger(scope, 'layers', MODEL_FIELDS.layers.type);
  const queryHeads = requireInteger(scope, 'queryHeads', MODEL_FIELDS.queryHeads.type);
  const kvHeads = requireInteger(scope, 'kvHeads', MODEL_FIELDS.kvHeads.type);
  const headDim = requireInteger(scope, 'headDim', MODEL_FIELDS.headDim.type);
  const name = readName(scope);
  const elementType = readElementType(scope);
  const attention = compact({
    softCap: readNumber(scope, 'softCap', MODEL_FIELDS.softCap.type, 'zero'),
    learnedSinks: readBoolean(scope, 'learnedSinks'),
    scale: readNumber(scope, 'scale', MODEL_FIELDS.scale.type, 'positive'),
  });
  const windows = readWindows(scope, layers);
  if (layers === undefined || queryHeads === undefined || kvHeads === undefined || headDim === undefined) return undefined;
  const place = (key: string) => scope.report.place(offsetOf(scope, key), `model.${key}`);
  return {
    shape: { layers, queryHeads, kvHeads, headDim },
    ...(name === undefined ? {} : { name }),
    ...(elementType === undefined ? {} : { elementType }),
    ...(windows === undefined ? {} : { windows }),
    attention,
    places: {
      layers: place('layers'),
      queryHeads: place('queryHeads'),
      kvHeads: place('kvHeads'),
      headDim: place('headDim'),
      ...(elementType === undefined ? {} : { elementType: place('elementType') }),
      ...(windows === undefined ? {} : { windows: place('windows') }),
      ...Object.fromEntries(Object.keys(attention).map((key) => [key, place(key)])),
    },
  };
}

function readName(scope: Scope): string | undefined {
  const name = readString(scope, 'name');
  if (name === undefined || MODEL_NAME.test(name)) return name;
  const help = 'use up to 128 letters, digits and . _ / -';
  const message = `the name ${quote(name)} holds characters that are not allowed, or is too long`;
  scope.report.error('MOA1117', offsetOf(scope, 'name'), 'model.name', message, { help });
  return undefined;
}

function readElementType(scope: Scope): ElementType | undefined {
  const type = readString(scope, 'elementType');
  const known = ELEMENT_TYPES.find((name) => name === type);
  if (type === undefined || known !== undefined) return known;
  const details = { help: 'use "bf16" or "fp16"' };
  scope.report.error('MOA1118', offsetOf(scope, 'elementType'), 'model.elementType', `unknown element type ${quote(type)}`, details);
  return undefined;
}

/** `windows`: for each of `layers` layers tokens, or null. */
function readWindows({ node, report }: Scope, layers: number | undefined): (number | null)[] | undefined {
  const list = node.members.get('windows')?.value;
  if (list === undefined) return undefined;
  if (list.kind !== 'array') {
    reportKind(report, list, 'model.windows', 'an array with an integer or null for each layer');
    return undefined;
  }
  if (layers !== undefined && list.items.length !== layers) {
    const message = `windows has ${list.items.length} entries, the model has ${layers} layers`;
    report.error('MOA1108', list.offset, 'model.windows', message);
    return undefined;
  }
  const { min, max } = MODEL_FIELDS.windows.type;
  let right = true;
  const windows = list.items.map((item, layer): number | null => {
    const at = `model.windows[${layer}]`;
    if (item.kind === 'null') return null;
    if (item.kind === 'number' && Number.isInteger(item.value) && item.value >= min && item.value <= max) return item.value;
    right = false;
    if (item.kind !== 'number') {
      reportKind(report, item, at, 'an integer or null');
    } else if (Number.isFinite(item.value)) {
      // What is not finite the reader has reported.
      const whole = Number.isInteger(item.value);
      const message = whole ? `${item.value} is not from ${min} to ${max}` : `expected an integer, found ${item.value}`;
      report.error(whole ? 'MOA1106' : 'MOA1104', item.offset, at, message);
    }
    return null;
  });
  return right ? windows : undefined;
}

/** Reports where the `model` section and the matrices of one plan disagree (MOA1108, MOA1109). */
export function compareModel({ report }: Scope, { shape, places }: DescribedModel, alphas: Matrix): void {
  const { layers, queryHeads } = places;
  if (shape.layers !== alphas.layers) {
    const related = [{ message: `model.layers is ${shape.layers}`, location: layers.location }];
    report.error('MOA1108', alphas.offset, 'alphas', `alphas has ${alphas.layers} layers, the model has ${shape.layers}`, { related });
  }
  if (alphas.heads !== undefined && shape.queryHeads !== alphas.heads) {
    const related = [{ message: `model.queryHeads is ${shape.queryHeads}`, location: queryHeads.location }];
    const message = `alphas has ${alphas.heads} query heads a layer, the model has ${shape.queryHeads}`;
    report.error('MOA1109', alphas.offset, 'alphas', message, { related });
  }
}
