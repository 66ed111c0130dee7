/** Memory that prefills need: it grows with the largest of them, and they use it one after the other. */
import type { KernelDefinition, PlanDefinition } from '../ir/planDefinition.ts';
import type { HostVariables } from '../kernels/variables.ts';
import type { DeviceBuffer } from './buffer.ts';
import { BufferSizes, type Allocator } from './bufferSizes.ts';
import type { LayerClass, SessionLayout } from './sessionLayout.ts';
import { fieldOffset, readField } from './structArray.ts';

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
  { shape, prefill, layout }: Pick<PlanDefinition, 'shape' | 'prefill' | 'layout'>,
  { rows, blocksPerSm, partialFloats }: Pick<KernelDefinition, 'rows' | 'blocksPerSm' | 'partialFloats'>,
  multiprocessors: number,
  sequences: Iterable<{ readonly added: number; readonly cached: number }>,
): PrefillNeeds {
  const splits = splitsItems(prefill, partialFloats);
  const most = mostPairs(prefill, blocksPerSm * multiprocessors);
  let items = 0;
  let parts = 0;
  let goesOn = false;
  for (const { added, cached } of sequences) {
    if (added <= 0) continue;
    const own = shape.queryHeads * Math.ceil(added / rows);
    const pairs = splits && mostKeyPages(added, cached, layout.pageTokens) > prefill.splitPages ? Math.min(own, most) : 0;
    items += own + pairs;
    parts += 2 * pairs;
    goesOn ||= cached > 0;
  }
  return { items, parts, goesOn };
}

/**
 * Pages that rows of a sequence visit, at most: tokens in the cache lie in pages of the sink and of the window, of which the first, the last one and, where
 * a ring ends within a page, one more are partly theirs.
 */
const mostKeyPages = (added: number, cached: number, pageTokens: number): number =>
  Math.ceil(added / pageTokens) + (cached > 0 ? Math.ceil(cached / pageTokens) + 3 : 0);

/** The most that any sequences need which bring `budget` tokens together, of those that bring `fewest` or more. */
export function budgetNeeds(
  { shape, prefill }: PlanDefinition,
  { rows, blocksPerSm, partialFloats }: Pick<KernelDefinition, 'rows' | 'blocksPerSm' | 'partialFloats'>,
  multiprocessors: number,
  { budget, fewest, slots }: { readonly budget: number; readonly fewest: number; readonly slots: number },
): PrefillNeeds {
  const sequences = Math.min(slots, Math.floor(budget / fewest));
  // Each sequence may have one block of rows that is not full.
  const own = sequences === 0 ? 0 : shape.queryHeads * (Math.floor((budget - sequences) / rows) + sequences);
  const pairs = splitsItems(prefill, partialFloats) ? Math.min(own, sequences * mostPairs(prefill, blocksPerSm * multiprocessors)) : 0;
  return { items: own + pairs, parts: 2 * pairs, goesOn: true };
}

const splitsItems = ({ byCost }: PlanDefinition['prefill'], partialFloats: number): boolean => partialFloats > 0 && byCost;

/** Items that are a large part of a block's share of their sequence: no more than fit it. */
const mostPairs = ({ splitShare: [numerator, denominator] }: PlanDefinition['prefill'], blocks: number): number =>
  Math.floor((blocks * denominator) / numerator);

/** Names in the package. */
type RoomName = 'items' | 'sizes' | 'scratch' | 'partials' | 'partTickets' | 'expandedPool' | 'expandedTable';

export class PrefillRoom {
  readonly #device: Allocator;
  readonly #plan: PlanDefinition;
  readonly #layout: SessionLayout;
  readonly #slots: number;
  readonly #buffers = new Map<RoomName, DeviceBuffer>();
  /** Buffers that became too small. Sizes double, so together they are no larger than those that are used. */
  readonly #outgrown: DeviceBuffer[] = [];
  #capacity = 0;

  constructor(device: Allocator, plan: PlanDefinition, layout: SessionLayout, slots: number) {
    this.#device = device;
    this.#plan = plan;
    this.#layout = layout;
    this.#slots = slots;
  }

