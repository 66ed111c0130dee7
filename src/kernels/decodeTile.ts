/** Fits decode's tile to a kernel and an architecture. */
import type { Architecture } from '../arch/arch.ts';
import type { CacheType } from '../ir/nodes.ts';

export interface DecodeTile {
  /**
   * Pages in flight or in use, of each group of warps where warps copy for themselves; an
   * architecture with less shared memory gets fewer. 1: warps copy the keys of the next page while
   * they multiply values, and values while they multiply keys.
   */
  readonly stages: number;
  /** Groups of four warps, which take pages in turn. */
  readonly groups: number;
  /** Blocks of a launch on one SM. */
  readonly blocksPerSm: number;
  /**
   * Blocks that fit on one SM. With twice `blocksPerSm` those of the next launch read their first
   * pages while those of this one finish, where launches may overlap.
   */
  readonly residentBlocksPerSm: number;
}

/** What the bytes of a tile depend on. */
export interface DecodeTileShape {
  /** Whether a warp of its own brings the pages. */
  readonly producerWarp: boolean;
  /** Of queries. */
  readonly rows: number;
  readonly headDim: number;
  readonly pageBytes: number;
}

/** Pages in place of one, for as many bytes in flight. */
export const pagesInPlaceOfOne = (cacheType: CacheType): number => (cacheType === 'e4m3' ? 2 : 1);

/**
 * The tile that an architecture has space for, from the one that was measured: for as many bytes in
 * flight, whatever a page has; over 8 rows take the registers of two groups of warps.
 */
export function fitDecodeTile(
  measured: DecodeTile,
  cacheType: CacheType,
  shape: DecodeTileShape,
  architecture: Architecture,
): DecodeTile {
  const wide = shape.rows > 8;
  const perGroup = wide && !shape.producerWarp ? measured.groups : 1;
  const stages = measured.stages * perGroup * pagesInPlaceOfOne(cacheType);
  return fit({ ...measured, groups: wide ? 1 : measured.groups, stages }, shape, architecture);
}

/** What the system keeps of an SM's shared memory for each block (CUDA C++ Programming Guide, "Compute Capabilities"). */
const reservedSharedBytes = 1024;

/** Fewer resident blocks first, with as many stages for each SM, then fewer stages, then one group of warps. */
function fit(wanted: DecodeTile, shape: DecodeTileShape, architecture: Architecture): DecodeTile {
  const fits = (tile: DecodeTile): boolean => {
    const bytes = decodeSharedBytes(tile, shape);
    const residentBytes = tile.residentBlocksPerSm * (bytes + reservedSharedBytes);
    return bytes <= architecture.sharedBytesPerBlock && residentBytes <= architecture.sharedBytesPerSm;
  };
  if (fits(wanted)) return wanted;
  const { producerWarp } = shape;
  const { blocksPerSm, residentBlocksPerSm } = wanted;
  const most = Math.trunc((wanted.stages * residentBlocksPerSm) / blocksPerSm);
  // A group that copies for itself has one page less in flight than it has stages: with less depth, one group has more in flight than two.
  const fewest = wanted.groups > 1 && !producerWarp ? 3 : producerWarp ? 2 : 1;
  for (let stages = most; stages >= fewest; stages -= 1) {
    const tile = { ...wanted, stages, residentBlocksPerSm: blocksPerSm };
    if (fits(tile) && (!producerWarp || stages % tile.groups === 0)) return tile;
  }
  if (wanted.groups > 1) {
    const stages = wanted.stages * (producerWarp ? 1 : wanted.groups);
    return fit({ ...wanted, groups: 1, stages }, shape, architecture);
  }
  throw new Error(`internal error: no decode tile of headDim ${shape.headDim} fits ${architecture.name}`);
}

/** Shared memory of a decode block (templates/include/moa/decode): pages, what is known of them, barriers, and the states of the warps. */
export function decodeSharedBytes(
  { stages, groups }: DecodeTile,
  { producerWarp, rows, headDim, pageBytes }: DecodeTileShape,
): number {
  const warps = groups * 4;
  const pageItemBytes = 64;
  const barrierBytes = 16;
  const mergeBytes = warps * rows * (headDim + 4) * 4 + barrierBytes;
  const pipelineBytes = producerWarp
    ? stages * (pageBytes + pageItemBytes) + Math.ceil((2 * stages * 8) / 16) * 16
    : groups * stages * pageBytes + warps * stages * pageItemBytes;
  return pipelineBytes + mergeBytes;
}
