/** What prefill launches read besides tensors: sequence ends and work items. Made for one shape of batch, kept for the layers that follow. */
import type { KernelDefinition, PlanDefinition } from '../ir/planDefinition.ts';
import { maskShapes } from '../mask/registry.ts';
import { prefillItems, type PrefillItems } from '../passes/schedule/prefillItems.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { Device } from './device.ts';
import type { LayerTables } from './layerTables.ts';

interface ItemList {
  readonly buffer: DeviceBuffer;
  readonly count: number;
  /** Items that are one of two parts. */
  readonly parts: number;
}

/** The sequences of a call: their new tokens, and the tokens that they hold. */
export interface SequenceLengths {
  readonly cuSeqlens: ArrayLike<number>;
  readonly cached: ArrayLike<number>;
}

/** Whether a sequence that holds tokens gets more. */
export const isContinued = ({ cuSeqlens, cached }: SequenceLengths): boolean => Array.from(cached).some((tokens, slot) => tokens > 0 && cuSeqlens[slot + 1]! > cuSeqlens[slot]!);

/** The lists of one shape of batch. */
export class BatchLists {
  /** `cuSeqlens` on the device. */
  readonly cuSeqlens: DeviceBuffer;
  readonly #device: Device;
  readonly #plan: PlanDefinition;
  readonly #lengths: SequenceLengths;
  /** By the kernel and the layer that they are for. */
  readonly #items = new Map<string, ItemList>();

  constructor(device: Device, plan: PlanDefinition, lengths: SequenceLengths) {
    this.#device = device;
    this.#plan = plan;
    this.#lengths = lengths;
    this.cuSeqlens = device.upload(Int32Array.from(lengths.cuSeqlens));
  }

  /** The work items of a layer for a kernel. */
  items(tables: Pick<LayerTables, 'rings' | 'windows'>, kernel: PrefillKernelFacts): ItemList {
    // Rings are read only where a sequence goes on.
    const rings = isContinued(this.#lengths) ? tables.rings : [];
    const key = `${kernel.rows};${tables.windows.join()};${rings.join()}`;
    let list = this.#items.get(key);
    if (list === undefined) {
      const built = cutPrefill(this.#plan, this.#lengths, tables, kernel, this.#device);
      list = { buffer: this.#device.upload(built.words), count: built.count, parts: built.parts };
      this.#items.set(key, list);
    }
    return list;
  }

  dispose(): void {
    this.cuSeqlens.dispose();
    this.#items.forEach(({ buffer }) => buffer.dispose());
  }
}

/** Room for the partial results of items that are cut in two. Launches use it one after the other. */
export class PartRoom {
  readonly #device: Device;
  readonly #buffers = new Map<'partials' | 'tickets', DeviceBuffer>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** Addresses of room for so many parts of a kernel: of results, and of a counter for each warp and pair of parts. 0 for no parts. */
  of(parts: number, { partialFloats, threads }: Pick<KernelDefinition, 'partialFloats' | 'threads'>): { readonly partials: bigint; readonly partTickets: bigint } {
    if (parts === 0) return { partials: 0n, partTickets: 0n };
    const partials = this.#atLeast('partials', parts * partialFloats * 4, (bytes) => this.#device.alloc(bytes));
    const tickets = this.#atLeast('tickets', (parts / 2) * (threads / 32) * 4, (bytes) => this.#device.upload(new Uint32Array(bytes / 4)));
    return { partials: partials.address, partTickets: tickets.address };
  }

  dispose(): void {
    this.#buffers.forEach((buffer) => buffer.dispose());
    this.#buffers.clear();
  }

  /** The buffer, made anew when it is too small; none is kept when that fails. */
  #atLeast(name: 'partials' | 'tickets', bytes: number, make: (bytes: number) => DeviceBuffer): DeviceBuffer {
    const kept = this.#buffers.get(name);
    if (kept !== undefined && kept.bytes >= bytes) return kept;
    this.#buffers.delete(name);
    kept?.dispose();
    const made = make(bytes);
    this.#buffers.set(name, made);
    return made;
  }
}

export class PrefillLists {
  readonly parts: PartRoom;
  readonly #device: Device;
  readonly #plan: PlanDefinition;
  #last: { readonly key: string; readonly lists: BatchLists } | undefined;

  constructor(device: Device, plan: PlanDefinition) {
    this.#device = device;
    this.#plan = plan;
    this.parts = new PartRoom(device);
  }

  /** Of these sequences; they end the lists of others. */
  of(lengths: SequenceLengths): BatchLists {
    const key = `${Array.from(lengths.cuSeqlens).join()};${Array.from(lengths.cached).join()}`;
    if (this.#last?.key !== key) {
      this.#endLists();
      this.#last = { key, lists: new BatchLists(this.#device, this.#plan, lengths) };
    }
    return this.#last!.lists;
  }

  dispose(): void {
    this.#endLists();
    this.parts.dispose();
  }

  #endLists(): void {
    this.#last?.lists.dispose();
    this.#last = undefined;
  }
}

type PrefillKernelFacts = Pick<KernelDefinition, 'rows' | 'blocksPerSm' | 'partialFloats'>;

/** The work items of a launch on a GPU with so many multiprocessors and bytes of L2 cache. */
export function cutPrefill(
  plan: PlanDefinition,
  { cuSeqlens, cached }: SequenceLengths,
  { rings, windows }: Pick<LayerTables, 'rings' | 'windows'>,
  { rows, blocksPerSm, partialFloats }: PrefillKernelFacts,
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
    splitPages: partialFloats > 0 ? prefill.splitPages : Infinity,
    splitShare: prefill.splitShare,
  };
  return prefillItems(cut, maskShapes[plan.mask]!(limits.sink), { cuSeqlens, cached, rings, kvHeads: shape.kvHeads, windows });
}
