/**
 * Chooses the kernels of every layer, and their tiles for every architecture, from the measured tables in `src/arch/tiles.ts` and
 * the architectures' limits.
 *
 *     layer 0: ring group {A, B} age mask: 0 1
 *   becomes, for bf16 and one architecture,
 *     kernels append, append with RoPE, decode (4 stages, age mask), prefill (128 x 64, 4 warps); each for layer 0
 *
 * Invariant: every layer has one prefill, one decode and the append kernels for each element type and architecture; no block asks
 * for more shared memory than its architecture has.
 */
import type { Architecture } from '../arch/arch.ts';
import { decodeTiles, prefillTiles } from '../arch/tiles.ts';
import type { ElementType, KernelModule, KernelNode, LaidOutModule } from '../ir/nodes.ts';
import { invariant } from '../util/invariant.ts';
import type { PassContext } from './pass.ts';

export function selectTiles(module: LaidOutModule, context: PassContext): KernelModule {
  const kernels = module.layers.flatMap((layer, index) => {
    const ageMask = layer.ringGroups.some(({ group }) => group.ageMask);
    return context.elementTypes.flatMap((elementType) =>
      context.architectures.flatMap((architecture) => {
        const facts = kernelFacts(module, elementType, architecture, index);
        return [
          appendKernel(facts, false),
          ...(context.rope ? [appendKernel(facts, true)] : []),
          decodeKernel(facts, module, ageMask, architecture),
          prefillKernel(facts),
        ];
      }),
    );
  });
  return { ...module, kind: 'kernelModule', kernels };
}

type Facts = Pick<KernelNode, 'kind' | 'elementType' | 'headDim' | 'queryHeads' | 'kvHeads' | 'groupSize' | 'sink' | 'architectures' | 'layers'>;

function kernelFacts(module: LaidOutModule, elementType: ElementType, architecture: Architecture, layer: number): Facts {
  const { headDim, queryHeads, kvHeads } = module.shape;
  return {
    kind: 'kernel',
    elementType,
    headDim,
    queryHeads,
    kvHeads,
    groupSize: queryHeads / kvHeads,
    sink: module.limits.sink,
    architectures: [architecture.name],
    layers: [layer],
  };
}

function headsName({ headDim, queryHeads, kvHeads, elementType, sink }: Facts): string {
  return `${elementType}_d${headDim}_h${queryHeads}_kv${kvHeads}_sink${sink}`;
}

function prefillKernel(facts: Facts): KernelNode {
  const tile = prefillTiles[facts.headDim];
  invariant(tile !== undefined, `there are prefill tiles for headDim ${facts.headDim}`);
  const { rows, columns, warps, minBlocksPerSm } = tile;
  return {
    ...facts,
    role: 'prefill',
    name: `moa_prefill_${headsName(facts)}_m${rows}_n${columns}`,
    threads: warps * 32,
    minBlocksPerSm,
    sharedBytes: (rows + 2 * columns) * facts.headDim * 2,
    rows,
    columns,
    warps,
  };
}

function decodeKernel(facts: Facts, module: LaidOutModule, ageMask: boolean, architecture: Architecture): KernelNode {
  const tile = decodeTiles[facts.headDim];
  invariant(tile !== undefined, `there are decode tiles for headDim ${facts.headDim}`);
  const threads = 128;
  // The warps' states, headDim + 8 floats for every warp and query head of the group (templates/include/moa/decode.cuh).
  const mergeBytes = (threads / 32) * facts.groupSize * (facts.headDim + 8) * 4;
  const fitting = Math.floor((architecture.sharedBytesPerBlock - mergeBytes) / module.layout.pageBytes);
  const stages = Math.min(tile.stages, fitting);
  invariant(stages >= 2, `decode has two stages on ${architecture.name}`);
  return {
    ...facts,
    role: 'decode',
    name: `moa_decode_${headsName(facts)}_s${stages}${ageMask ? '_age' : ''}`,
    threads,
    minBlocksPerSm: tile.minBlocksPerSm,
    sharedBytes: stages * module.layout.pageBytes + mergeBytes,
    stages,
    ageMask,
  };
}

function appendKernel(facts: Facts, rope: boolean): KernelNode {
  return {
    ...facts,
    role: 'append',
    name: `moa_append_${headsName(facts)}${rope ? '_rope' : ''}`,
    threads: 128,
    minBlocksPerSm: 4,
    sharedBytes: 16,
    rope,
  };
}
