import type { HopperDecodeKernel } from '../ir/nodes.ts';
import { invariant } from '../util/invariant.ts';
import {
  decodeContext,
  decodeFacts,
  decodeParams,
  decodePartialFloats,
  type DecodeTraits,
} from './decode.ts';
import { pagesInPlaceOfOne, type DecodeTile } from './decodeTile.ts';
import { planned } from './grids.ts';
import type { Variant } from './variant.ts';

interface HopperDecodeTile extends DecodeTile {
  /** Pages under way at once: what keeps the memory busy, and no more. */
  readonly inFlight: number;
  /** The same before the launch before has ended. */
  readonly inFlightAtFirst: number;
}

/**
 * Measured as those of `decodePortable.ts`: 64 KiB under way in an SM read as fast as more, and
 * leave what else is read less to wait for.
 */
const tiles: Readonly<Record<number, HopperDecodeTile>> = Object.freeze({
  64: { stages: 12, inFlight: 4, inFlightAtFirst: 3, groups: 3, blocksPerSm: 1, residentBlocksPerSm: 1 },
  128: { stages: 6, inFlight: 2, inFlightAtFirst: 2, groups: 2, blocksPerSm: 1, residentBlocksPerSm: 1 },
  256: { stages: 3, inFlight: 2, inFlightAtFirst: 2, groups: 1, blocksPerSm: 1, residentBlocksPerSm: 1 },
});

/** CUDA cores for no group: measured as in `decodePortable.ts`. */
const traits: DecodeTraits<'hopper'> = {
  variant: 'hopper',
  word: 'bulk',
  features: { attends: true, producerWarp: true, tensorMaps: false },
  cudaCoresUpToGroup: 0,
};

/** Decode with a warp of its own that brings pages, by bulk copies. */
export const decodeHopper: Variant<HopperDecodeKernel, HopperDecodeTile> = {
  template: 'decode',
  params: decodeParams,
  features: traits.features,
  tiles: (headDim) => tiles[headDim],

  select(request) {
    const { headDim } = request.base;
    const tile = tiles[headDim];
    invariant(tile !== undefined, `there are decode tiles for headDim ${headDim}`);
    const facts = decodeFacts(traits, request, tile);
    const most = (pages: number): number => Math.min(pages * pagesInPlaceOfOne(facts.cacheType), facts.stages);
    return { ...facts, inFlight: most(tile.inFlight), inFlightAtFirst: most(tile.inFlightAtFirst) };
  },

  context(kernel) {
    const { inFlight, inFlightAtFirst } = kernel;
    return decodeContext(kernel, {
      pagesClass: 'BulkPages',
      pagesHeader: 'bulkPages',
      producer: true,
      inFlight,
      inFlightAtFirst,
    });
  },

  blocksPerSm: ({ blocksPerSm }) => blocksPerSm,
  partialFloats: decodePartialFloats,
  grid: planned,
};
