import { int32, pointer } from '../ir/kernelParams.ts';
import type { ExpandKernel } from '../ir/nodes.ts';
import { looping } from './grids.ts';
import { headsName } from './names.ts';
import type { Variant } from './variant.ts';

interface ExpandTile {
  readonly threads: number;
  readonly minBlocksPerSm: number;
}

const tile: ExpandTile = { threads: 256, minBlocksPerSm: 4 };

/** Makes pages of 16-bit elements of pages in E4M3, for prefill to read. */
export const expandPortable: Variant<ExpandKernel, ExpandTile> = {
  template: 'expand',
  params: {
    name: 'expand',
    fields: [
      pointer('pool', 'const uint8_t*', '[pages] K page, V page, in E4M3'),
      pointer('pageTable', 'const int*', 'page numbers, ring after ring'),
      pointer('rings', 'const moa::Ring*', '[slots][kvHeads] of this layer'),
      pointer('lengths', 'const int*', '[slots] tokens in the cache of this layer, -1 without a sequence'),
      pointer('cuSeqlens', 'const int*', '[slots + 1] first new token of each sequence: those with some are expanded'),
      pointer('kvScales', 'const float*', '[2][kvHeads] of keys, of values, of this layer'),
      pointer('expanded', 'uint16_t*', '[entries of the page table] K page, V page'),
      int32('slots', 'sequences'),
      int32('sink', 'tokens'),
    ],
  },
  features: { attends: false, producerWarp: false, tensorMaps: false },
  tiles: () => tile,
  select: ({ base }) => ({
    ...base,
    role: 'expand',
    variant: 'portable',
    name: `moa_expand_${headsName(base)}_e4m3`,
    ...tile,
    sharedBytes: 0,
  }),
  context: () => ({}),
  blocksPerSm: () => 0,
  partialFloats: () => 0,
  grid: () => looping(tile.minBlocksPerSm),
};
