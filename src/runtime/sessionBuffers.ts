/** A session's memory on the device: the pool, tables that the device keeps, and room for its plans. */
import type { ElementType, KernelRole } from '../ir/nodes.ts';
import type { KernelDefinition, ParamsDefinition, PlanDefinition, PlannerDefinition } from '../ir/planDefinition.ts';
import { decodeAppends } from '../kernels/decodeRows.ts';
import type { PlannerRole } from '../ir/plannerRoles.ts';
import { invariant } from '../util/invariant.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { Device } from './device.ts';
import type { Kernel } from './kernel.ts';
import { planDecodeRoom, type DecodeRoom } from './decodeRoom.ts';
import { readRopeOption } from './rope.ts';
import { sessionError } from './sessionChecks.ts';
import { sessionMemory, type LayerLayout, type SessionLayout, type SessionMemory } from './sessionLayout.ts';
import type { SessionOptions } from './sessionTypes.ts';
import { sinkTable } from './sinkLogits.ts';

/** A loaded kernel and what the package says of it. */
export interface FoundKernel<Definition extends PlannerDefinition = KernelDefinition> {
  readonly kernel: Kernel;
  readonly definition: Definition;
  readonly params: ParamsDefinition;
  /** Whether it may be launched before the launch before it has ended. */
  readonly waitsItself: boolean;
}

/** The kernels of a package. */
export interface KernelLookup {
  /** The first one that is chosen; throws MOA6202 when the package has none. */
  find(choose: (kernel: KernelDefinition) => boolean): FoundKernel;
  planner(role: PlannerRole): FoundKernel<PlannerDefinition>;
}

/** A layer's kernels, and where its tables lie on the device. */
export interface LayerState {
  readonly layout: LayerLayout;
  /** Its number among the session's layers. */
  readonly index: number;
  /** `[slots][queryHeads]` */
  readonly windows: bigint;
  /** `[slots][kvHeads]` */
  readonly rings: bigint;
  readonly pageTable: bigint;
  readonly lengths: bigint;
  /** The table of its rotation; 0n where it has none. */
  readonly rope: bigint;
  /** Appends, and rotates where the layer has RoPE. */
  readonly append: FoundKernel;
  /** Appends what was rotated before. */
  readonly appendRotated: FoundKernel;
  /** Decode that appends its one token, where there is one. */
  readonly decode: FoundKernel | undefined;
  /** Decode of tokens in the rings, where the session has it. */
  readonly decodeMany: FoundKernel | undefined;
  readonly prefill: FoundKernel;
  /** Makes the pages that prefill reads, where the cache has 8 bits. */
  readonly expand: FoundKernel | undefined;
}

export class SessionBuffers {
  readonly layers: ReadonlyMap<number, LayerState>;
  readonly memory: SessionMemory;
  readonly pool: DeviceBuffer;
  readonly pageTable: DeviceBuffer;
  /** `[layer][lengthStride]` tokens in the cache, one for each slot. */
  readonly lengths: DeviceBuffer;
  /** Words between layers' lengths: whole sectors of 32 bytes, so that no layer's launch writes where the next one's reads. */
  readonly lengthStride: number;
  readonly partials: DeviceBuffer;
  /** Counter 0 belongs to whoever runs: append, prefill, planners, decode's lengths; the others to decode's rings. */
  readonly tickets: DeviceBuffer;
  /** `[layer][2][kvHeads]` scales of keys and of values, where the cache has 8 bits. */
  readonly kvScales: DeviceBuffer | undefined;
  /** `[layer][queryHeads]` logits of learned sinks, where the model has them. */
  readonly sinkLogits: DeviceBuffer | undefined;
  /** log2 of the positions of a block of the RoPE tables. */
  readonly ropeShift: number;
  /** `[slots + 1]` where the new tokens of each slot begin, of the prefill that comes next. */
  readonly cuSeqlens: DeviceBuffer;
  /** The sequences' own tables, by the names of planners' parameters. */
  readonly tables: Readonly<Record<'reserved' | 'sharing' | 'bounds' | 'windows' | 'rings' | 'refs' | 'freePages' | 'freeCount' | 'error', DeviceBuffer>>;
  /** What follows from the plan, by the names of planners' parameters. */
  readonly planTables: Readonly<Record<'pagedLayers' | 'planClasses' | 'spanRules' | 'spanSteps' | 'spanBegins' | 'headSpans' | 'ringSpans' | 'spanSinks' | 'classSinks' | 'sinks', DeviceBuffer>>;
  readonly sinkCount: number;
  /** Plans of decode that appends its token, and of decode of tokens in the rings. */
  readonly decodePlans: Readonly<Record<'one' | 'many', DecodeRoom | undefined>>;
  readonly #device: Device;
  readonly #owned: DeviceBuffer[] = [];
  /** `[tokens][batch + 1]`: `cuSeqlens` of a decode of 1, 2 and more tokens of each sequence, where the session has it. */
  readonly #tokenEnds: DeviceBuffer | undefined;
  readonly #slots: number;
  /** Of eager decodes; those of graphs have memory of their own. */
  #counts: DeviceBuffer | undefined;
  #lastCounts: string | undefined;
  readonly #fixedCounts = new Map<string, DeviceBuffer>();

