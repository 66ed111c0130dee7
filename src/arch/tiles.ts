import type { DecodeCompute } from '../ir/nodes.ts';
import type { Architecture, KernelFamily } from './arch.ts';

/**
 * Tile shapes, per head dimension, with what chose them. `selectTiles` fits the stages of decode to an
 * architecture's shared memory. Keys of prefill come in pages of 64.
 */
export interface PrefillTile {
  /** Of queries. */
  readonly rows: number;
  readonly warps: number;
  readonly minBlocksPerSm: number;
}

export interface WgmmaPrefillTile {
  /** Warpgroups that compute, of 64 rows each. */
  readonly groups: number;
  /** Tiles of keys, and as many of values; of keys one more where queries are held in registers, which pass through it. */
  readonly stages: number;
  /** Pages of 64 keys in a tile. */
  readonly tilePages: number;
  /** Places for the queries of an item, where registers do not hold them. With one, queries leave it before O goes out, through a room for so many columns. */
  readonly queryStages: number;
  readonly outputColumns: number;
  /** Whether queries have room in registers: a third of what the tensor cores read from shared memory is saved. */
  readonly holdsQueries: boolean;
  /** Registers of a thread: of 64 K, those of the producer's warpgroup and of the others. */
  readonly producerRegisters: number;
  readonly computeRegisters: number;
}

export interface DecodeTile {
  /**
   * Pages in flight or in use, of each group of warps where warps copy for themselves; an architecture with less shared memory gets fewer. 1: warps copy the
   * keys of the next page while they multiply values, and values while they multiply keys.
   */
  readonly stages: number;
  /** Pages under way at once where a warp of its own brings them: what keeps the memory busy, and no more. */
  readonly inFlight: number;
  /** Groups of four warps, which take pages in turn. */
  readonly groups: number;
  /** Blocks of a launch on one SM. */
  readonly blocksPerSm: number;
  /**
   * Blocks for which one SM has room. With twice `blocksPerSm` those of the next launch read their first pages while those of this one finish,
   * where launches may overlap.
   */
  readonly residentBlocksPerSm: number;
}

/**
 * 128 x 64 with 4 warps is FlashAttention-2's shape for headDim 128 (two blocks of 255 registers fill an SM). headDim 64 keeps
 * 64 columns: 128 columns spill on compute capability 9.0 (ptxas 13.0: 72 bytes). headDim 256 has 16 rows a warp, whose O takes 128 registers of a thread:
 * 128 rows where shared memory has room for them, else 64 (flash_fwd_launch_template.h, run_mha_fwd_hdim256). Of several tiles the first that fits.
 */
export const prefillTiles: Readonly<Record<number, readonly PrefillTile[]>> = Object.freeze({
  64: [{ rows: 128, warps: 4, minBlocksPerSm: 2 }],
  128: [{ rows: 128, warps: 4, minBlocksPerSm: 2 }],
  256: [
    { rows: 128, warps: 8, minBlocksPerSm: 1 },
    { rows: 64, warps: 4, minBlocksPerSm: 1 },
  ],
});

/**
 * FlashAttention-3's shapes (hopper/tile_size.h): 128 rows for headDim 128, where S, O and P take 160 registers of a thread; 192 for headDim 64. Of headDim 256
 * it takes 128 rows and 80 keys; here 64, which are a page: S, O and P are 176 registers, and Q, two stages and half of O 224 KiB. The producer needs more than
 * 24 registers for its way through the mask.
 */
export const wgmmaPrefillTiles: Readonly<Record<number, WgmmaPrefillTile>> = Object.freeze({
  64: { groups: 3, stages: 5, tilePages: 2, holdsQueries: false, queryStages: 2, outputColumns: 0, producerRegisters: 32, computeRegisters: 160 },
  128: { groups: 2, stages: 3, tilePages: 2, holdsQueries: true, queryStages: 0, outputColumns: 0, producerRegisters: 40, computeRegisters: 232 },
  256: { groups: 2, stages: 2, tilePages: 1, holdsQueries: false, queryStages: 1, outputColumns: 128, producerRegisters: 40, computeRegisters: 232 },
});

