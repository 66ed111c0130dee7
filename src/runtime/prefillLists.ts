/** What prefill launches read besides tensors: sequence ends and work items. Made for one shape of batch, kept for the layers that follow. */
import type { KernelDefinition, PlanDefinition } from '../ir/planDefinition.ts';
import { maskShapes } from '../mask/registry.ts';
import { prefillItems, type PrefillItems } from '../passes/schedule/prefillItems.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { Device } from './device.ts';
import { expandedRings, type ExpandedRings } from './expandedRings.ts';
import type { LayerTables } from './layerTables.ts';
import { PrefillRoom } from './prefillRoom.ts';

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

/** Expanded rings, and where their list lies on the device. */
interface PlacedRings extends ExpandedRings {
  readonly buffer: DeviceBuffer;
}

/** The slots of sequences that hold tokens and get more. */
const continuedSlots = ({ cuSeqlens, cached }: SequenceLengths): readonly number[] =>
  Array.from(cached).flatMap((tokens, slot) => (tokens > 0 && cuSeqlens[slot + 1]! > cuSeqlens[slot]! ? [slot] : []));

/** The lists of one shape of batch. */
export class BatchLists {
  /** `cuSeqlens` on the device. */
  readonly cuSeqlens: DeviceBuffer;
  /** The slots of sequences that hold tokens and get more. */
  readonly continued: readonly number[];
  readonly #device: Device;
  readonly #plan: PlanDefinition;
  readonly #lengths: SequenceLengths;
  /** By the kernel and the layer that they are for. */
  readonly #items = new Map<string, ItemList>();
  /** By the rings of the layer. */
  readonly #expanded = new Map<string, PlacedRings>();

  constructor(device: Device, plan: PlanDefinition, lengths: SequenceLengths) {
    this.#device = device;
    this.#plan = plan;
    this.#lengths = lengths;
    this.continued = continuedSlots(lengths);
    this.cuSeqlens = device.upload(Int32Array.from(lengths.cuSeqlens));
  }

  /** The work items of a layer for a kernel. */
  items(tables: LayerMask, kernel: PrefillKernelFacts): ItemList {
    const { windows, sink } = tables;
    const rings = this.expanded(tables)?.rings ?? tables.rings;
    // Rings are read only where a sequence goes on.
    const key = `${kernel.rows};${sink};${windows.join()};${this.continued.length > 0 ? rings.join() : ''}`;
    let list = this.#items.get(key);
    if (list === undefined) {
      const built = cutPrefill(this.#plan, this.#lengths, { windows, rings, sink }, kernel, this.#device);
      list = { buffer: this.#device.upload(built.words), count: built.count, parts: built.parts };
      this.#items.set(key, list);
    }
    return list;
  }

  /** The rings of a layer that a prefill reads as expanded pages; undefined where it reads none, or as they are. */
  expanded({ rings, sink }: Pick<LayerTables, 'rings' | 'sink'>): PlacedRings | undefined {
    if (this.#plan.layout.cacheType === 'element' || this.continued.length === 0) return undefined;
    const key = `${sink};${rings.join()}`;
    let list = this.#expanded.get(key);
    if (list === undefined) {
      const built = expandedRings(this.#plan, this.#lengths.cached, this.continued, { rings, sink });
      this.#expanded.set(key, (list = { ...built, buffer: this.#device.upload(built.words) }));
    }
    return list;
  }

  dispose(): void {
    this.cuSeqlens.dispose();
    [...this.#items.values(), ...this.#expanded.values()].forEach(({ buffer }) => buffer.dispose());
  }
}

export class PrefillLists {
  readonly room: PrefillRoom;
  readonly #device: Device;
  readonly #plan: PlanDefinition;
  #last: { readonly key: string; readonly lists: BatchLists } | undefined;

  constructor(device: Device, plan: PlanDefinition) {
    this.#device = device;
    this.#plan = plan;
    this.room = new PrefillRoom(device);
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
    this.room.dispose();
  }

  #endLists(): void {
    this.#last?.lists.dispose();
    this.#last = undefined;
  }
}

/** What a layer masks by, and where its keys are. */
type LayerMask = Pick<LayerTables, 'rings' | 'windows' | 'sink'>;

type PrefillKernelFacts = Pick<KernelDefinition, 'rows' | 'blocksPerSm' | 'partialFloats'>;

/** The work items of a launch on a GPU with so many multiprocessors and bytes of L2 cache. */
export function cutPrefill(
  plan: PlanDefinition,
  { cuSeqlens, cached }: SequenceLengths,
  { rings, windows, sink }: LayerMask,
  { rows, blocksPerSm, partialFloats }: PrefillKernelFacts,
  { l2Bytes, multiprocessors }: Pick<Device, 'l2Bytes' | 'multiprocessors'>,
): PrefillItems {
  const { shape, layout, prefill } = plan;
  const cut = {
    rows,
    sink,
    page: layout.pageTokens,
    tokenBytes: 2 * shape.headDim * 2,
    sectionBytes: prefill.cacheShare * l2Bytes,
    blocks: blocksPerSm * multiprocessors,
    byCost: prefill.byCost,
    splitPages: partialFloats > 0 ? prefill.splitPages : Infinity,
    splitShare: prefill.splitShare,
  };
  return prefillItems(cut, maskShapes[plan.mask]!(sink), { cuSeqlens, cached, rings, kvHeads: shape.kvHeads, windows });
}
