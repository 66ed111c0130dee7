/** What the templates may name: one flat record per kernel. Templates choose and place; everything is computed here and in the rows of `src/kernels`. */
import { sinkOf } from '../ir/affine.ts';
import type { ParamStruct } from '../ir/kernelParams.ts';
import type { KernelNode, ScheduledModule } from '../ir/nodes.ts';
import { elementOf } from '../kernels/contexts.ts';
import { paramStruct } from '../kernels/paramStruct.ts';
import { enums, structs } from '../ir/structs.ts';
import type { Planner, SizeCheck } from '../kernels/planners.ts';
import { variantOf } from '../kernels/variants.ts';
import type { MaskFamily } from '../mask/mask.ts';
import { maskContext, type MaskContext } from './printCuda.ts';

/** The fields of every kernel. */
interface SharedContext extends ParamsContext {
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

/**
 * The fields of a kernel that plans: those of its launch, what it has in common with hosts, and the mask of each sink
 * that layers have.
 */
export interface PlannerContext extends ParamsContext {
  readonly name: string;
  readonly threads: number;
  readonly minBlocksPerSm: number;
  readonly sharedBytes: number;
  readonly masks: readonly (MaskContext & { readonly sink: number })[];
  /** Of the structs that its parameters point to. */
  readonly structs: readonly { readonly name: string; readonly bytes: number }[];
  readonly structFields: readonly { readonly struct: string; readonly member: string; readonly offset: number }[];
  readonly enumValues: readonly { readonly enumeration: string; readonly name: string; readonly value: number }[];
  readonly sizeChecks: readonly SizeCheck[];
}

export function plannerContext(
  planner: Planner,
  { layers, limits }: ScheduledModule,
  family: MaskFamily,
): PlannerContext {
  const { name, threads, minBlocksPerSm, sharedBytes, params, sizes } = planner;
  const sinks = [...new Set(layers.map(({ modelWindow }) => sinkOf(limits, modelWindow)))].sort((a, b) => a - b);
  const shared = Object.values(structs).filter((struct) => params.fields.some(({ of }) => of === struct.name));
  return {
    name,
    threads,
    minBlocksPerSm,
    sharedBytes,
    ...paramsContext(params),
    masks: sinks.map((sink) => ({ sink, ...maskContext(family(sink)) })),
    structs: shared.map((struct) => ({ name: struct.name, bytes: struct.bytes })),
    structFields: shared.flatMap((struct) =>
      struct.fields.map(({ member, offset }) => ({ struct: struct.name, member, offset })),
    ),
    enumValues: planner.enums.flatMap((enumeration) =>
      enums[enumeration].map((value, index) => ({ enumeration, name: value, value: index })),
    ),
    sizeChecks: sizes,
  };
}

/** The struct of a kernel's parameters. */
interface ParamsContext {
  /** Declarations are padded to one width, so that comments line up. */
  readonly params: readonly { readonly declaration: string; readonly name: string; readonly offset: number; readonly comment: string }[];
  readonly paramsBytes: number;
}

function paramsContext({ fields, bytes }: ParamStruct): ParamsContext {
  const declarations = fields.map(({ cType, name: field }) => `${cType} ${field};`);
  const width = Math.max(...declarations.map((declaration) => declaration.length));
  return {
    params: fields.map((field, index) => ({ declaration: declarations[index]!.padEnd(width), name: field.name, offset: field.offset, comment: field.comment })),
    paramsBytes: bytes,
  };
}

function sharedContext(kernel: KernelNode): SharedContext {
  const { name, elementType, headDim, queryHeads, kvHeads, sink, threads, minBlocksPerSm, sharedBytes } = kernel;
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
    ...paramsContext(paramStruct(kernel)),
  };
}
