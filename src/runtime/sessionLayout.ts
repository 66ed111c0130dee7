/** Where everything of a session lies: windows, rings, page tables and bytes, computed from the plan before anything is allocated. */
import { evaluate, printRule, windowOf } from '../ir/affine.ts';
import { layerNumbers } from '../ir/layerNumbers.ts';
import type { LayerDefinition, PlanDefinition, RingGroupDefinition } from '../ir/planDefinition.ts';
import { ranges } from '../ir/print.ts';
import { Memo } from '../util/memo.ts';
import { BufferSizes } from './bufferSizes.ts';
import { RuntimeError } from './runtimeError.ts';

/** Length bounds whose rings are kept; those of more are found again. */
export const cachedBounds = 4096;

export interface SessionShape {
  /** Slots, each for a sequence; 0 is legal. */
  readonly batch: number;
  /** The most tokens a sequence will hold: prompt and new tokens. */
  readonly lengthBound: number;
  /** Of the pool, which all sequences share; what `batch` sequences of `lengthBound` tokens need by default. With fewer, a step that would not fit is refused (MOA6109). */
  readonly pages?: number;
  /** The layers that the session serves, rising: those on this device when a model is spread over several. All by default. */
  readonly layers?: readonly number[];
}

/** Layers of a session with equal rules: they have tables in common. */
export interface LayerClass {
  /** Its number in the session, and in the plan. */
  readonly index: number;
  readonly planClass: number;
  readonly definition: LayerDefinition;
  readonly plan: PlanDefinition;
  /** The first tokens of a sequence, always attended. */
  readonly sink: number;
  /** Entries of the page table for one slot: pages at the session's length bound. */
  readonly slotPages: number;
  /** Where the ring of each KV head begins among them. */
  readonly tableOffsets: readonly number[];
}

export interface LayerLayout {
  /** Its number in the model. */
  readonly layer: number;
  /** Its number in the plan. */
  readonly planLayer: number;
  readonly layerClass: LayerClass;
  /** Where the layer's page table begins in the session's. */
  readonly firstEntry: number;
}

export interface GroupMemory {
  /** Rules that share these rings: `-1024 + N`. */
  readonly rules: readonly string[];
  readonly kvHeads: readonly number[];
  /** Tokens that one ring holds. */
  readonly span: number;
  /** Of the KV cache, over all sequences. */
  readonly bytes: number;
}

export interface LayerMemory {
  readonly layer: number;
  readonly bytes: number;
  readonly groups: readonly GroupMemory[];
}

/** Bytes on the device. */
export interface SessionMemory {
  readonly total: number;
  /** The pool: pages of keys and values. */
  readonly cache: number;
  /** Page tables, rings, windows, plans, lengths. */
  readonly tables: number;
  /** Partial results of rings that are cut in pieces. */
  readonly workspace: number;
  /** Not in `total`: of a cache in E4M3, what the first chunk of a prompt allocates besides: pages of 16 bits, and their table. Otherwise 0. */
  readonly expanded: number;
  /** What a dense cache of the same model would take, at N tokens in every head. */
  readonly dense: number;
  /** What `batch` sequences of `lengthBound` tokens take of the pool: all of it, unless it was given fewer pages. */
  readonly layers: readonly LayerMemory[];
}

export interface SessionLayout {
  readonly layers: readonly LayerLayout[];
  readonly classes: readonly LayerClass[];
  /** Entries of the page table: pages of `batch` sequences of `lengthBound` tokens. */
  readonly entries: number;
}

/** The layers of a session by their numbers in the plan, rising. */
export function layersOf({ shape }: PlanDefinition, { layers }: SessionShape): readonly number[] {
  const numbers = layerNumbers(shape);
  if (layers === undefined) return [...numbers.keys()];
  return layers.map((layer, index) => {
    const planLayer = numbers.indexOf(layer);
    if (planLayer < 0) {
      const message = `layers[${index}] is ${layer}; the layers of the model that have attention are ${ranges(numbers)}`;
      throw new RuntimeError('badOptions', message, 'a session serves layers of the plan, by their numbers in the model');
    }
    return planLayer;
  });
}

/** Classes, and where page tables lie. */
export function layoutSession(plan: PlanDefinition, shape: SessionShape): SessionLayout {
  const classes = new Map<number, LayerClass>();
  const numbers = layerNumbers(plan.shape);
  let entries = 0;
  const layers = layersOf(plan, shape).map((planLayer): LayerLayout => {
    const planClass = plan.tables.layerClass[planLayer]!;
    let layerClass = classes.get(planClass);
    if (layerClass === undefined) classes.set(planClass, (layerClass = layoutClass(plan, planClass, plan.layers[planLayer]!, classes.size, shape)));
    const placed = { layer: numbers[planLayer]!, planLayer, layerClass, firstEntry: entries };
    entries += shape.batch * layerClass.slotPages;
    return placed;
  });
  return { layers, classes: [...classes.values()], entries };
}

