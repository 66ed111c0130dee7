/**
 * Chooses the kernels of every layer, and their tiles for every architecture: the variants of the architecture's family, whose rows
 * (`src/kernels`) hold measured tiles and fit them to its limits.
 *
 *     layer 0: ring group {A, B} age mask: 0 1
 *   becomes, for bf16 and one architecture,
 *     kernels append, decode (4 stages, age mask), both with RoPE too, prefill (128 rows, 4 warps); each for layer 0
 *
 * Kernels are specialised by the sink, so layers with a window of the model's own, which have none, get kernels of their
 * own.
 *
 * Invariant: every layer has one prefill, the decode and the append kernels for each element type and architecture, and with a cache in E4M3 one
 * that expands its pages; no block asks for more shared memory than its architecture has.
 */
import type { Architecture } from '../arch/arch.ts';
import { sinkOf } from '../ir/affine.ts';
import type { DecodeCompute, ElementType, KernelModule, KernelNode, KernelRope, LaidOutModule } from '../ir/nodes.ts';
import { decodeAppends } from '../kernels/decodeRows.ts';
import type { KernelBase, KernelRequest } from '../kernels/variant.ts';
import { variantsFor } from '../kernels/variants.ts';
import type { PassContext } from './pass.ts';

export function selectTiles(module: LaidOutModule, context: PassContext): KernelModule {
  const kernels = module.layers.flatMap((_, layer) =>
    context.elementTypes.flatMap((elementType) =>
      context.architectures.flatMap((architecture) => kernelsOf(module, context, elementType, architecture, layer)),
    ),
  );
  return { ...module, kind: 'kernelModule', kernels };
}

/** The kernels of one layer. */
function kernelsOf(module: LaidOutModule, context: PassContext, elementType: ElementType, architecture: Architecture, layer: number): readonly KernelNode[] {
  const { softCap, learnedSinks } = module.attention;
  const { append, decode, expand, prefill } = variantsFor(architecture);
  const request: KernelRequest = {
    base: kernelBase(module, elementType, architecture, layer),
    architecture,
    layout: module.layout,
    scores: { softCap, learnedSinks },
    specialised: !context.ablations.includes('unspecialised'),
  };
  const ageMask = module.layers[layer]!.ringGroups.some(({ group }) => group.ageMask);
  const decoding = { ...request, ageMask, compute: wantedCompute(context) };
  const appends = decodeAppends(request.base);
  const ropes = [noRope, ...(context.rope ? ropesOf(module, layer) : [])];
  return [
    ...ropes.flatMap((rope): readonly KernelNode[] => [append.select({ ...request, rope }), ...(appends ? [decode.select({ ...decoding, rope, appends, tokens: 1 })] : [])]),
    ...(context.decodeTokens > 1 || !appends ? [decode.select({ ...decoding, rope: noRope, appends: false, tokens: context.decodeTokens })] : []),
    ...(module.layout.cacheType === 'e4m3' ? [expand.select(request)] : []),
    prefill.select(request),
  ];
}

const noRope: KernelRope = { rotaryDim: 0, pairing: 'halves' };

/** How kernels of a layer rotate besides those that do not: as the model does, or where it is not known all of a head, in halves. */
function ropesOf({ rope, shape }: LaidOutModule, layer: number): readonly KernelRope[] {
  if (rope === null) return [{ rotaryDim: shape.headDim, pairing: 'halves' }];
  const index = rope.layers[layer]!;
  if (index === null) return [];
  const { rotaryDim, pairing } = rope.ropes[index]!;
  return [{ rotaryDim, pairing }];
}

/** What decode is to multiply with, where an ablation says it. */
function wantedCompute({ ablations }: PassContext): DecodeCompute | undefined {
  if (ablations.includes('cuda-cores')) return 'cudaCores';
  return ablations.includes('tensor-cores') ? 'tensorCores' : undefined;
}

function kernelBase(module: LaidOutModule, elementType: ElementType, architecture: Architecture, layer: number): KernelBase {
  const { headDim, queryHeads, kvHeads } = module.shape;
  return {
    kind: 'kernel',
    elementType,
    headDim,
    queryHeads,
    kvHeads,
    groupSize: queryHeads / kvHeads,
    sink: sinkOf(module.limits, module.layers[layer]!.modelWindow),
    architectures: [architecture.name],
    layers: [layer],
  };
}
