/** What the templates may name: one flat record per kernel. Templates choose and place; everything is computed here and in the rows of `src/kernels`. */
import type { KernelNode } from '../ir/nodes.ts';
import { elementOf } from '../kernels/contexts.ts';
import { paramStruct } from '../kernels/paramStruct.ts';
import { variantOf } from '../kernels/variants.ts';
import type { MaskFamily } from '../mask/mask.ts';
import { maskContext, type MaskContext } from './printCuda.ts';

/** The fields of every kernel. */
interface SharedContext {
  readonly name: string;
  /** `bf16`; the C++ tag is `element`. */
  readonly elementType: string;
  readonly element: 'Bfloat16' | 'Half';
  readonly headDim: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly sink: number;
  readonly threads: number;
  readonly minBlocksPerSm: number;
  readonly sharedBytes: number;
  /** Declarations are padded to one width, so that comments line up. */
  readonly params: readonly { readonly declaration: string; readonly name: string; readonly offset: number; readonly comment: string }[];
  readonly paramsBytes: number;
}

/** With the fields of its variant's own. */
export type KernelContext = SharedContext & Partial<MaskContext> & object;

/** @param family of the masks; the kernel's own has its sink */
export function kernelContext(kernel: KernelNode, family: MaskFamily): KernelContext {
  const mask = family(kernel.sink);
  const variant = variantOf(kernel);
  return {
    ...sharedContext(kernel),
    ...(variant.features.attends ? maskContext(mask) : {}),
    ...variant.context(kernel),
  };
}

function sharedContext(kernel: KernelNode): SharedContext {
  const { name, elementType, headDim, queryHeads, kvHeads, sink, threads, minBlocksPerSm, sharedBytes } = kernel;
  const struct = paramStruct(kernel);
  const declarations = struct.fields.map(({ cType, name: field }) => `${cType} ${field};`);
  const width = Math.max(...declarations.map((declaration) => declaration.length));
  return {
    name,
    elementType,
    element: elementOf(elementType),
    headDim,
    queryHeads,
    kvHeads,
    sink,
    threads,
    minBlocksPerSm,
    sharedBytes,
    params: struct.fields.map((field, index) => ({ declaration: declarations[index]!.padEnd(width), name: field.name, offset: field.offset, comment: field.comment })),
    paramsBytes: struct.bytes,
  };
}
