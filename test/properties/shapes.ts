/**
 * The model shapes that property tests use. A kernel's source depends on the shape and on little else, so a fixed set keeps the number of
 * builds small; rules, lengths and batches are data and vary freely.
 */
import type { ElementType } from '../../src/ir/nodes.ts';

export interface Shape {
  readonly elementType: ElementType;
  readonly headDim: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly sink: number;
  /** 128 by default. */
  readonly minSpan?: number;
}

const shape = (elementType: ElementType, headDim: number, queryHeads: number, kvHeads: number, sink = 64): Shape => ({
  elementType,
  headDim,
  queryHeads,
  kvHeads,
  sink,
});

/** What the emulator runs. Groups of 1 to 16 query heads; over 8 decode uses both halves of its row tile. */
export const smallShapes = {
  bf16_d64_2x2: shape('bf16', 64, 2, 2),
  bf16_d64_2x1: shape('bf16', 64, 2, 1),
  bf16_d64_4x2: shape('bf16', 64, 4, 2),
  fp16_d64_6x2: shape('fp16', 64, 6, 2),
  fp16_d64_8x1: shape('fp16', 64, 8, 1),
  bf16_d64_12x1: shape('bf16', 64, 12, 1),
  bf16_d128_3x1: shape('bf16', 128, 3, 1),
  fp16_d128_2x2: shape('fp16', 128, 2, 2),
  bf16_d128_7x1: shape('bf16', 128, 7, 1),
  fp16_d128_16x1: shape('fp16', 128, 16, 1),
  bf16_d64_2x1_sink4: shape('bf16', 64, 2, 1, 4),
  bf16_d64_2x2_sink0: shape('bf16', 64, 2, 2, 0),
  fp16_d128_2x1_sink100: shape('fp16', 128, 2, 1, 100),
} as const satisfies Record<string, Shape>;

/** Of headDim 256, whose tiles are others: on the emulator a test of their own (wide.full.test.ts), a few cases. */
export const wideShapes = {
  bf16_d256_2x1: shape('bf16', 256, 2, 1),
  fp16_d256_2x2: shape('fp16', 256, 2, 2),
  bf16_d256_8x1: shape('bf16', 256, 8, 1),
  bf16_d256_12x1: shape('bf16', 256, 12, 1),
  fp16_d256_16x1: shape('fp16', 256, 16, 1),
} as const satisfies Record<string, Shape>;

/** Head counts of real models: groups of 3, 5, 1, 8 and 16. */
export const headShapes = {
  fp16_d128_24x8: shape('fp16', 128, 24, 8),
  bf16_d64_40x8: shape('bf16', 64, 40, 8),
  bf16_d64_40x40: shape('bf16', 64, 40, 40),
  fp16_d64_64x8: shape('fp16', 64, 64, 8),
  bf16_d64_64x4: shape('bf16', 64, 64, 4),
} as const satisfies Record<string, Shape>;

/** Shapes of real models, for a GPU: vicuna-7b, Llama-3-8B, Llama-3.2-1B. */
export const modelShapes = {
  vicuna: shape('bf16', 128, 32, 32),
  vicuna_fp16: shape('fp16', 128, 32, 32),
  llama3: shape('bf16', 128, 32, 8),
  llama32: shape('bf16', 64, 32, 8),
} as const satisfies Record<string, Shape>;

/** Shapes with the sinks and shortest spans that plans of other formats have. */
export const formatShapes = {
  bf16_d64_4x2_sink0: { ...shape('bf16', 64, 4, 2, 0), minSpan: 64 },
  bf16_d64_4x2_sink128: { ...shape('bf16', 64, 4, 2, 128), minSpan: 192 },
} as const satisfies Record<string, Shape>;

/** For ranks that share heads out: the whole, in shapes whose part is one of the small ones. */
export const sharedShapes = {
  bf16_d64_8x4: shape('bf16', 64, 8, 4),
} as const satisfies Record<string, Shape>;

export const shapes: Readonly<Record<string, Shape>> = { ...smallShapes, ...wideShapes, ...headShapes, ...modelShapes, ...formatShapes, ...sharedShapes };
export type SmallShape = keyof typeof smallShapes;

export function shapeOf(name: string): Shape {
  const found = shapes[name];
  if (found === undefined) throw new Error(`there is no test shape ${name}`);
  return found;
}

/** The limits of a shape's test plans. */
export const limitsOf = ({ sink, minSpan = 128 }: Shape): { minSpan: number; page: number; sink: number } => ({ minSpan, page: 64, sink });
