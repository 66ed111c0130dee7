/** Where everything of a session lies: windows, rings, page tables and bytes, computed from the plan before anything is allocated. */
import { evaluate, windowOf, printRule } from '../ir/affine.ts';
import { decodeSegments, type DecodeSegments, type RingUnit } from '../passes/schedule/decodeSegments.ts';
import type { PlanDefinition, RingGroupDefinition } from '../ir/planDefinition.ts';

export interface SessionShape {
  /** Sequences. */
  readonly batch: number;
  /** The most tokens a sequence will hold: prompt and new tokens. */
  readonly lengthBound: number;
  /** The layers that the session serves, rising: those on this device when a model is spread over several. All by default. */
  readonly layers?: readonly number[];
}

export interface LayerLayout {
  readonly layer: number;
  /** Window in tokens of each query head. */
  readonly windows: Int32Array;
  /** `[slot][kvHead]` pairs: offset in the layer's page table, window in tokens of the ring. */
  readonly rings: Int32Array;
  /** In the order of their pages. */
  readonly units: readonly RingUnit[];
  /** First page of the layer in the pool, also its offset in the page table. */
  readonly firstPage: number;
  /** Pages of all sequences. */
  readonly pages: number;
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
  /** Pages of keys and values. */
  readonly cache: number;
  /** Page tables, rings, windows, schedules, lengths. */
  readonly tables: number;
  /** Partial results of split rings. */
  readonly workspace: number;
  /** What a dense cache of the same model would take, at N tokens in every head. */
  readonly dense: number;
  readonly layers: readonly LayerMemory[];
}

export interface SessionLayout {
  readonly layers: readonly LayerLayout[];
  readonly pages: number;
}

/** The layers of a session, rising. */
export function layersOf(plan: PlanDefinition, { layers }: SessionShape): readonly number[] {
  return layers ?? plan.layers.map((_, layer) => layer);
}

/** Windows, rings and pages of all layers. */
export function layoutSession(plan: PlanDefinition, shape: SessionShape): SessionLayout {
  const { batch, lengthBound } = shape;
  const variables = { N: lengthBound };
  const pagesOf = plan.expressions.map((expression) => evaluate(expression, variables));
  const windowsOf = plan.rules.map((rule) => windowOf(rule, plan.limits, lengthBound));
  const { kvHeads } = plan.shape;
  let firstPage = 0;
  const layers = layersOf(plan, shape).map((index): LayerLayout => {
    const { heads, rings: groups } = plan.layers[index]!;
    const rings = new Int32Array(batch * kvHeads * 2);
    const units: RingUnit[] = [];
    let next = 0;
    for (let slot = 0; slot < batch; slot += 1) {
      for (const group of groups) {
        const pages = pagesOf[group.pages]!;
        const window = pagesOf[group.span]! - plan.limits.sink;
        for (const kvHead of group.kvHeads) {
          units.push({ slot, kvHead, tableOffset: next, window, pages });
          rings.set([next, window], (slot * kvHeads + kvHead) * 2);
          next += pages;
        }
      }
    }
    const layer = { layer: index, windows: Int32Array.from(heads, (rule) => windowsOf[rule]!), rings, units, firstPage, pages: next };
    firstPage += next;
    return layer;
  });
  return { layers, pages: firstPage };
}

/** Pages of one ring that hold a token when its sequence has `length` tokens. */
export function ringPagesInUse(length: number, window: number, sink: number, pageTokens: number): number {
  if (length <= sink) return Math.ceil(length / pageTokens);
  return Math.ceil(sink / pageTokens) + Math.ceil(Math.min(length - sink, window) / pageTokens);
}

/** The decode schedule of a layer on a device that runs `blocks` blocks at once. */
export function layerSegments(plan: PlanDefinition, layer: LayerLayout, blocks: number): DecodeSegments {
  return decodeSegments(plan.decode, layer.units, blocks);
}

/** Bytes by layer and ring group, known without a device but for the schedules, which `tables` and `workspace` add up. */
export function sessionMemory(plan: PlanDefinition, shape: SessionShape, tables: number, workspace: number): SessionMemory {
  const variables = { N: shape.lengthBound };
  const { pageBytes } = plan.layout;
  const layers = layersOf(plan, shape).map((layer): LayerMemory => {
    const groups = plan.layers[layer]!.rings.map((group) => groupMemory(plan, group, shape.batch, variables, pageBytes));
    return { layer, groups, bytes: groups.reduce((sum, group) => sum + group.bytes, 0) };
  });
  const cache = layers.reduce((sum, layer) => sum + layer.bytes, 0);
  const tokenBytes = pageBytes / plan.layout.pageTokens;
  const dense = layers.length * plan.shape.kvHeads * shape.batch * shape.lengthBound * tokenBytes;
  return { total: cache + tables + workspace, cache, tables, workspace, dense, layers };
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
