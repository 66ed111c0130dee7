import type { PortableDecodeKernel } from '../ir/nodes.ts';
import { invariant } from '../util/invariant.ts';
import {
  decodeContext,
  decodeFacts,
  decodeParams,
  decodePartialFloats,
  type DecodeTraits,
} from './decode.ts';
import type { DecodeTile } from './decodeTile.ts';
import { planned } from './grids.ts';
import type { TileArchitecture, Variant } from './variant.ts';

/**
 * Measured on an H200 with the plans of vicuna-7b, Llama-3-8B and Llama-3.2-1B, batch 1, 8 and 32
 * (docs/kernels/decode.md): a second group of warps hides the chain of one page's arithmetic, with headDim 64 a third one;
 * 64 KiB under way in an SM read as fast as more; space for a second block, so that the next launch
 * is resident earlier, takes more from the pipeline than it gives.
 *
 * headDim 256 has pages of 64 KiB, of which shared memory holds three and the states of one group
 * of warps; no other tile was tried.
 */
const overlappingTiles: Readonly<Record<number, DecodeTile>> = Object.freeze({
  64: { stages: 2, groups: 3, blocksPerSm: 1, residentBlocksPerSm: 1 },
  128: { stages: 2, groups: 2, blocksPerSm: 1, residentBlocksPerSm: 1 },
  256: { stages: 3, groups: 1, blocksPerSm: 1, residentBlocksPerSm: 1 },
});

/**
 * Where launches do not overlap and an SM gets half the bytes in a nanosecond (A100):
 * FlashAttention-2's depth.
 */
const aloneTiles: Readonly<Record<number, DecodeTile>> = Object.freeze({
  64: { stages: 6, groups: 1, blocksPerSm: 1, residentBlocksPerSm: 1 },
  128: { stages: 4, groups: 1, blocksPerSm: 1, residentBlocksPerSm: 1 },
  256: { stages: 2, groups: 1, blocksPerSm: 1, residentBlocksPerSm: 1 },
});

const tiles = (headDim: number, { dependentLaunch }: TileArchitecture): DecodeTile | undefined =>
  (dependentLaunch ? overlappingTiles : aloneTiles)[headDim];

/**
 * CUDA cores for no group: measured on an H200 with headDim 64 and 128 for groups of 1, 2, 4 and 8
 * (docs/kernels/decode.md), none was faster on them.
 */
const traits: DecodeTraits<'portable'> = {
  variant: 'portable',
  word: '',
  features: { attends: true, producerWarp: false, tensorMaps: false },
  cudaCoresUpToGroup: 0,
};

/** Decode whose warps copy pages for themselves, with `cp.async`. */
export const decodePortable: Variant<PortableDecodeKernel, DecodeTile> = {
  template: 'decode',
  params: decodeParams,
  features: traits.features,
  tiles,

  select(request) {
    const { headDim } = request.base;
    const tile = tiles(headDim, request.architecture);
    invariant(tile !== undefined, `there are decode tiles for headDim ${headDim}`);
    return decodeFacts(traits, request, tile);
  },

  context(kernel) {
    const { stages } = kernel;
    // Of one stage its halves are copied apart.
    const [pagesClass, pagesHeader] =
      stages > 1 ? ['CpAsyncPages', 'cpAsyncPages'] : ['CpAsyncHalves', 'cpAsyncHalves'];
    return decodeContext(kernel, { pagesClass, pagesHeader, producer: false, inFlight: stages, inFlightAtFirst: stages });
  },

  blocksPerSm: ({ blocksPerSm }) => blocksPerSm,
  partialFloats: decodePartialFloats,
  grid: planned,
};
