/** Each invariant of the verifier, with a module that breaks only it. */
import { describe, expect, test } from 'vitest';
import { constant } from '../../src/ir/affine.ts';
import type { GroupModule, HeadModule, KernelNode, LaidOutModule, Module, RingModule, ScheduledModule } from '../../src/ir/nodes.ts';
import type { Rule } from '../../src/ir/rule.ts';
import { verifyModule } from '../../src/ir/verify.ts';
import { pipeline } from '../../src/passes/pipeline.ts';
import { runPasses } from '../../src/passes/runPasses.ts';
import { readCase } from '../passes/readCase.ts';

const { module: heads, context } = readCase(['target architectures=sm_80 elementTypes=bf16', 'shape layers=2 queryHeads=4 kvHeads=2 headDim=64', 'layer 0..1: N | 256 | 2 x 1/2*N'].join('\n'));
const upTo = <To extends Module>(pass: string): To => runPasses(heads, pipeline, context, undefined, pass) as To;
const rings = upTo<RingModule>('resolveGqa');
const groups = upTo<GroupModule>('groupHeads');
const laidOut = upTo<LaidOutModule>('layoutKvCache');
const scheduled = upTo<ScheduledModule>('schedule');

type Change<Node> = Partial<{ -readonly [Key in keyof Node]: unknown }>;
/** `module` with some fields of its first layer, or of what is in it, changed. */
const inLayer = <M extends { layers: readonly unknown[] }>(module: M, change: (layer: M['layers'][number]) => unknown): Module =>
  ({ ...module, layers: [change(module.layers[0]), ...module.layers.slice(1)] }) as unknown as Module;
const shape = (change: Change<HeadModule['shape']>): Module => ({ ...heads, shape: { ...heads.shape, ...change } }) as Module;
const limits = (change: Change<HeadModule['limits']>): Module => ({ ...heads, limits: { ...heads.limits, ...change } }) as Module;
const rule = (change: Change<Rule>): Module => inLayer(heads, (layer) => ({ ...layer, heads: layer.heads.map((head) => ({ ...head, rule: { ...head.rule, ...change } })) }));
const ring = (change: Change<RingModule['layers'][number]['rings'][number]>): Module => inLayer(rings, (layer) => ({ ...layer, rings: [{ ...layer.rings[0], ...change }, layer.rings[1]] }));
const ringGroup = (index: number, change: Change<LaidOutModule['layers'][number]['ringGroups'][number]>): Module =>
  inLayer(laidOut, (layer) => ({ ...layer, ringGroups: layer.ringGroups.map((group, at) => (at === index ? { ...group, ...change } : group)) }));
const kernels = (change: (all: readonly KernelNode[]) => readonly unknown[]): Module => ({ ...scheduled, kernels: change(scheduled.kernels) }) as unknown as Module;
const firstKernel = (change: Change<KernelNode>): Module => kernels(([first, ...rest]) => [{ ...first, ...change }, ...rest]);

test('the modules that the cases below break are legal', () => {
  for (const module of [heads, rings, groups, laidOut, upTo<Module>('selectTiles'), upTo<Module>('dedupeKernels'), scheduled]) expect(() => verifyModule(module)).not.toThrow();
});