/**
 * Rows of queries that a decode kernel takes at once, at most: two tiles of the 8 columns of m16n8k16. With headDim 256 one: the queries and O of two would take
 * 192 registers of a thread.
 */
export const decodeTileRows = (headDim: number): number => (headDim > 128 ? 8 : 16);

/** How many tiles of at most `rows` rows the rows of queries of a KV head fill in decode: its query heads, of each token. */
export function decodeRowTiles({ headDim, queryHeads, kvHeads }: Readonly<Record<'headDim' | 'queryHeads' | 'kvHeads', number>>, tokens: number): { readonly tiles: number; readonly rows: number } {
  const all = (queryHeads / kvHeads) * tokens;
  const rows = Math.min(decodeTileRows(headDim), all);
  return { tiles: Math.ceil(all / rows), rows };
}

/**
 * Whether decode of one token appends it: if a ring's rows of queries fill one tile, so that one segment reads its page. Otherwise it is appended by a launch before, as
 * several tokens are.
 */
export const decodeAppends = (shape: Parameters<typeof decodeRowTiles>[0]): boolean => decodeRowTiles(shape, 1).tiles === 1;

/** The tile of decode on an architecture. */
export function decodeTile({ family, dependentLaunch }: Pick<Architecture, 'family' | 'dependentLaunch'>, headDim: number): DecodeTile | undefined {
  return decodeTiles[dependentLaunch ? family : 'alone'][headDim];
}

/**
 * Measured on an H200 with the plans of vicuna-7b, Llama-3-8B and Llama-3.2-1B, batch 1, 8 and 32 (docs/kernels/decode.md): a second group of
 * warps hides the chain of one page's arithmetic; 64 KiB under way in an SM read as fast as more, and leave what else is read less to wait for; room
 * for a second block, so that the next launch is resident earlier, takes more from the pipeline than it gives. `alone` is where launches do not
 * overlap and an SM gets half the bytes in a nanosecond (A100): FlashAttention-2's depth.
 *
 * headDim 256 has pages of 64 KiB, of which shared memory has room for three and for the states of one group of warps; no other tile was tried.
 */
export const decodeTiles: Readonly<Record<KernelFamily | 'alone', Readonly<Record<number, DecodeTile>>>> = Object.freeze({
  alone: {
    64: { stages: 6, inFlight: 6, groups: 1, blocksPerSm: 1, residentBlocksPerSm: 1 },
    128: { stages: 4, inFlight: 4, groups: 1, blocksPerSm: 1, residentBlocksPerSm: 1 },
    256: { stages: 2, inFlight: 2, groups: 1, blocksPerSm: 1, residentBlocksPerSm: 1 },
  },
  mmaSync: {
    64: { stages: 3, inFlight: 3, groups: 2, blocksPerSm: 1, residentBlocksPerSm: 1 },
    128: { stages: 2, inFlight: 2, groups: 2, blocksPerSm: 1, residentBlocksPerSm: 1 },
    256: { stages: 3, inFlight: 3, groups: 1, blocksPerSm: 1, residentBlocksPerSm: 1 },
  },
  hopper: {
    64: { stages: 12, inFlight: 4, groups: 2, blocksPerSm: 1, residentBlocksPerSm: 1 },
    128: { stages: 6, inFlight: 2, groups: 2, blocksPerSm: 1, residentBlocksPerSm: 1 },
    256: { stages: 3, inFlight: 2, groups: 1, blocksPerSm: 1, residentBlocksPerSm: 1 },
  },
});

/**
 * What decode multiplies with. CUDA cores up to the group size that the table names, tensor cores from there on: measured on an H200 with headDim
 * 64 and 128 for groups of 1, 2, 4 and 8 (docs/kernels/decode.md); no group size was faster on CUDA cores.
 */
export function decodeCompute({ family }: Pick<Architecture, 'family'>, groupSize: number): DecodeCompute {
  return groupSize <= cudaCoresUpToGroup[family] ? 'cudaCores' : 'tensorCores';
}

const cudaCoresUpToGroup: Readonly<Record<KernelFamily, number>> = Object.freeze({ mmaSync: 0, hopper: 0 });