  /** Allocates everything, or nothing when it throws. */
  constructor(device: Device, plan: PlanDefinition, layout: SessionLayout, kernels: KernelLookup, options: SessionOptions, elementType: ElementType) {
    this.#device = device;
    const { batch, lengthBound, decodeTokens = 1 } = options;
    this.#slots = batch;
    const { classes } = layout;
    const rope = readRopeOption(options.rope, plan, layout.layers.map(({ layer }) => layer), lengthBound);
    this.ropeShift = rope.tables[0]?.shift ?? 0;
    const pages = options.pages ?? layout.entries;
    const order = pageOrder(pages, options);
    const appends = decodeAppends(plan.shape);
    const hasMany = decodeTokens > 1 || !appends;
    const { queryHeads, kvHeads } = plan.shape;
    try {
      const ropes = rope.tables.map(({ values }) => this.#upload(values));
      const planLayers = layout.layers.map(({ planLayer }) => planLayer);
      this.lengthStride = Math.ceil(batch / 8) * 8;
      this.lengths = this.#filled(this.lengthStride * layout.layers.length * 4, 0xff);
      this.pageTable = this.#filled(layout.entries * 4, 0xff);
      this.tables = {
        reserved: this.#filled(batch * 4, 0),
        sharing: this.#filled(batch * 4, 0),
        bounds: this.#filled(batch * 4, 0),
        windows: this.#filled(classes.length * batch * queryHeads * 4, 0),
        rings: this.#upload(ringPlaces(layout, batch, kvHeads)),
        refs: this.#filled(pages * 4, 0),
        freePages: this.#upload(order),
        freeCount: this.#upload(Int32Array.of(pages)),
        error: this.#filled(4, 0),
      };
      const sinks = [...new Set(classes.map(({ sink }) => sink))];
      this.sinkCount = sinks.length;
      const { tables } = plan;
      this.planTables = {
        pagedLayers: this.#upload(pagedLayers(layout)),
        planClasses: this.#integers(classes.map(({ planClass }) => planClass)),
        spanRules: this.#integers(tables.rules.flat()),
        spanSteps: this.#integers(tables.steps.flat()),
        spanBegins: this.#integers(tables.begins),
        headSpans: this.#integers(tables.headSpans.flat()),
        ringSpans: this.#integers(tables.ringSpans.flat()),
        spanSinks: this.#integers(tables.sinks),
        classSinks: this.#integers(classes.map(({ sink }) => sink)),
        sinks: this.#integers(sinks),
      };
      const layers = layout.layers.map((layer, index): LayerState => {
        const rotation = rope.layers.get(layer.layer)!;
        const find = (role: KernelRole, rotates: boolean, many = false): FoundKernel =>
          kernels.find((kernel) => kernel.role === role && kernel.elementType === elementType && kernel.rope === rotates && kernel.layers.includes(layer.planLayer) && (kernel.tokens !== undefined) === many);
        const ofClass = (table: DeviceBuffer, bytes: number): bigint => table.address + BigInt(layer.layerClass.index * batch * bytes);
        return {
          layout: layer,
          index,
          windows: ofClass(this.tables.windows, queryHeads * 4),
          rings: ofClass(this.tables.rings, kvHeads * 8),
          pageTable: this.pageTable.address + BigInt(layer.firstEntry * 4),
          lengths: this.lengths.address + BigInt(index * this.lengthStride * 4),
          rope: rotation === null ? 0n : ropes[rotation]!.address,
          append: find('append', rotation !== null),
          appendRotated: find('append', false),
          decode: appends ? find('decode', rotation !== null) : undefined,
          decodeMany: hasMany ? find('decode', false, true) : undefined,
          prefill: find('prefill', false),
          expand: plan.layout.cacheType === 'e4m3' ? find('expand', false) : undefined,
        };
      });
      this.layers = new Map(layers.map((state) => [state.layout.layer, state]));
      const room = (kernelsOf: readonly (FoundKernel | undefined)[], tokens: number): DecodeRoom | undefined =>
        planDecodeRoom(plan, { classes: classes.length, slots: batch, tokens, multiprocessors: device.multiprocessors }, kernelsOf.flatMap((found) => found?.definition ?? []), (bytes) => this.#own(device.alloc(bytes)), (bytes) => this.#filled(bytes, 0xff));
      this.decodePlans = { one: room(layers.map(({ decode }) => decode), 1), many: room(layers.map(({ decodeMany }) => decodeMany), decodeTokens) };
      const { one, many } = this.decodePlans;
      this.tickets = this.#filled(4 * (1 + Math.max(one?.rings ?? 0, many?.rings ?? 0)), 0);
      this.cuSeqlens = this.#own(device.alloc((batch + 1) * 4));
      this.#tokenEnds = hasMany ? this.#upload(Int32Array.from({ length: decodeTokens * (batch + 1) }, (_, n) => (Math.floor(n / (batch + 1)) + 1) * (n % (batch + 1)))) : undefined;
      this.kvScales = plan.layout.cacheType === 'e4m3' ? this.#upload(scaleTable(plan, planLayers, options)) : undefined;
      const { sinkLogits } = options;
      this.sinkLogits = sinkLogits === undefined ? undefined : this.#upload(sinkTable(planLayers, sinkLogits));
      const tableBytes = this.#owned.reduce((sum, buffer) => sum + buffer.bytes, 0);
      const partialBytes = Math.max(one?.partialBytes ?? 0, many?.partialBytes ?? 0);
      this.memory = sessionMemory(plan, options, tableBytes, partialBytes);
      this.partials = this.#own(device.alloc(partialBytes));
      // Launches copy whole pages, and mask the rows that hold no token: what lies there does not matter.
      this.pool = this.#own(device.alloc(pages * plan.layout.pageBytes));
      if (options.poolByte !== undefined) this.pool.fill(options.poolByte);
    } catch (error) {
      this.dispose();
      throw error;
    }
    invariant(this.pool.bytes === this.memory.cache, 'the pool has the bytes that were reported');
  }

  /** The address of `cuSeqlens` for so many tokens of each sequence. */
  tokenEnds(tokens: number): bigint {
    invariant(this.#tokenEnds !== undefined, 'the session decodes several tokens');
    return this.#tokenEnds.address + BigInt((tokens - 1) * (this.#slots + 1) * 4);
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

  dispose(): void {
    for (const buffer of this.#owned) buffer.dispose();
  }

  #integers(values: readonly number[]): DeviceBuffer {
    return this.#upload(Int32Array.from(values));
  }

  #upload(data: Int32Array | Uint32Array | Float32Array): DeviceBuffer {
    return this.#own(this.#device.upload(data));
  }

  #filled(bytes: number, byte: number): DeviceBuffer {
    return this.#own(this.#device.alloc(bytes)).fill(byte);
  }

  #own(buffer: DeviceBuffer): DeviceBuffer {
    this.#owned.push(buffer);
    return buffer;
  }
}

/** Counts of a decode on the device. */
export interface PlacedCounts {
  readonly buffer: DeviceBuffer;
  readonly write: () => void;
}

/** The stack of free pages: those that are taken first lie last. */
function pageOrder(pages: number, options: SessionOptions): Int32Array {
  if (options.pageOrder === undefined) {
    const stack = new Int32Array(pages);
    for (let n = 0; n < pages; n += 1) stack[n] = pages - 1 - n;
    return stack;
  }
  const order = options.pageOrder(pages);
  const seen = new Set(order);
  if (order.length !== pages || seen.size !== pages || order.some((page) => page < 0 || page >= pages)) {
    throw sessionError('badOptions', `pageOrder gave no permutation of 0 to ${pages - 1}`);
  }
  return order.toReversed();
}

/** `[classes][slots][kvHeads]` rings: their places in the page table. Windows come with sequences. */
function ringPlaces({ classes }: SessionLayout, slots: number, kvHeads: number): Int32Array {
  const words = new Int32Array(classes.length * slots * kvHeads * 2);
  let at = 0;
  for (const { slotPages, tableOffsets } of classes) {
    for (let slot = 0; slot < slots; slot += 1) {
      for (const offset of tableOffsets) {
        words[at] = slot * slotPages + offset;
        at += 2;
      }
    }
  }
  return words;
}

/** `[layers]` of `moa::PagedLayer`: a 64-bit place in the page table, class and sink. */
function pagedLayers({ layers }: SessionLayout): Int32Array {
  const words = new Int32Array(layers.length * 4);
  layers.forEach(({ firstEntry, layerClass }, index) => words.set([firstEntry % 2 ** 32, Math.floor(firstEntry / 2 ** 32), layerClass.index, layerClass.sink], index * 4));
  return words;
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
