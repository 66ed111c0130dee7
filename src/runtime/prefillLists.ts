/** What prefill launches read besides tensors: sequence ends and work items. Made for one shape of batch, kept for the layers that follow. */
import type { KernelDefinition, PlanDefinition } from '../ir/planDefinition.ts';
import { maskShapes } from '../mask/registry.ts';
import { prefillItems, type PrefillItems } from '../passes/schedule/prefillItems.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { Device } from './device.ts';
import type { LayerLayout } from './sessionLayout.ts';

interface ItemList {
  readonly buffer: DeviceBuffer;
  readonly count: number;
}

/** The sequences of a call: their new tokens, and the tokens that they hold. */
export interface SequenceLengths {
  readonly cuSeqlens: ArrayLike<number>;
  readonly cached: ArrayLike<number>;
}

export class PrefillLists {
  readonly #device: Device;
  readonly #plan: PlanDefinition;
  #key: string | undefined;
  #cuSeqlens: DeviceBuffer | undefined;
  /** By the windows of the layer. */
  readonly #items = new Map<string, ItemList>();

  constructor(device: Device, plan: PlanDefinition) {
    this.#device = device;
    this.#plan = plan;
  }

  /** `cuSeqlens` on the device. */
  sequences(lengths: SequenceLengths): DeviceBuffer {
    const key = `${Array.from(lengths.cuSeqlens).join()};${Array.from(lengths.cached).join()}`;
    if (this.#key !== key || this.#cuSeqlens === undefined) {
      this.dispose();
      this.#cuSeqlens = this.#device.upload(Int32Array.from(lengths.cuSeqlens));
      this.#key = key;
    }
    return this.#cuSeqlens;
  }

  /** The work items of a layer for a kernel, for these sequences. */
  items(lengths: SequenceLengths, layout: Pick<LayerLayout, 'rings' | 'windows'>, kernel: PrefillKernelFacts): ItemList {
    this.sequences(lengths);
    // Items name rings only where sequences hold tokens.
    const rings = Array.from(lengths.cached).some((tokens) => tokens > 0) ? layout.rings : [];
    const key = `${kernel.rows};${layout.windows.join()};${rings.join()}`;
    let list = this.#items.get(key);
    if (list === undefined) {
      const built = cutPrefill(this.#plan, lengths, layout, kernel, this.#device);
      list = { buffer: this.#device.upload(built.words), count: built.count };
      this.#items.set(key, list);
    }
    return list;
  }

  dispose(): void {
    this.#cuSeqlens?.dispose();
    this.#items.forEach(({ buffer }) => buffer.dispose());
    this.#items.clear();
    this.#cuSeqlens = undefined;
    this.#key = undefined;
  }
}

type PrefillKernelFacts = Pick<KernelDefinition, 'rows' | 'blocksPerSm'>;

/** The work items of a launch on a GPU with so many multiprocessors and bytes of L2 cache. */
export function cutPrefill(
  plan: PlanDefinition,
  { cuSeqlens, cached }: SequenceLengths,
  { rings, windows }: Pick<LayerLayout, 'rings' | 'windows'>,
  { rows, blocksPerSm }: PrefillKernelFacts,
  { l2Bytes, multiprocessors }: Pick<Device, 'l2Bytes' | 'multiprocessors'>,
): PrefillItems {
  const { shape, limits, layout, prefill } = plan;
  const cut = {
    rows,
    sink: limits.sink,
    page: layout.pageTokens,
    tokenBytes: 2 * shape.headDim * 2,
    sectionBytes: prefill.cacheShare * l2Bytes,
    blocks: blocksPerSm * multiprocessors,
    byCost: prefill.byCost,
  };
  return prefillItems(cut, maskShapes[plan.mask]!(limits.sink), { cuSeqlens, cached, rings, kvHeads: shape.kvHeads, windows });
}