function layoutClass(plan: PlanDefinition, planClass: number, definition: LayerDefinition, index: number, { lengthBound }: SessionShape): LayerClass {
  const tableOffsets = new Array<number>(plan.shape.kvHeads);
  let slotPages = 0;
  for (const { kvHeads, pages } of definition.rings) {
    const count = evaluate(plan.expressions[pages]!, { N: lengthBound });
    for (const kvHead of kvHeads) {
      tableOffsets[kvHead] = slotPages;
      slotPages += count;
    }
  }
  return { index, planClass, definition, plan, sink: definition.sink, slotPages, tableOffsets };
}

/** Equal rings of a class at a length bound: the slots of each behind the sink, and the longest window of a query head that reads it. */
export interface RingWindows {
  readonly kvHeads: readonly number[];
  readonly window: number;
  readonly longest: number;
}

export function windowsOfRings(layerClass: LayerClass, bound: number): readonly RingWindows[] {
  let ofClass = ringWindows.get(layerClass);
  if (ofClass === undefined) ringWindows.set(layerClass, (ofClass = new Memo(cachedBounds)));
  return ofClass.get(bound, () => evaluateRings(layerClass, bound));
}

const ringWindows = new WeakMap<LayerClass, Memo<number, readonly RingWindows[]>>();

function evaluateRings({ plan, definition, sink }: LayerClass, bound: number): readonly RingWindows[] {
  return definition.rings.map(({ kvHeads, span, rules }) => ({
    kvHeads,
    window: evaluate(plan.expressions[span]!, { N: bound }) - sink,
    longest: Math.max(...rules.map((rule) => windowOf(plan.rules[rule]!, plan.limits, bound, definition.modelWindow))),
  }));
}

/** The window in tokens of each query head of a class at a length bound. */
export function windowsOfHeads({ plan, definition }: LayerClass, bound: number): Int32Array {
  const windows = new Map(definition.heads.map((rule) => [rule, windowOf(plan.rules[rule]!, plan.limits, bound, definition.modelWindow)]));
  return Int32Array.from(definition.heads, (rule) => windows.get(rule)!);
}

/** Pages of one ring that hold a token when its sequence has `length` tokens; none of a slot without a sequence, whose length is -1. */
export function ringPagesInUse(length: number, window: number, sink: number, pageTokens: number): number {
  if (length <= sink) return Math.ceil(Math.max(0, length) / pageTokens);
  return Math.ceil(sink / pageTokens) + Math.ceil(Math.min(length - sink, window) / pageTokens);
}

/** Bytes by layer and ring group, known without a device but for the tables and the workspace. */
export function sessionMemory(plan: PlanDefinition, shape: SessionShape, tables: number, workspace: number): SessionMemory {
  const variables = { N: shape.lengthBound };
  const { pageBytes } = plan.layout;
  const numbers = layerNumbers(plan.shape);
  const layers = layersOf(plan, shape).map((planLayer): LayerMemory => {
    const groups = plan.layers[planLayer]!.rings.map((group) => groupMemory(plan, group, shape.batch, variables, pageBytes));
    return { layer: numbers[planLayer]!, groups, bytes: groups.reduce((sum, group) => sum + group.bytes, 0) };
  });
  const cache = shape.pages === undefined ? layers.reduce((sum, layer) => sum + layer.bytes, 0) : shape.pages * pageBytes;
  const tokenBytes = pageBytes / plan.layout.pageTokens;
  const expanded = plan.layout.cacheType === 'e4m3' ? expandedBytes(plan, shape) : 0;
  const dense = layers.length * plan.shape.kvHeads * shape.batch * shape.lengthBound * tokenBytes;
  return { total: cache + tables + workspace, cache, tables, workspace, expanded, dense, layers };
}

/** Pages of 16-bit elements of one layer, and their table. */
function expandedBytes(plan: PlanDefinition, shape: SessionShape): number {
  const slotPages = Math.max(0, ...layoutSession(plan, shape).classes.map((each) => each.slotPages));
  const sizes = new BufferSizes(plan, 'prefill', { slots: shape.batch, items: 0, slotPages });
  return sizes.bytes('expandedPool') + sizes.bytes('expandedTable');
}

function groupMemory(plan: PlanDefinition, group: RingGroupDefinition, batch: number, variables: { N: number }, pageBytes: number): GroupMemory {
  const pages = evaluate(plan.expressions[group.pages]!, variables);
  return {
    rules: group.rules.map((rule) => printRule(plan.rules[rule]!)),
    kvHeads: group.kvHeads,
    span: evaluate(plan.expressions[group.span]!, variables),
    bytes: pages * group.kvHeads.length * batch * pageBytes,
  };
}
