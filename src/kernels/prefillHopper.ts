import { pointer, tensorMap } from '../ir/kernelParams.ts';
import type { HopperPrefillKernel } from '../ir/nodes.ts';
import { invariant } from '../util/invariant.ts';
import { scoreContext, shapeContext, type ScoreContext, type ShapeContext } from './contexts.ts';
import { persistent } from './grids.ts';
import { itemBytes, prefillFields, prefillName } from './prefill.ts';
import type { KernelRequest, Variant } from './variant.ts';

interface HopperPrefillTile {
  /** Warpgroups that compute, of 64 rows each. */
  readonly groups: number;
  /** Tiles of keys, and as many of values; of keys one more where queries are held in registers, which pass through it. */
  readonly stages: number;
  /** Pages of 64 keys in a tile. */
  readonly tilePages: number;
  /**
   * Places for the queries of an item, where registers do not hold them. With one, queries leave it
   * before O goes out, through a buffer of so many columns.
   */
  readonly queryStages: number;
  readonly outputColumns: number;
  /** Whether registers hold the queries: a third of what the tensor cores read from shared memory is saved. */
  readonly holdsQueries: boolean;
  /** Registers of a thread: of 64 K, those of the producer's warpgroup and of the others. */
  readonly producerRegisters: number;
  readonly computeRegisters: number;
}

interface HopperPrefillContext extends ScoreContext {
  readonly groups: number;
  readonly stages: number;
  readonly holdsQueries: boolean;
  readonly producerRegisters: number;
  readonly computeRegisters: number;
  readonly partialFloats: number;
  readonly itemBytes: number;
  readonly shape: ShapeContext;
}

/**
 * FlashAttention-3's shapes (hopper/tile_size.h): 128 rows for headDim 128, where S, O and P take
 * 160 registers of a thread; 192 for headDim 64. Of headDim 256 it takes 128 rows and 80 keys; here
 * 64, which are a page: S, O and P are 176 registers, and Q, two stages and half of O 224 KiB. The
 * producer needs more than 24 registers for its way through the mask.
 */
const tiles: Readonly<Record<number, HopperPrefillTile>> = Object.freeze({
  64: { groups: 3, stages: 5, tilePages: 2, holdsQueries: false, queryStages: 2, outputColumns: 0, producerRegisters: 32, computeRegisters: 160 },
  128: { groups: 2, stages: 3, tilePages: 2, holdsQueries: true, queryStages: 0, outputColumns: 0, producerRegisters: 40, computeRegisters: 232 },
  256: { groups: 2, stages: 2, tilePages: 1, holdsQueries: false, queryStages: 1, outputColumns: 128, producerRegisters: 40, computeRegisters: 232 },
});

/** Prefill with `wgmma`: persistent blocks, whose producer warp copies by tensor maps. */
export const prefillHopper: Variant<HopperPrefillKernel, HopperPrefillTile> = {
  template: 'prefill.hopper',
  params: {
    name: 'prefill-hopper',
    fields: [
      tensorMap('queryMap', '[tokens][queryHeads * headDim], boxes of 64 x 64'),
      tensorMap('keyMap', '[tokens][kvHeads * headDim], boxes of 64 x 64'),
      tensorMap('valueMap', '[tokens][kvHeads * headDim], boxes of 64 x 64'),
      ...prefillFields,
      pointer('ticket', 'uint32_t*', 'counter of items taken beyond the first of each block, 0 between launches'),
      pointer('partials', 'float*', '[parts] results of items whose keys are cut in two, or null'),
      pointer('partTickets', 'uint32_t*', '[parts / 2][warps] counters of finished parts, 0 between launches'),
    ],
  },
  features: { attends: true, producerWarp: true, tensorMaps: true },
  tiles: (headDim) => tiles[headDim],

  select(request) {
    const { base, specialised, scores } = request;
    const tile = tiles[base.headDim];
    invariant(tile !== undefined, `there are prefill tiles for headDim ${base.headDim}`);
    const { groups, stages, holdsQueries, producerRegisters, computeRegisters } = tile;
    const rows = 64 * groups;
    return {
      ...base,
      role: 'prefill',
      variant: 'hopper',
      name: prefillName(request, `m${rows}_s${stages}_wgmma`),
      threads: (groups + 1) * 128,
      minBlocksPerSm: 1,
      sharedBytes: sharedBytes(tile, request),
      rows,
      groups,
      stages,
      holdsQueries,
      producerRegisters,
      computeRegisters,
      specialised,
      ...scores,
    };
  },

  context(kernel): HopperPrefillContext {
    const { groups, stages, holdsQueries, producerRegisters, computeRegisters } = kernel;
    return {
      ...scoreContext(kernel),
      groups,
      stages,
      holdsQueries,
      producerRegisters,
      computeRegisters,
      partialFloats: partialFloats(kernel),
      itemBytes,
      shape: shapeContext(kernel),
    };
  },

  blocksPerSm: ({ minBlocksPerSm }) => minBlocksPerSm,
  partialFloats,
  grid: ({ minBlocksPerSm }) => persistent(minBlocksPerSm),
};

function partialFloats({ rows, headDim }: HopperPrefillKernel): number {
  return rows * (headDim + 2);
}

/** Queries, keys and values, O on its way, items, what is known of each stage of keys, scans, barriers. */
function sharedBytes(tile: HopperPrefillTile, { base, layout }: KernelRequest): number {
  const { groups, stages, tilePages, holdsQueries, queryStages, outputColumns } = tile;
  const rows = 64 * groups;
  const keyStages = holdsQueries ? stages + 1 : stages;
  const tileRows = queryStages * rows + (keyStages + stages) * tilePages * layout.pageTokens;
  const tileBytes = tileRows * base.headDim * 2 + rows * outputColumns * 2;
  const items = 4;
  // What the warps that scan values for those that are not finite share: 128 marks a stage, a
  // queue, votes. Two bytes for each warp of an item: what the second pass computes again.
  const scans = stages + 1;
  const scanBytes = 16 * stages + 4 * (scans + 2 * 3) + 2 * items * 4 * groups;
  const barriers = 2 * (keyStages + stages + queryStages) + items + scans;
  const stateBytes = items * itemBytes + 16 * keyStages + Math.ceil(scanBytes / 8) * 8 + 8 * barriers;
  return Math.ceil((tileBytes + stateBytes) / 16) * 16;
}
