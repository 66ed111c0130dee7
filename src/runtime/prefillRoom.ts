/** Memory that prefills need: it grows with the largest of them, and they use it one after the other. */
import type { KernelDefinition, PlanDefinition } from '../ir/planDefinition.ts';
import { prefillItemWords, prefillScratchBytes, prefillSizeBytes } from '../ir/workItems.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { Device } from './device.ts';
import type { LayerClass, SessionLayout } from './sessionLayout.ts';

/** What a prefill needs, at most; it follows from the lengths of its sequences in time that grows with their number. */
export interface PrefillNeeds {
  /** Work items of a layer. */
  readonly items: number;
  /** Items that are one of two parts. */
  readonly parts: number;
  /** Whether a sequence holds tokens already. */
  readonly goesOn: boolean;
}

/** The needs of sequences with so many new tokens behind so many in the cache. */
export function prefillNeeds(
  { shape, prefill }: PlanDefinition,
  { rows, blocksPerSm, partialFloats }: Pick<KernelDefinition, 'rows' | 'blocksPerSm' | 'partialFloats'>,
  multiprocessors: number,
  sequences: Iterable<{ readonly added: number; readonly cached: number }>,
): PrefillNeeds {
  const splits = partialFloats > 0 && prefill.byCost;
  const [numerator, denominator] = prefill.splitShare;
  // Items that are a large part of a block's share of their sequence: no more than fit it.
  const mostPairs = Math.floor((blocksPerSm * multiprocessors * denominator) / numerator);
  let items = 0;
  let parts = 0;
  let goesOn = false;
  for (const { added, cached } of sequences) {
    if (added <= 0) continue;
    const own = shape.queryHeads * Math.ceil(added / rows);
    const pairs = splits && added + cached > 64 * prefill.splitPages ? Math.min(own, mostPairs) : 0;
    items += own + pairs;
    parts += 2 * pairs;
    goesOn ||= cached > 0;
  }
  return { items, parts, goesOn };
}

type RoomName = 'items' | 'sizes' | 'scratch' | 'partials' | 'tickets' | 'pages' | 'pageTable';

export class PrefillRoom {
  readonly #device: Device;
  readonly #plan: PlanDefinition;
  readonly #layout: SessionLayout;
  readonly #slots: number;
  readonly #buffers = new Map<RoomName, DeviceBuffer>();
  #capacity = 0;

  constructor(device: Device, plan: PlanDefinition, layout: SessionLayout, slots: number) {
    this.#device = device;
    this.#plan = plan;
    this.#layout = layout;
    this.#slots = slots;
  }

  /** Addresses of lists of so many items for each class of layers, and of what is planned with. */
  forItems({ items }: PrefillNeeds): { readonly items: bigint; readonly sizes: bigint; readonly scratch: bigint; readonly scratchBytes: number; readonly capacity: number } {
    const classes = this.#layout.classes.length;
    const { kvHeads } = this.#plan.shape;
    // In steps, so that longer and longer prompts seldom need more.
    if (items > this.#capacity) this.#capacity = 2 ** Math.ceil(Math.log2(items));
    const capacity = this.#capacity;
    const scratchBytes = prefillScratchBytes(this.#slots, kvHeads, capacity);
    return {
      items: this.#atLeast('items', classes * capacity * prefillItemWords * 4).address,
      sizes: this.#atLeast('sizes', classes * prefillSizeBytes).address,
      scratch: this.#atLeast('scratch', classes * scratchBytes).address,
      scratchBytes,
      capacity,
    };
  }

  /** Where the items of a class lie, and their number. */
  itemsOf({ index }: LayerClass): { readonly items: bigint; readonly count: bigint } {
    const items = this.#buffers.get('items')!.address + BigInt(index * this.#capacity * prefillItemWords * 4);
    return { items, count: this.#buffers.get('sizes')!.address + BigInt(index * prefillSizeBytes + 8) };
  }

  /** Pages that the items of a class visit together, of the plan that was made last. Waits for it. */
  pagesOf({ index }: LayerClass): number {
    const words = new BigInt64Array(1);
    this.#buffers.get('sizes')!.slice(index * prefillSizeBytes, 8).read(words);
    return Number(words[0]);
  }

  /** Addresses of room for so many parts of items that are cut in two: of results, and of a counter for each warp and pair of parts. 0 for no parts. */
  parts(parts: number, { partialFloats, threads }: Pick<KernelDefinition, 'partialFloats' | 'threads'>): { readonly partials: bigint; readonly partTickets: bigint } {
    if (parts === 0) return { partials: 0n, partTickets: 0n };
    const partials = this.#atLeast('partials', parts * partialFloats * 4);
    const tickets = this.#atLeast('tickets', (parts / 2) * (threads / 32) * 4, 0);
    return { partials: partials.address, partTickets: tickets.address };
  }

  /** Addresses of a page of 16 bits for each entry of a layer's page table, and of the table in which entry n is page n. */
  pages(): { readonly pool: bigint; readonly pageTable: bigint } {
    const count = this.#slots * Math.max(...this.#layout.classes.map(({ slotPages }) => slotPages));
    const pages = this.#atLeast('pages', count * 2 * this.#plan.layout.pageBytes);
    let table = this.#buffers.get('pageTable');
    if (table === undefined) this.#buffers.set('pageTable', (table = this.#device.upload(Int32Array.from({ length: count }, (_, page) => page))));
    return { pool: pages.address, pageTable: table.address };
  }

  dispose(): void {
    this.#buffers.forEach((buffer) => buffer.dispose());
    this.#buffers.clear();
    this.#capacity = 0;
  }

  /** The buffer, made anew when it is too small; none is kept when that fails. */
  #atLeast(name: RoomName, bytes: number, byte?: number): DeviceBuffer {
    const kept = this.#buffers.get(name);
    if (kept !== undefined && kept.bytes >= bytes) return kept;
    this.#buffers.delete(name);
    kept?.dispose();
    const made = this.#device.alloc(bytes);
    if (byte !== undefined) made.fill(byte);
    this.#buffers.set(name, made);
    return made;
  }
}