const cases: Readonly<Record<string, readonly (readonly [string, Module, string])[]>> = {
  'the facts of the plan': [
    ['a layer too few', { ...heads, layers: heads.layers.slice(1) }, 'headModule has 2 layers'],
    ['no layers', { ...heads, layers: [], shape: { ...heads.shape, layers: 0 } }, 'headModule has 0 layers'],
    ['query heads that KV heads do not divide', shape({ kvHeads: 3 }), 'multiple of KV heads'],
    ['no KV heads', shape({ kvHeads: 0 }), 'multiple of KV heads'],
    ['a headDim of 96', shape({ headDim: 96 }), 'headDim'],
    ['a headDim of 0', shape({ headDim: 0 }), 'headDim'],
    ['a page of 32', limits({ page: 32 }), 'sink < minSpan'],
    ['minSpan no multiple of the page', limits({ minSpan: 100 }), 'sink < minSpan'],
    ['a negative sink', limits({ sink: -1 }), 'sink < minSpan'],
    ['sink as large as minSpan', limits({ sink: 128 }), 'sink < minSpan'],
    ['a window of the model of half a token', inLayer(heads, (layer) => ({ ...layer, modelWindow: 0.5 })), "a model's window 0.5"],
    ['a window of the model of no token', inLayer(heads, (layer) => ({ ...layer, modelWindow: 0 })), "a model's window 0"],
    ['a layer that does not say it', inLayer(heads, (layer) => ({ ...layer, modelWindow: undefined as unknown as null })), "a model's window undefined"],
  ],
  rules: [
    ['alpha no integer', rule({ alpha: 0.5 }), 'alpha 0.5 is an integer'],
    ['alpha too large', rule({ alpha: 2 ** 24 + 1 }), 'at most 2^24'],
    ['alpha too small', rule({ alpha: -(2 ** 24) - 1 }), 'at most 2^24'],
    ['alpha NaN', rule({ alpha: NaN }), 'is an integer'],
    ['numerator no integer', rule({ numerator: 0.5 }), 'fraction of integers'],
    ['denominator infinite', rule({ denominator: Infinity }), 'fraction of integers'],
    ['beta negative', rule({ numerator: -1, denominator: 1 }), 'between 0 and 1'],
    ['beta above 1', rule({ numerator: 3, denominator: 2 }), 'between 0 and 1'],
    ['denominator 0', rule({ numerator: 0, denominator: 0 }), 'between 0 and 1'],
    ['denominator above 2^30', rule({ numerator: 1, denominator: 2 ** 30 + 1 }), 'between 0 and 1'],
    ['beta not in lowest terms', rule({ numerator: 2, denominator: 4 }), 'lowest terms'],
    ['zero as 0/2', rule({ numerator: 0, denominator: 2 }), 'lowest terms'],
    ['a head too few', inLayer(heads, (layer) => ({ ...layer, heads: layer.heads.slice(1) })), 'a rule for every query head'],
  ],
  rings: [
    ['a head too few', inLayer(rings, (layer) => ({ ...layer, heads: layer.heads.slice(1) })), 'a ring for every KV head'],
    ['a ring too few', inLayer(rings, (layer) => ({ ...layer, rings: layer.rings.slice(1) })), 'a ring for every KV head'],
    ['rings in another order', inLayer(rings, (layer) => ({ ...layer, rings: layer.rings.toReversed() })), 'order of KV heads'],
    ['no age mask for two rules', ring({ ageMask: false }), 'mask by age'],
    ['an age mask for one rule', ring({ rules: rings.layers[0]!.rings[0]!.rules.slice(0, 1) }), 'mask by age'],
    ["a head's rule missing", ring({ rules: rings.layers[0]!.rings[0]!.rules.slice(0, 1), ageMask: false }), 'lists the rules'],
  ],
  groups: [
    ['a head group missing', inLayer(groups, (layer) => ({ ...layer, headGroups: layer.headGroups.slice(1) })), 'partition the query heads'],
    ['a head group twice', inLayer(groups, (layer) => ({ ...layer, headGroups: [layer.headGroups[0], ...layer.headGroups] })), 'partition the query heads'],
    ['a head that is not there', inLayer(groups, (layer) => ({ ...layer, headGroups: [{ ...layer.headGroups[0]!, heads: [7] }, ...layer.headGroups.slice(1)] })), 'partition the query heads'],
    ['a ring group missing', inLayer(groups, (layer) => ({ ...layer, ringGroups: layer.ringGroups.slice(1) })), 'partition the KV heads'],
    ['a KV head twice', inLayer(groups, (layer) => ({ ...layer, ringGroups: layer.ringGroups.map((group) => ({ ...group, kvHeads: [0] })) })), 'partition the KV heads'],
  ],
  'the layout': [
    ['a head group missing', inLayer(laidOut, (layer) => ({ ...layer, headGroups: layer.headGroups.slice(1) })), 'partition the query heads'],
    ['a ring group missing', inLayer(laidOut, (layer) => ({ ...layer, ringGroups: layer.ringGroups.slice(1) })), 'partition the KV heads'],
    ['a gap before the first group', ringGroup(0, { firstPage: constant(1) }), 'without gaps'],
    ['groups that overlap', ringGroup(1, { firstPage: constant(0) }), 'without gaps'],
    ['a ring smaller than its span', ringGroup(0, { pages: constant(1) }), 'holds its span'],
    ['pages that are not the sum', inLayer(laidOut, (layer) => ({ ...layer, pages: constant(4) })), "a layer's pages"],
  ],
  kernels: [
    ['a name that is no identifier', firstKernel({ name: 'moa_a b' }), 'identifier of ours'],
    ['a name of another', firstKernel({ name: 'memcpy' }), 'identifier of ours'],
    ['a name too long', firstKernel({ name: `moa_${'a'.repeat(101)}` }), 'identifier of ours'],
    ['half a warp', firstKernel({ threads: 48 }), 'whole warps'],
    ['too many threads', firstKernel({ threads: 2048 }), 'whole warps'],
    ['another group size', firstKernel({ groupSize: 4 }), 'group size'],
    ['no layers', firstKernel({ layers: [] }), 'a kernel is used'],
    ['no architectures', firstKernel({ architectures: [] }), 'a kernel is used'],
    ['a name twice', kernels(([first, ...rest]) => [first, first, ...rest]), 'names are unique'],
    ['no prefill kernel', kernels((all) => all.filter(({ role }) => role !== 'prefill')), 'layer 0 has a prefill kernel'],
    ['no decode kernel for layer 1', kernels((all) => all.map((kernel) => (kernel.role === 'decode' ? { ...kernel, layers: [0] } : kernel))), 'layer 1 has a decode kernel'],
    ['no append kernel', kernels((all) => all.filter(({ role }) => role !== 'append')), 'layer 0 has a append kernel'],
    ['a cache in E4M3 that nothing expands', { ...scheduled, layout: { ...scheduled.layout, cacheType: 'e4m3' } }, 'layer 0 has a expand kernel'],
  ],
};

describe.each(Object.entries(cases))('%s', (_, rows) => {
  test.each(rows)('%s', (_name, module, message) => {
    expect(() => verifyModule(module)).toThrow(/^internal error: /);
    expect(() => verifyModule(module)).toThrow(message);
  });
});

test('a level that is not known is an internal error', () => {
  expect(() => verifyModule({ ...heads, kind: 'otherModule' } as unknown as Module)).toThrow('internal error: unexpected');
});
