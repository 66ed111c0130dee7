/** The IR as text: deterministic, one fact a line, the form that `--print-ir-after` shows and that pass fixtures hold. */
import { assertNever } from '../util/invariant.ts';
import { printExpression, printRule } from './affine.ts';
import { isUsual } from './attention.ts';
import type {
  CacheLayout,
  GroupLayer,
  HeadLayer,
  KernelNode,
  LaidOutLayer,
  LayerFacts,
  Module,
  RingLayer,
} from './nodes.ts';
import type { ModelRope, Rope } from './rope.ts';
import type { Rule } from './rule.ts';

export function printModule(module: Module): string {
  const { shape, attention, limits } = module;
  const lines = [
    `${module.kind} {`,
    `  shape layers=${shape.layers} queryHeads=${shape.queryHeads} kvHeads=${shape.kvHeads} headDim=${shape.headDim}${shape.layerNumbers === undefined ? '' : ` numbers=${ranges(shape.layerNumbers).replaceAll(' ', ',')}`}`,
    ...(isUsual(attention, shape) ? [] : [`  attention softCap=${attention.softCap} learnedSinks=${attention.learnedSinks} scale=${attention.scale}`]),
    ...printRope(module.rope).map((line) => `  ${line}`),
    `  limits sink=${limits.sink} minSpan=${limits.minSpan} page=${limits.page}`,
    ...body(module).map((line) => `  ${line}`),
    '}',
    '',
  ];
  return lines.join('\n');
}

/** The rotations of a model, a line each, with the layers that have it. */
function printRope(model: ModelRope | null): string[] {
  if (model === null) return [];
  const layersOf = (index: number | null): string => ranges(model.layers.flatMap((rope, layer) => (rope === index ? [layer] : [])));
  const withRope = model.ropes.map((rope, index) => `rope of layers ${layersOf(index)}: ${printOneRope(rope)}`);
  return model.layers.includes(null) ? [...withRope, `no rope in layers ${layersOf(null)}`] : withRope;
}

function printOneRope({ scaling, ...rope }: Rope): string {
  return Object.entries({ ...rope, ...scaling }).map(([key, value]) => `${key}=${String(value)}`).join(' ');
}

function body(module: Module): string[] {
  switch (module.kind) {
    case 'headModule':
      return layers(module.layers, headLayer);
    case 'ringModule':
      return layers(module.layers, ringLayer);
    case 'groupModule':
      return layers(module.layers, groupLayer);
    case 'laidOutModule':
      return [printLayout(module.layout), ...layers(module.layers, laidOutLayer)];
    case 'kernelModule':
      return [printLayout(module.layout), ...layers(module.layers, laidOutLayer), ...module.kernels.flatMap(kernel)];
    case 'scheduledModule':
      return [
        printLayout(module.layout),
        `prefill cacheShare=${module.prefill.cacheShare} splitPages=${module.prefill.splitPages} splitShare=${module.prefill.splitShare.join('/')} ${module.prefill.byCost ? 'longest first' : 'last rows first'}`,
        `decode minPages=${module.decode.minPages} segmentPages=${module.decode.segmentPages}`,
        ...layers(module.layers, laidOutLayer),
        ...module.kernels.flatMap(kernel),
      ];
    default:
      return assertNever(module);
  }
}

/** Equal layers in a row are printed once: `layer 3..7`. */
function layers<Layer>(all: readonly Layer[], print: (layer: Layer) => string[]): string[] {
  const lines: string[] = [];
  for (let first = 0; first < all.length; ) {
    const text = print(all[first]!);
    let last = first;
    while (last + 1 < all.length && print(all[last + 1]!).join('\n') === text.join('\n')) last += 1;
    lines.push(`layer ${first === last ? first : `${first}..${last}`} {`, ...text.map((line) => `  ${line}`), '}');
    first = last + 1;
  }
  return lines;
}

function modelLine({ modelWindow }: LayerFacts): string[] {
  return modelWindow === null ? [] : [`model window ${modelWindow}`];
}

function headLayer(layer: HeadLayer): string[] {
  const rules = new Map<string, number[]>();
  layer.heads.forEach((head, index) => {
    const text = printRule(head.rule);
    rules.set(text, [...(rules.get(text) ?? []), index]);
  });
  return [...modelLine(layer), ...[...rules].map(([rule, heads]) => `heads ${ranges(heads)}: ${rule}`)];
}

function ringLayer(layer: RingLayer): string[] {
  return [...headLayer({ ...layer, kind: 'headLayer' }), ...layer.rings.map((ring) => `ring ${ring.kvHead}: ${ruleSet(ring.rules)}${slackText(ring)}${ring.ageMask ? ' age mask' : ''}`)];
}

function groupLayer(layer: GroupLayer): string[] {
  return [
    ...modelLine(layer),
    ...layer.headGroups.map((group) => `group ${printRule(group.rule)}: heads ${ranges(group.heads)}`),
    ...layer.ringGroups.map((group) => `rings ${ranges(group.kvHeads)}: ${ruleSet(group.rules)}${slackText(group)}${group.ageMask ? ' age mask' : ''}`),
  ];
}

function laidOutLayer(layer: LaidOutLayer): string[] {
  return [
    ...modelLine(layer),
    ...layer.headGroups.map((group) => `group ${printRule(group.rule)}: heads ${ranges(group.heads)}`),
    ...layer.ringGroups.map(({ group, pages, firstPage }) => {
      const mask = group.ageMask ? ' age mask' : '';
      return `rings ${ranges(group.kvHeads)}: ${ruleSet(group.rules)}${slackText(group)}${mask}, pages ${printExpression(pages)}, first page ${printExpression(firstPage)}`;
    }),
  ];
}

function kernel(node: KernelNode): string[] {
  const { kind: _kind, name, architectures, layers: usedBy, ...rest } = node;
  const off = (key: string, value: unknown): boolean =>
    (key === 'softCap' && value === 0) || (key === 'learnedSinks' && value === false) || (key === 'rotaryDim' && (value === 0 || value === node.headDim)) || (key === 'pairing' && value === 'halves');
  const facts = Object.entries(rest).flatMap(([key, value]) => (off(key, value) ? [] : [`${key}=${String(value)}`]));
  return [`kernel ${name} {`, `  for layers ${ranges(usedBy)} on ${architectures.join(' ')}`, `  ${facts.join(' ')}`, '}'];
}

const printLayout = ({ pageTokens, pageBytes, cacheType }: CacheLayout): string => `layout pageTokens=${pageTokens} pageBytes=${pageBytes} cacheType=${cacheType}`;

const slackText = ({ slack }: { readonly slack: number }): string => (slack === 0 ? '' : ` slack ${slack}`);

const ruleSet = (rules: readonly Rule[]): string => `{${rules.map(printRule).join(', ')}}`;

/** `0..3 7 9..10`. */
export function ranges(numbers: readonly number[]): string {
  const parts: string[] = [];
  for (let first = 0; first < numbers.length; ) {
    let last = first;
    while (last + 1 < numbers.length && numbers[last + 1] === numbers[last]! + 1) last += 1;
    parts.push(first === last ? String(numbers[first]) : `${numbers[first]}..${numbers[last]}`);
    first = last + 1;
  }
  return parts.join(' ');
}
