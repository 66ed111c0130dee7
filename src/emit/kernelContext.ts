/** What the templates may name: one flat record per kernel. Templates choose and place; everything is computed here. */
import { paramStruct } from '../ir/kernelParams.ts';
import type { KernelNode } from '../ir/nodes.ts';
import type { MaskShape } from '../mask/mask.ts';
import { decodeSegmentWords } from '../passes/schedule/decodeSegments.ts';
import { prefillItemWords } from '../passes/schedule/prefillItems.ts';
import { assertNever } from '../util/invariant.ts';
import { maskContext, type MaskContext } from './printCuda.ts';

interface SharedContext {
  readonly name: string;
  /** `bf16`; the C++ tag is `element`. */
  readonly elementType: string;
  readonly element: 'Bfloat16' | 'Half';
  readonly headDim: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly groupSize: number;
  readonly sink: number;
  readonly threads: number;
  readonly minBlocksPerSm: number;
  readonly sharedBytes: number;
  /** Declarations are padded to one width, so that comments line up. */
  readonly params: readonly { readonly declaration: string; readonly name: string; readonly offset: number; readonly comment: string }[];
  readonly paramsBytes: number;
}

export interface PrefillContext extends SharedContext, MaskContext {
  readonly rows: number;
  readonly columns: number;
  readonly warps: number;
  readonly itemBytes: number;
}

export interface DecodeContext extends SharedContext, MaskContext {
  readonly stages: number;
  readonly ageMask: boolean;
  readonly ageMaskText: string;
  readonly partialFloats: number;
  readonly segmentBytes: number;
}

export interface AppendContext extends SharedContext {
  readonly rope: boolean;
  readonly ropeText: string;
}

export type KernelContext = PrefillContext | DecodeContext | AppendContext;

export function kernelContext(kernel: KernelNode, mask: MaskShape): KernelContext {
  const shared = sharedContext(kernel);
  switch (kernel.role) {
    case 'prefill': {
      const { rows, columns, warps } = kernel;
      return { ...shared, ...maskContext(mask), rows, columns, warps, itemBytes: prefillItemWords * 4 };
    }
    case 'decode':
      return {
        ...shared,
        ...maskContext(mask),
        stages: kernel.stages,
        ageMask: kernel.ageMask,
        ageMaskText: kernel.ageMask
          ? 'Query heads with a window shorter than their ring mask by age.'
          : 'All query heads of a ring have its window: no age mask.',
        partialFloats: partialFloats(kernel),
        segmentBytes: decodeSegmentWords * 4,
      };
    case 'append':
      return { ...shared, rope: kernel.rope, ropeText: kernel.rope ? ' with RoPE' : '' };
    default:
      return assertNever(kernel);
  }
}

/** Floats of the partial result of one split: for each query head of the group its output, maximum and sum. */
export function partialFloats({ groupSize, headDim }: Pick<KernelNode, 'groupSize' | 'headDim'>): number {
  return groupSize * (headDim + 2);
}

function sharedContext(kernel: KernelNode): SharedContext {
  const { name, elementType, headDim, queryHeads, kvHeads, groupSize, sink, threads, minBlocksPerSm, sharedBytes } = kernel;
  const struct = paramStruct(kernel.role);
  const declarations = struct.fields.map(({ cType, name: field }) => `${cType} ${field};`);
  const width = Math.max(...declarations.map((declaration) => declaration.length));
  return {
    name,
    elementType,
    element: elementType === 'bf16' ? 'Bfloat16' : 'Half',
    headDim,
    queryHeads,
    kvHeads,
    groupSize,
    sink,
    threads,
    minBlocksPerSm,
    sharedBytes,
    params: struct.fields.map((field, index) => ({ declaration: declarations[index]!.padEnd(width), name: field.name, offset: field.offset, comment: field.comment })),
    paramsBytes: struct.bytes,
  };
}
