/**
 * Tile shapes of the mma.sync family, per head dimension, with what chose them. `selectTiles` fits the stages of decode to an
 * architecture's shared memory.
 */
export interface PrefillTile {
  readonly rows: number;
  readonly columns: number;
  readonly warps: number;
  readonly minBlocksPerSm: number;
}

export interface DecodeTile {
  /** Stages wanted; an architecture with less shared memory gets fewer. */
  readonly stages: number;
  readonly minBlocksPerSm: number;
}

/**
 * 128 x 64 with 4 warps is FlashAttention-2's shape for headDim 128 (two blocks of 255 registers fill an SM). headDim 64 keeps
 * 64 columns: 128 columns spill on compute capability 9.0 (ptxas 13.0: 72 bytes).
 */
export const prefillTiles: Readonly<Record<number, PrefillTile>> = Object.freeze({
  64: { rows: 128, columns: 64, warps: 4, minBlocksPerSm: 2 },
  128: { rows: 128, columns: 64, warps: 4, minBlocksPerSm: 2 },
});

/** Bytes in flight hide the latency of memory: 3 pages of 32 KiB, or 5 of 16 KiB, beside the one in use. */
export const decodeTiles: Readonly<Record<number, DecodeTile>> = Object.freeze({
  64: { stages: 6, minBlocksPerSm: 1 },
  128: { stages: 4, minBlocksPerSm: 1 },
});
