/** Workspace of a plan of decode on the device (templates/include/moa/plan/decodePlan.cuh). */
import type { KernelDefinition, PlanDefinition } from '../ir/planDefinition.ts';
import type { DeviceBuffer } from './buffer.ts';
import { BufferSizes, type Allocator } from './bufferSizes.ts';

/** For the decode kernels of all layers, which share out work alike. */
export interface DecodeRoom {
  readonly sizes: BufferSizes;
  readonly segments: DeviceBuffer;
  readonly scratch: DeviceBuffer;
  readonly known: DeviceBuffer;
}

interface DecodeShape {
  readonly classes: number;
  readonly slots: number;
  /** The most new tokens of a sequence. */
  readonly decodeTokens: number;
  readonly multiprocessors: number;
}

/** @param kernels that share the plan; none: there is no plan */
export function planDecodeRoom(
  plan: PlanDefinition,
  shape: DecodeShape,
  kernels: readonly KernelDefinition[],
  device: Allocator,
): DecodeRoom | undefined {
  if (kernels.length === 0) return undefined;
  const blocksPerSm = Math.max(...kernels.map((kernel) => kernel.blocksPerSm));
  const partialFloats = Math.max(...kernels.map((kernel) => kernel.partialFloats));
  const sizes = new BufferSizes(plan, 'decode', { ...shape, blocksPerSm, partialFloats });
  const make = (name: string): DeviceBuffer => sizes.make(device, name);
  return { sizes, segments: make('segments'), scratch: make('scratch'), known: make('known') };
}