  /** Addresses of lists of so many items for each class of layers, and of what is planned with. */
  forItems({ items }: PrefillNeeds): { readonly items: bigint; readonly sizes: bigint; readonly scratch: bigint; readonly scratchBytes: number; readonly capacity: number } {
    const before = this.#capacity;
    // In steps, so that longer and longer prompts seldom need more.
    if (items > before) this.#capacity = powerOfTwo(items);
    const needed = this.#sizes({});
    try {
      return {
        items: this.#atLeast('items', needed).address,
        sizes: this.#atLeast('sizes', needed).address,
        scratch: this.#atLeast('scratch', needed).address,
        scratchBytes: needed.size('scratchBytes'),
        capacity: this.#capacity,
      };
    } catch (error) {
      // A shorter prompt may have room.
      this.#capacity = before;
      throw error;
    }
  }

  /** Where the items of a class lie, and their number. */
  itemsOf({ index }: LayerClass): { readonly items: bigint; readonly count: bigint } {
    const { PrefillItem, PrefillPlanSize } = this.#plan.structs;
    const items = this.#buffers.get('items')!.address + BigInt(index * this.#capacity * PrefillItem.bytes);
    const count = index * PrefillPlanSize.bytes + fieldOffset(PrefillPlanSize, 'count');
    return { items, count: this.#buffers.get('sizes')!.address + BigInt(count) };
  }

  /** Pages that the items of a class visit together, of the plan that was made last. Waits for it. */
  pagesOf({ index }: LayerClass): number {
    return readField(this.#plan.structs.PrefillPlanSize, 'pages', this.#buffers.get('sizes')!, index);
  }

  /** Addresses of room for so many parts of items that are cut in two: of results, and of a counter for each warp and pair of parts. 0 for no parts. */
  parts(parts: number, { partialFloats, threads }: Pick<KernelDefinition, 'partialFloats' | 'threads'>): { readonly partials: bigint; readonly partTickets: bigint } {
    if (parts === 0) return { partials: 0n, partTickets: 0n };
    const needed = this.#sizes({ parts: powerOfTwo(parts), partialFloats, threads });
    const partials = this.#atLeast('partials', needed);
    const tickets = this.#atLeast('partTickets', needed);
    return { partials: partials.address, partTickets: tickets.address };
  }

  /** Addresses of a page of 16 bits for each entry of a layer's page table, and of the table in which entry n is page n. */
  pages(): { readonly pool: bigint; readonly pageTable: bigint } {
    const needed = this.#sizes({ slotPages: Math.max(...this.#layout.classes.map(({ slotPages }) => slotPages)) });
    const pool = this.#atLeast('expandedPool', needed);
    return { pool: pool.address, pageTable: this.#atLeast('expandedTable', needed).address };
  }

  dispose(): void {
    this.#freeOutgrown();
    this.#buffers.forEach((buffer) => buffer.dispose());
    this.#buffers.clear();
    this.#capacity = 0;
  }

  /** The buffer, made anew when it is too small. The one before is kept: freeing it would wait for the device. */
  #atLeast(name: RoomName, needed: BufferSizes): DeviceBuffer {
    const kept = this.#buffers.get(name);
    if (kept !== undefined && kept.bytes >= needed.bytes(name)) return kept;
    this.#buffers.delete(name);
    if (kept !== undefined) this.#outgrown.push(kept);
    const made = this.#make(name, needed);
    this.#buffers.set(name, made);
    return made;
  }

  #make(name: RoomName, needed: BufferSizes): DeviceBuffer {
    try {
      return needed.make(this.#device, name);
    } catch (error) {
      if (this.#outgrown.length === 0) throw error;
      this.#freeOutgrown();
      return needed.make(this.#device, name);
    }
  }

  #sizes(variables: HostVariables): BufferSizes {
    const classes = this.#layout.classes.length;
    return new BufferSizes(this.#plan, 'prefill', { slots: this.#slots, classes, items: this.#capacity, ...variables });
  }

  #freeOutgrown(): void {
    for (const buffer of this.#outgrown.splice(0)) buffer.dispose();
  }
}

/** The least that is not smaller. */
const powerOfTwo = (number: number): number => 2 ** Math.ceil(Math.log2(number));
