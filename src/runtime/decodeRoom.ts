/** Room for a plan of decode on the device (templates/include/moa/plan/decodePlan.cuh). */
import type { KernelDefinition, PlanDefinition } from '../ir/planDefinition.ts';
import { segmentBytes } from '../ir/workItems.ts';
import { decodeRowTiles } from '../kernels/decodeRows.ts';
import type { DeviceBuffer } from './buffer.ts';

/** For the decode kernels of all layers, which share out work alike. */
export interface DecodeRoom {
  readonly segments: DeviceBuffer;
  readonly scratch: DeviceBuffer;
  readonly known: DeviceBuffer;
  /** Of a class of layers. */
  readonly segmentStride: number;
  readonly scratchStride: number;
  /** Of a launch. */
  readonly blocks: number;
  /** Rings, or tiles of their rows of queries, of all slots: each has a counter. */
  readonly rings: number;
  readonly partialBytes: number;
}

interface DecodeShape {
  readonly classes: number;
  readonly slots: number;
  /** The most new tokens of a sequence. */
  readonly tokens: number;
  readonly multiprocessors: number;
}

/** The most parts of a sequence (`moa::PlannedSegment`). */
const mostParts = 1023;
/** Numbers of a slot in scratch memory (`moa::DecodePlan`). */
const slotWords = 6;

export function planDecodeRoom(
  plan: PlanDefinition,
  { classes, slots, tokens, multiprocessors }: DecodeShape,
  kernels: readonly KernelDefinition[],
  allocate: (bytes: number) => DeviceBuffer,
  allocateUnknown: (bytes: number) => DeviceBuffer,
): DecodeRoom | undefined {
  if (kernels.length === 0) return undefined;
  const blocks = multiprocessors * Math.max(...kernels.map(({ blocksPerSm }) => blocksPerSm));
  const units = plan.shape.kvHeads * decodeRowTiles(plan.shape, tokens).tiles;
  const segmentStride = blocks + slots * units;
  const scratchStride = slots * (slotWords + units);
  const partials = slots * (Math.min(blocks, mostParts) + units);
  return {
    segments: allocate(classes * segmentStride * segmentBytes),
    scratch: allocate(classes * scratchStride * 4),
    known: allocateUnknown(classes * (2 * slots + 1) * 4),
    segmentStride,
    scratchStride,
    blocks,
    rings: slots * units,
    partialBytes: partials * Math.max(...kernels.map(({ partialFloats }) => partialFloats)) * 4,
  };
}

/** The tiles that rows of queries fill, and rows of a full one. */
export const decodeTiles = (plan: PlanDefinition, tokens: number): { readonly tiles: number; readonly tileRows: number } => {
  const { tiles, rows } = decodeRowTiles(plan.shape, tokens);
  return { tiles, tileRows: rows };
};
