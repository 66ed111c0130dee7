/** A session's memory on the device: the pool, tables that the device keeps, and room for its plans. */
import type { ElementType, KernelRole } from '../ir/nodes.ts';
import type { KernelDefinition, ParamsDefinition, PlanDefinition, PlannerDefinition } from '../ir/planDefinition.ts';
import { decodeAppends } from '../kernels/decodeRows.ts';
import type { PlannerRole } from '../ir/plannerRoles.ts';
import { invariant } from '../util/invariant.ts';
import type { DeviceBuffer } from './buffer.ts';
import { BufferSizes } from './bufferSizes.ts';
import type { Device } from './device.ts';
import type { Kernel } from './kernel.ts';
import { planDecodeRoom, type DecodeRoom } from './decodeRoom.ts';
import { readRopeOption } from './rope.ts';
import { sessionMemory, type LayerLayout, type SessionLayout, type SessionMemory } from './sessionLayout.ts';
import type { SessionOptions } from './sessionTypes.ts';
import { sinkTable } from './sinkLogits.ts';
import { StructArray } from './structArray.ts';

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
  /** Of what the package declares for a session. */
  readonly sizes: BufferSizes;
  readonly layers: ReadonlyMap<number, LayerState>;
  readonly memory: SessionMemory;
  readonly pool: DeviceBuffer;
  readonly pageTable: DeviceBuffer;
  /** `[layer][lengthStride]` tokens in the cache, one for each slot. */
  readonly lengths: DeviceBuffer;
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
  readonly planTables: Readonly<Record<'pagedLayers' | 'ringPlaces' | 'planClasses' | 'spanRules' | 'spanSteps' | 'spanBegins' | 'headSpans' | 'ringSpans' | 'spanSinks' | 'classSinks' | 'sinks', DeviceBuffer>>;
  /** Plans of decode that appends its token, and of decode of tokens in the rings. */
  readonly decodePlans: Readonly<Record<'one' | 'many', DecodeRoom | undefined>>;
  readonly #device: Device;
  readonly #owned: DeviceBuffer[] = [];
  /** `[tokens][batch + 1]`: `cuSeqlens` of a decode of 1, 2 and more tokens of each sequence, where the session has it. */
  readonly #tokenEnds: DeviceBuffer | undefined;
  /** Of eager decodes; those of graphs have memory of their own. */
  #counts: DeviceBuffer | undefined;
  #lastCounts: string | undefined;
  readonly #fixedCounts = new Map<string, PlacedCounts>();

  /** Allocates everything, or nothing when it throws. */
  constructor(device: Device, plan: PlanDefinition, layout: SessionLayout, kernels: KernelLookup, options: SessionOptions, elementType: ElementType) {
    this.#device = device;
    const { batch, lengthBound, decodeTokens = 1 } = options;
    const { classes } = layout;
    const rope = readRopeOption(options.rope, plan, layout.layers.map(({ layer }) => layer), lengthBound);
    this.ropeShift = rope.tables[0]?.shift ?? 0;
    const pages = options.pages ?? layout.entries;
    const appends = decodeAppends(plan.shape);
    const hasMany = decodeTokens > 1 || !appends;
    const sinks = [...new Set(classes.map(({ sink }) => sink))];
    const { multiprocessors } = device;
    const shape = { slots: batch, layers: layout.layers.length, classes: classes.length };
    const owner = {
      alloc: (bytes: number) => this.#own(device.alloc(bytes)),
      upload: (data: ArrayBufferView) => this.#own(device.upload(data)),
    };
    const { entries } = layout;
    const variables = { ...shape, sinkCount: sinks.length, entries, pages, decodeTokens, multiprocessors };
    const sizes = new BufferSizes(plan, 'session', variables);
    const make = (name: string, content?: ArrayBufferView): DeviceBuffer => sizes.make(owner, name, content);
    const integers = (name: string, values: readonly number[]): DeviceBuffer => make(name, Int32Array.from(values));
    this.sizes = sizes;
    try {
      const ropes = rope.tables.map(({ values, shift, pairs, blocks }) => {
        const ofTable = sizes.with({ rotaryPairs: pairs, ropeBlock: 2 ** shift, ropeBlocks: blocks });
        return ofTable.make(owner, 'rope', values);
      });
      const planLayers = layout.layers.map(({ planLayer }) => planLayer);
      this.lengths = make('lengths');
      this.pageTable = make('pageTable');
      this.tables = {
        reserved: make('reserved'),
        sharing: make('sharing'),
        bounds: make('bounds'),
        windows: make('windows'),
        rings: make('rings'),
        refs: make('refs'),
        freePages: make('freePages'),
        freeCount: make('freeCount'),
        error: make('error'),
      };
      this.planTables = {
        pagedLayers: make('pagedLayers', pagedLayers(plan, layout)),
        ringPlaces: integers('ringPlaces', classes.flatMap(({ tableOffsets, slotPages }) => [...tableOffsets, slotPages])),
        planClasses: integers('planClasses', classes.map(({ planClass }) => planClass)),
        spanRules: make('spanRules'),
        spanSteps: make('spanSteps'),
        spanBegins: make('spanBegins'),
        headSpans: make('headSpans'),
        ringSpans: make('ringSpans'),
        spanSinks: make('spanSinks'),
        classSinks: integers('classSinks', classes.map(({ sink }) => sink)),
        sinks: integers('sinks', sinks),
      };
      const layers = layout.layers.map((layer, index): LayerState => {
        const rotation = rope.layers.get(layer.layer)!;
        const find = (role: KernelRole, rotates: boolean, many = false): FoundKernel =>
          kernels.find((kernel) => kernel.role === role && kernel.elementType === elementType && kernel.rope === rotates && kernel.layers.includes(layer.planLayer) && (kernel.tokens !== undefined) === many);
        const ofClass = (name: 'windows' | 'rings'): bigint =>
          this.tables[name].address + BigInt(layer.layerClass.index * sizes.stride(name));
        return {
          layout: layer,
          index,
          windows: ofClass('windows'),
          rings: ofClass('rings'),
          pageTable: this.pageTable.address + BigInt(layer.firstEntry * sizes.stride('pageTable')),
          lengths: this.lengths.address + BigInt(index * sizes.stride('lengths')),
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
      const room = (kernelsOf: readonly (FoundKernel | undefined)[], tokens: number): DecodeRoom | undefined => {
        const definitions = kernelsOf.flatMap((found) => found?.definition ?? []);
        return planDecodeRoom(plan, { ...shape, decodeTokens: tokens, multiprocessors }, definitions, owner);
      };
      this.decodePlans = { one: room(layers.map(({ decode }) => decode), 1), many: room(layers.map(({ decodeMany }) => decodeMany), decodeTokens) };
      const rooms = Object.values(this.decodePlans).filter((each) => each !== undefined);
      const most = (name: string): number => Math.max(0, ...rooms.map((each) => each.sizes.bytes(name)));
      // Also without decode other launches have their counter.
      this.tickets = this.#filled(Math.max(4, most('tickets')), 0);
      this.cuSeqlens = make('cuSeqlens');
      this.#tokenEnds = hasMany ? make('tokenEnds', endsOfTokens(decodeTokens, batch)) : undefined;
      const has8Bits = plan.layout.cacheType === 'e4m3';
      this.kvScales = has8Bits ? make('kvScales', scaleTable(plan, planLayers, options)) : undefined;
      const { sinkLogits } = options;
      this.sinkLogits = sinkLogits === undefined ? undefined : make('sinkLogits', sinkTable(planLayers, sinkLogits));
      const tableBytes = this.#owned.reduce((sum, buffer) => sum + buffer.bytes, 0);
      const partialBytes = most('partials');
      this.memory = sessionMemory(plan, options, tableBytes, partialBytes);
      this.partials = this.#own(device.alloc(partialBytes));
      // Launches copy whole pages, and mask the rows that hold no token: what lies there does not matter.
      this.pool = make('pool');
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
    return this.#tokenEnds.address + BigInt((tokens - 1) * this.sizes.stride('tokenEnds'));
  }

  /** A count for each sequence, on the device from `write` until the next one. Layers of a step mostly have the same ones, which are written once. */
  placeCounts(counts: Int32Array): PlacedCounts {
    const buffer = (this.#counts ??= this.#own(this.sizes.make(this.#device, 'counts')));
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
    const placed = this.#fixedCounts.get(text);
    if (placed !== undefined) return placed;
    const buffer = this.#own(this.sizes.make(this.#device, 'counts'));
    let written = false;
    const write = (): void => {
      if (!written) buffer.write(counts);
      written = true;
    };
    const made = { buffer, write };
    this.#fixedCounts.set(text, made);
    return made;
  }

  dispose(): void {
    for (const buffer of this.#owned) buffer.dispose();
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

/** `[layers]` */
function pagedLayers({ structs }: PlanDefinition, { layers }: SessionLayout): Uint8Array {
  const described = new StructArray(structs.PagedLayer, layers.length);
  const setEntry = described.field('firstEntry');
  const setClass = described.field('classIndex');
  const setSink = described.field('sink');
  layers.forEach(({ firstEntry, layerClass }, index) => {
    setEntry(index, firstEntry);
    setClass(index, layerClass.index);
    setSink(index, layerClass.sink);
  });
  return described.bytes;
}

/** `[tokens][slots + 1]`: where the tokens of each slot begin, where each has as many. */
function endsOfTokens(tokens: number, slots: number): Int32Array {
  const ends = new Int32Array(tokens * (slots + 1));
  for (let at = 0; at < ends.length; at += 1) ends[at] = (Math.floor(at / (slots + 1)) + 1) * (at % (slots + 1));
  return ends;
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
