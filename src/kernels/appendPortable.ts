import { int32, pointer } from '../ir/kernelParams.ts';
import type { AppendKernel } from '../ir/nodes.ts';
import { cacheContext, ropeContext, type CacheContext, type RopeContext } from './contexts.ts';
import { tasks } from './grids.ts';
import { headsName, ropeTraits } from './names.ts';
import type { Variant } from './variant.ts';

interface AppendTile {
  readonly threads: number;
  readonly minBlocksPerSm: number;
  /** Where it rotates: angles take many registers, which leave an SM too few threads to wait for memory if the compiler is not told. */
  readonly minBlocksPerSmWithRope: number;
}

const tile: AppendTile = { threads: 128, minBlocksPerSm: 4, minBlocksPerSmWithRope: 8 };

/** Writes new keys and values into their rings. */
export const appendPortable: Variant<AppendKernel, AppendTile> = {
  template: 'append',
  params: {
    name: 'append',
    fields: [
      pointer('q', 'uint16_t*', '[tokens][queryHeads][headDim], rotated in place; unused without RoPE'),
      pointer('k', 'uint16_t*', '[tokens][kvHeads][headDim], rotated in place with RoPE'),
      pointer('v', 'uint16_t*', '[tokens][kvHeads][headDim]'),
      pointer('pool', 'uint16_t*', '[pages] K page, V page; null: rotate only'),
      pointer('pageTable', 'const int*', 'page numbers, ring after ring'),
      pointer('rings', 'const moa::Ring*', '[slots][kvHeads] of this layer'),
      pointer('lengths', 'int*', '[slots] tokens in the cache of this layer; advanced at the end'),
      pointer('cuSeqlens', 'const int*', '[slots + 1] first token of each sequence'),
      pointer('rope', 'const float*', 'table of the rotation of this layer (rotate.cuh); unused without RoPE'),
      pointer('kvScales', 'const float*', '[2][kvHeads] of keys, of values, of this layer; unused but with a cache of 8 bits'),
      pointer('ticket', 'uint32_t*', 'counter of finished blocks, 0 between launches'),
      pointer('counts', 'const int*', '[slots] rows of each sequence that are tokens, the others are ignored; null: all'),
      int32('tokens', 'new tokens of all sequences'),
      int32('slots', 'sequences'),
      int32('fewest', 'sequences with fewer new tokens are left out'),
      int32('ropeShift', 'log2 of the positions of a block of the table; unused without RoPE'),
    ],
  },
  features: { attends: false, producerWarp: false, tensorMaps: false },
  tiles: () => tile,

  select({ base, layout: { cacheType }, rope }) {
    const rotates = rope.rotaryDim > 0;
    const traits = [...(cacheType === 'e4m3' ? ['e4m3'] : []), ...ropeTraits(rope, base)];
    return {
      ...base,
      role: 'append',
      variant: 'portable',
      name: ['moa_append', headsName(base), ...traits].join('_'),
      threads: tile.threads,
      minBlocksPerSm: rotates ? tile.minBlocksPerSmWithRope : tile.minBlocksPerSm,
      sharedBytes: 16,
      rope: rotates,
      ...rope,
      cacheType,
    };
  },

  context: (kernel): CacheContext & RopeContext => ({ ...cacheContext(kernel), ...ropeContext(kernel) }),
  blocksPerSm: () => 0,
  partialFloats: () => 0,

  /** A task is a head's row of a token: of keys, of values, with RoPE of queries. A thread has 16 elements of it. */
  grid(kernel) {
    const { kvHeads, queryHeads, rope, headDim } = kernel;
    return tasks(kernel, (2 * kvHeads + (rope ? queryHeads : 0)) * (headDim / 16));
  },
};
