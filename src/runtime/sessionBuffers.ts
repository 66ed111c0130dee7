/** A session's memory on the device, filled with all that follows from the plan and the length bound. */
import type { ElementType, KernelRole } from '../ir/nodes.ts';
import type { KernelDefinition, ParamsDefinition, PlanDefinition } from '../ir/planDefinition.ts';
import { decodeAppends } from '../kernels/decodeRows.ts';
import { invariant } from '../util/invariant.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { Device } from './device.ts';
import type { Kernel } from './kernel.ts';
import { DecodeSchedules, type PlacedSegments } from './decodeSchedules.ts';
import { PagePool } from './pagePool.ts';
import { readRopeOption } from './rope.ts';
import { Sequences, type LayerLengths, type PageCopy } from './sequences.ts';
import { sessionError } from './sessionChecks.ts';
import { layoutSession, sessionMemory, type LayerLayout, type SessionMemory } from './sessionLayout.ts';
import type { SessionOptions } from './sessionTypes.ts';
import { sinkTable } from './sinkLogits.ts';

/** A loaded kernel and what the package says of it. */
export interface FoundKernel {
  readonly kernel: Kernel;
  readonly definition: KernelDefinition;
  readonly params: ParamsDefinition;
  /** Whether it may be launched before the launch before it has ended. */
  readonly waitsItself: boolean;
}

/** The first kernel that is chosen; throws MOA6202 when the package has none. */
export type KernelLookup = (choose: (kernel: KernelDefinition) => boolean) => FoundKernel;

export interface LayerState extends LayerLengths {
  readonly layout: LayerLayout;
  /** Its number among the session's layers. */
  readonly index: number;
  readonly windows: DeviceBuffer;
  readonly rings: DeviceBuffer;
  /** The table of its rotation; 0n where it has none. */
  readonly rope: bigint;
  /** Appends, and rotates where the layer has RoPE. */
  readonly append: FoundKernel;
  /** Appends what was rotated before. */
  readonly appendRotated: FoundKernel;
  /** Decode that appends its one token, where there is one. */
  readonly decode: { readonly found: FoundKernel; readonly schedule: PlacedSegments } | undefined;
  /** Decode of tokens in the rings, where the session has it, and its schedules: of one token, of two, and so on. */
  readonly decodeMany: { readonly found: FoundKernel; readonly schedules: readonly PlacedSegments[] } | undefined;
  readonly prefill: FoundKernel;
  /** Makes the pages that prefill reads, where the cache has 8 bits. */
  readonly expand: FoundKernel | undefined;
}

/** What a decode of so many tokens is launched with, and whether that appends the token; `counted`: with a count for each sequence. */
export function decodeOf({ decode, decodeMany }: LayerState, tokens: number, counted = false): { readonly found: FoundKernel; readonly schedule: PlacedSegments; readonly appends: boolean } {
  if (tokens === 1 && decode !== undefined && !counted) return { ...decode, appends: true };
  return { found: decodeMany!.found, schedule: decodeMany!.schedules[tokens - 1]!, appends: false };
}

/** Counts of a decode on the device. */
export interface PlacedCounts {
  readonly buffer: DeviceBuffer;
  readonly write: () => void;
}

export class SessionBuffers {
  readonly sequences: Sequences;
  readonly layers: ReadonlyMap<number, LayerState>;
  readonly memory: SessionMemory;
  readonly pool: DeviceBuffer;
  readonly pageTable: DeviceBuffer;
  /** `[layer][lengthStride]` tokens in the cache, one for each slot. */
  readonly lengths: DeviceBuffer;
  /** Words between layers' lengths: whole sectors of 32 bytes, so that no layer's launch writes where the next one's reads. */
  readonly lengthStride: number;
  readonly partials: DeviceBuffer;
  /** Counter 0 belongs to whoever runs: append, prefill, decode's lengths; the others to decode's splits. */
  readonly tickets: DeviceBuffer;
  /** `[layer][2][kvHeads]` scales of keys and of values, where the cache has 8 bits. */
  readonly kvScales: DeviceBuffer | undefined;
  /** `[layer][queryHeads]` logits of learned sinks, where the model has them. */
  readonly sinkLogits: DeviceBuffer | undefined;
  /** log2 of the positions of a block of the RoPE tables. */
  readonly ropeShift: number;
  readonly #device: Device;
  readonly #plan: PlanDefinition;
  readonly #owned: DeviceBuffer[] = [];
  readonly #placed = new Map<Int32Array, DeviceBuffer>();
  /** `[tokens][batch + 1]`: `cuSeqlens` of a decode of 1, 2 and more tokens of each sequence, where the session has it. */
  readonly #tokenEnds: DeviceBuffer | undefined;
  readonly #schedules: DecodeSchedules;
  /** Of eager decodes; those of graphs have memory of their own. */
  #counts: DeviceBuffer | undefined;
  #lastCounts: string | undefined;
  readonly #fixedCounts = new Map<string, DeviceBuffer>();

