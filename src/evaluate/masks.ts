import { sinkOf, spanOf, windowOf } from '../ir/affine.ts';
import type { HeadLayer, HeadModule } from '../ir/nodes.ts';

/** What heads attend at one length: the query at i attends j when j <= i and (j < sink or i - j < window). A layer with a window of its own in the model has no sink. */
export interface LengthMask {
  readonly sink: number;
  /** Tokens, by layer and query head. */
  readonly windows: readonly (readonly number[])[];
}

/** The mask of a plan for sequences of at most `length` tokens. */
export function planMask({ layers, limits }: HeadModule, length: number): LengthMask {
  return { sink: limits.sink, windows: layers.map(({ heads, modelWindow }) => heads.map(({ rule }) => windowOf(rule, limits, length, modelWindow))) };
}

/** A KV head and what it keeps of a sequence. */
export interface KvHead {
  readonly layer: number;
  readonly head: number;
  /** Slots that the plan keeps: the longest span of its query heads, at most the length. */
  readonly kept: number;
  /** The most that the model attends: the length, or the layer's own window. */
  readonly most: number;
}

/** The KV heads of all layers, in order. */
export function kvHeadsOf(module: HeadModule, length: number): readonly KvHead[] {
  const { shape, limits, layers } = module;
  const group = shape.queryHeads / shape.kvHeads;
  return layers.flatMap(({ heads, modelWindow }, layer) =>
    Array.from({ length: shape.kvHeads }, (_, head) => {
      const spans = heads.slice(head * group, (head + 1) * group).map(({ rule }) => spanOf(rule, limits, length, modelWindow));
      return { layer, head, kept: Math.min(length, Math.max(...spans)), most: Math.min(length, modelWindow ?? length) };
    }),
  );
}

/** The mask in which each KV head, and all of its query heads, have `spans` (in the order of `kvHeadsOf`), with so many first tokens. */
export function maskOf({ shape, layers }: HeadModule, sink: number, spans: readonly number[]): LengthMask {
  const group = shape.queryHeads / shape.kvHeads;
  const windowIn = ({ modelWindow }: HeadLayer, span: number): number => span - sinkOf({ sink, page: 1, minSpan: 1 }, modelWindow);
  return {
    sink,
    windows: layers.map((layer, at) => Array.from({ length: shape.queryHeads }, (_, head) => windowIn(layer, spans[at * shape.kvHeads + Math.floor(head / group)]!))),
  };
}

/** The part of the KV slots of a dense cache that a mask keeps, by KV head. */
export function densityOf(module: HeadModule, { sink, windows }: LengthMask, length: number): number {
  const { shape, layers } = module;
  const group = shape.queryHeads / shape.kvHeads;
  const kept = layers.map(({ modelWindow }, layer) => {
    const first = typeof modelWindow === 'number' ? 0 : sink;
    const spans = windows[layer]!.map((window) => Math.min(first + window, modelWindow ?? Infinity, length));
    return Array.from({ length: shape.kvHeads }, (_, head) => Math.max(...spans.slice(head * group, (head + 1) * group))).reduce((sum, span) => sum + span, 0);
  });
  return kept.reduce((sum, slots) => sum + slots, 0) / (layers.length * shape.kvHeads * length);
}
