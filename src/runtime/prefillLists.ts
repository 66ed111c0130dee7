/** What prefill launches read besides tensors: sequence ends and work items. Made for one shape of batch, kept for the layers that follow. */
import type { PlanDefinition } from '../ir/planDefinition.ts';
import { maskShapes } from '../mask/registry.ts';
import { prefillItems } from '../passes/schedule/prefillItems.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { Device } from './device.ts';

interface ItemList {
  readonly buffer: DeviceBuffer;
  readonly count: number;
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
  sequences(cuSeqlens: Int32Array): DeviceBuffer {
    const key = cuSeqlens.join();
    if (this.#key !== key || this.#cuSeqlens === undefined) {
      this.dispose();
      this.#cuSeqlens = this.#device.upload(cuSeqlens);
      this.#key = key;
    }
    return this.#cuSeqlens;
  }

  /** The work items of a layer with these windows, for the sequences last asked for. */
  items(cuSeqlens: Int32Array, windows: Int32Array): ItemList {
    const key = windows.join();
    let list = this.#items.get(key);
    if (list === undefined) {
      const mask = maskShapes[this.#plan.mask]!(this.#plan.limits.sink);
      const built = prefillItems(this.#plan.prefill, mask, cuSeqlens, windows);
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