  /** Allocates everything, or nothing when it throws. */
  constructor(device: Device, plan: PlanDefinition, kernels: KernelLookup, options: SessionOptions, elementType: ElementType) {
    this.#device = device;
    this.#plan = plan;
    const { batch, lengthBound, decodeTokens = 1 } = options;
    const layout = layoutSession(plan, options);
    const rope = readRopeOption(options.rope, plan, layout.layers.map(({ layer }) => layer), lengthBound);
    this.ropeShift = rope.tables[0]?.shift ?? 0;
    const pages = options.pages ?? layout.entries;
    this.sequences = new Sequences(plan, layout, new PagePool(pageOrder(pages, options)), batch);
    if (options.slots !== 'free') for (let slot = 0; slot < batch; slot += 1) this.sequences.join(slot, lengthBound);
    this.#schedules = new DecodeSchedules(plan, options, this.sequences.bounds, (words) => this.#upload(words));
    const appends = decodeAppends(plan.shape);
    const hasMany = decodeTokens > 1 || !appends;
    let partials = 0;
    let tickets = 0;
    try {
      const tables = rope.tables.map(({ values }) => this.#upload(values));
      const layers = layout.layers.map((layer, index): LayerState => {
        const rotation = rope.layers.get(layer.layer)!;
        const find = (role: KernelRole, rotates: boolean, many = false): FoundKernel =>
          kernels((kernel) => kernel.role === role && kernel.elementType === elementType && kernel.rope === rotates && kernel.layers.includes(layer.planLayer) && (kernel.tokens !== undefined) === many);
        const schedule = ({ definition: { blocksPerSm, partialFloats } }: FoundKernel, tokens: number): PlacedSegments => {
          const segments = this.#schedules.of(layer.tables, device.multiprocessors * blocksPerSm, tokens);
          partials = Math.max(partials, segments.partials * partialFloats);
          tickets = Math.max(tickets, segments.tickets);
          return segments;
        };
        const decode = appends ? find('decode', rotation !== null) : undefined;
        const many = hasMany ? find('decode', false, true) : undefined;
        return {
          ...this.sequences.layers[index]!,
          layout: layer,
          index,
          windows: this.#place(layer.tables.windows),
          rings: this.#place(layer.tables.rings),
          rope: rotation === null ? 0n : tables[rotation]!.address,
          append: find('append', rotation !== null),
          appendRotated: find('append', false),
          decode: decode && { found: decode, schedule: schedule(decode, 1) },
          decodeMany: many && { found: many, schedules: Array.from({ length: decodeTokens }, (_, n) => schedule(many, n + 1)) },
          prefill: find('prefill', false),
          expand: plan.layout.cacheType === 'e4m3' ? find('expand', false) : undefined,
        };
      });
      this.layers = new Map(layers.map((state) => [state.layout.layer, state]));
      this.pageTable = this.#upload(this.sequences.pageTable);
      this.lengthStride = Math.ceil(batch / 8) * 8;
      this.lengths = this.#own(device.alloc(this.lengthStride * layers.length * 4));
      this.writeLengths();
      this.tickets = this.#upload(new Uint32Array(1 + tickets));
      this.#tokenEnds = hasMany ? this.#upload(Int32Array.from({ length: decodeTokens * (batch + 1) }, (_, n) => (Math.floor(n / (batch + 1)) + 1) * (n % (batch + 1)))) : undefined;
      this.kvScales = plan.layout.cacheType === 'e4m3' ? this.#upload(scaleTable(plan, layers.map(({ layout: { planLayer } }) => planLayer), options)) : undefined;
      const { sinkLogits } = options;
      this.sinkLogits = sinkLogits === undefined ? undefined : this.#upload(sinkTable(layers.map(({ layout: { planLayer } }) => planLayer), sinkLogits));
      const tableBytes = this.#owned.reduce((sum, buffer) => sum + buffer.bytes, 0);
      this.memory = sessionMemory(plan, options, tableBytes, partials * 4);
      this.partials = this.#own(device.alloc(partials * 4));
      // Launches copy whole pages, and mask the rows that hold no token: nothing that they read has never been written.
      this.pool = this.#own(device.alloc(pages * plan.layout.pageBytes)).fill(options.poolByte ?? 0);
    } catch (error) {
      this.dispose();
      throw error;
    }
    invariant(this.pool.bytes === this.memory.cache, 'the pool has the bytes that were reported');
  }

  /** Brings what follows from a slot's length bound and pages to the device. */
  writeSlot(slot: number): void {
    const { queryHeads, kvHeads } = this.#plan.shape;
    for (const tables of new Set(Array.from(this.layers.values(), ({ layout }) => layout.tables))) {
      this.#writeRow(tables.windows, slot * queryHeads, queryHeads);
      this.#writeRow(tables.rings, slot * kvHeads * 2, kvHeads * 2);
    }
    this.updateSchedules(slot);
    for (const { layout } of this.layers.values()) {
      const first = layout.firstEntry + slot * layout.tables.slotPages;
      this.pageTable.write(this.sequences.pageTable.subarray(first, first + layout.tables.slotPages), first * 4);
    }
  }

  /** Who is in a slot has changed, as far as decode schedules say it. */
  updateSchedules(slot: number): void {
    this.#schedules.update(slot);
  }

  /** Brings the schedule to the device, if it is not there as it should be. */
  refreshSchedule(placed: PlacedSegments): void {
    this.#schedules.refresh(placed);
  }

  /** Brings the lengths of all sequences to the device, behind what was launched. */
  writeLengths(): void {
    const all = new Int32Array(this.lengths.bytes / 4).fill(-1);
    this.sequences.layers.forEach(({ lengths }, index) => all.set(lengths, index * this.lengthStride));
    this.lengths.write(all);
  }

  /** The address of `cuSeqlens` for so many tokens of each sequence. */
  tokenEnds(tokens: number): bigint {
    invariant(this.#tokenEnds !== undefined, 'the session decodes several tokens');
    return this.#tokenEnds.address + BigInt((tokens - 1) * (this.sequences.bounds.length + 1) * 4);
  }

  /** A count for each sequence, on the device from `write` until the next one. Layers of a step mostly have the same ones, which are written once. */
  placeCounts(counts: Int32Array): PlacedCounts {
    const buffer = (this.#counts ??= this.#own(this.#device.alloc(counts.byteLength)));
    const text = counts.join();
    const write = (): void => {
      if (text !== this.#lastCounts) buffer.write(counts);
      this.#lastCounts = text;
    };
    return { buffer, write };
  }

  /** A count for each sequence in memory that a graph keeps reading. It may be allocated inside a capture, and is written when `write` is called after it. */
  fixCounts(counts: Int32Array): PlacedCounts {
    const text = counts.join();
    let buffer = this.#fixedCounts.get(text);
    if (buffer === undefined) this.#fixedCounts.set(text, (buffer = this.#own(this.#device.alloc(counts.byteLength))));
    const placed = buffer;
    let written = false;
    const write = (): void => {
      if (!written) placed.write(counts);
      written = true;
    };
    return { buffer: placed, write };
  }

  /** Copies pages of the pool, behind what was launched. */
  copyPages(copies: readonly PageCopy[]): void {
    const { pageBytes } = this.#plan.layout;
    for (const { from, to, pages } of copies) this.pool.copyFrom(this.pool.slice(from * pageBytes, pages * pageBytes), to * pageBytes);
  }

  dispose(): void {
    for (const buffer of this.#owned) buffer.dispose();
  }

  /** Layers that share tables share them on the device too. */
  #place(data: Int32Array): DeviceBuffer {
    let buffer = this.#placed.get(data);
    if (buffer === undefined) this.#placed.set(data, (buffer = this.#upload(data)));
    return buffer;
  }

  #writeRow(data: Int32Array, from: number, count: number): void {
    this.#placed.get(data)!.write(data.subarray(from, from + count), from * 4);
  }

  #upload(data: Int32Array | Uint32Array | Float32Array): DeviceBuffer {
    return this.#own(this.#device.upload(data));
  }

  #own(buffer: DeviceBuffer): DeviceBuffer {
    this.#owned.push(buffer);
    return buffer;
  }
}

/** The order in which pages are taken. */
function pageOrder(pages: number, options: SessionOptions): Int32Array {
  if (options.pageOrder === undefined) return Int32Array.from({ length: pages }, (_, page) => page);
  const order = options.pageOrder(pages);
  const seen = new Set(order);
  if (order.length !== pages || seen.size !== pages || order.some((page) => page < 0 || page >= pages)) {
    throw sessionError('badOptions', `pageOrder gave no permutation of 0 to ${pages - 1}`);
  }
  return order;
}

/** `[layer][2][kvHeads]`. */
function scaleTable({ shape }: PlanDefinition, layers: readonly number[], { cacheScales }: SessionOptions): Float32Array {
  const { kvHeads } = shape;
  const table = new Float32Array(layers.length * 2 * kvHeads).fill(1);
  if (cacheScales === undefined) return table;
  layers.forEach((layer, index) => {
    table.set(cacheScales.keys[layer]!, index * 2 * kvHeads);
    table.set(cacheScales.values[layer]!, (index * 2 + 1) * kvHeads);
  });
  return table;
}
