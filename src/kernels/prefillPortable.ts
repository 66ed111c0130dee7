import { pointer } from '../ir/kernelParams.ts';
import type { PortablePrefillKernel } from '../ir/nodes.ts';
import { invariant } from '../util/invariant.ts';
import { scoreContext, shapeContext, type ScoreContext, type ShapeContext } from './contexts.ts';
import { blockPerItem } from './grids.ts';
import { itemBytes, prefillFields, prefillName } from './prefill.ts';
import type { KernelRequest, Variant } from './variant.ts';

/** Keys come in pages of 64. */
interface PrefillTile {
  /** Of queries. */
  readonly rows: number;
  readonly warps: number;
  readonly minBlocksPerSm: number;
}

interface PortablePrefillContext extends ScoreContext {
  readonly rows: number;
  readonly warps: number;
  readonly itemBytes: number;
  readonly shape: ShapeContext;
}

/**
 * 128 x 64 with 4 warps is FlashAttention-2's shape for headDim 128 (two blocks of 255 registers
 * fill an SM). headDim 64 keeps 64 columns: 128 columns spill on compute capability 9.0
 * (ptxas 13.0: 72 bytes). headDim 256 has 16 rows a warp, whose O takes 128 registers of a thread:
 * 128 rows where shared memory has space for them, else 64 (flash_fwd_launch_template.h,
 * run_mha_fwd_hdim256). Of several tiles the first that fits.
 */
const tiles: Readonly<Record<number, readonly PrefillTile[]>> = Object.freeze({
  64: [{ rows: 128, warps: 4, minBlocksPerSm: 2 }],
  128: [{ rows: 128, warps: 4, minBlocksPerSm: 2 }],
  256: [
    { rows: 128, warps: 8, minBlocksPerSm: 1 },
    { rows: 64, warps: 4, minBlocksPerSm: 1 },
  ],
});

/** Prefill with `mma.sync` and `cp.async`. */
export const prefillPortable: Variant<PortablePrefillKernel, readonly PrefillTile[]> = {
  template: 'prefill',
  params: {
    name: 'prefill',
    fields: [
      pointer('q', 'const uint16_t*', '[tokens][queryHeads][headDim]'),
      pointer('k', 'const uint16_t*', '[tokens][kvHeads][headDim]'),
      pointer('v', 'const uint16_t*', '[tokens][kvHeads][headDim]'),
      ...prefillFields,
    ],
  },
  features: { attends: true, producerWarp: false, tensorMaps: false },
  tiles: (headDim) => tiles[headDim],

  select(request) {
    const { base, architecture, specialised, scores } = request;
    const tile = tiles[base.headDim]?.find(
      (each) => sharedBytes(each, request) <= architecture.sharedBytesPerBlock,
    );
    invariant(
      tile !== undefined,
      `there is a prefill tile for headDim ${base.headDim} on ${architecture.name}`,
    );
    const { rows, warps, minBlocksPerSm } = tile;
    return {
      ...base,
      role: 'prefill',
      variant: 'portable',
      name: prefillName(request, `m${rows}`),
      threads: warps * 32,
      minBlocksPerSm,
      sharedBytes: sharedBytes(tile, request),
      rows,
      warps,
      specialised,
      ...scores,
    };
  },

  context(kernel): PortablePrefillContext {
    const { rows, warps } = kernel;
    return { ...scoreContext(kernel), rows, warps, itemBytes, shape: shapeContext(kernel) };
  },

  blocksPerSm: ({ minBlocksPerSm }) => minBlocksPerSm,
  partialFloats: () => 0,
  grid: blockPerItem,
};

/** What a block keeps of its way through the pages (templates/include/moa/prefill/mmaPrefill.cuh). */
const walkBytes = 48;

/** Queries, a page of keys and one of values, the item, and the way through the pages with its votes and marks. */
function sharedBytes({ rows, warps }: PrefillTile, { base, layout }: KernelRequest): number {
  const { pageTokens } = layout;
  const tileBytes = (rows + 2 * pageTokens) * base.headDim * 2;
  const stateBytes = walkBytes + 4 * warps + (pageTokens * base.headDim) / 8;
  return tileBytes + itemBytes + Math.ceil(stateBytes / 16) * 16;
}
