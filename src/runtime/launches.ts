import { evaluate } from '../ir/affine.ts';
import { usualAttention } from '../ir/attention.ts';
import type { PlanDefinition, PlannerDefinition } from '../ir/planDefinition.ts';
import type { SequenceOperation } from '../ir/structs.ts';
import type { HostVariables } from '../kernels/variables.ts';
import { variantOf } from '../kernels/variants.ts';
import { invariant } from '../util/invariant.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { BufferSizes } from './bufferSizes.ts';
import type { Device } from './device.ts';
import type { PackedTokens } from './packedTokens.ts';
import { packParams, type ParamValue } from './packParams.ts';
import { PrefillRoom } from './prefillRoom.ts';
import { PreparedLaunch } from './preparedLaunch.ts';
import type { FoundKernel, KernelLookup, LayerState, SessionBuffers } from './sessionBuffers.ts';
import type { SessionLayout } from './sessionLayout.ts';
import type { DecodeTensors, PackedTensors, SessionOptions } from './sessionTypes.ts';

/** What a step brings. Addresses are 0n where there is nothing. */
export interface StepTokens {
  /** New tokens of each sequence, where `cuSeqlens` says nothing. */
  readonly each: number;
  readonly cuSeqlens: bigint;
  readonly counts: bigint;
}

/** Which plan of decode a step makes: for the kernel that appends its one token, or for the one whose tokens are in the rings. */
export type DecodePlanName = 'one' | 'many';

/** The launches of a session: which kernel, how many blocks, with which parameters. What is legal, and in which order, is the session's. */
export class Launches {
  readonly prefillRoom: PrefillRoom;
  readonly #device: Device;
  readonly #plan: PlanDefinition;
  readonly #buffers: SessionBuffers;
  readonly #layout: SessionLayout;
  readonly #slots: number;
  readonly #scale: number;
  readonly #planners: Readonly<Record<'changeSequence' | 'step' | 'planPrefill', FoundKernel<PlannerDefinition>>>;
  /** Decodes of each layer, by the tokens of a sequence that are in its rings already: 0 for the launch that appends its one token. */
  readonly #prepared = new Map<LayerState, PreparedLaunch[]>();
  #change: PreparedLaunch | undefined;
  readonly #tiles: Partial<Record<DecodePlanName, BufferSizes[]>> = {};
  /** Steps that plan decode, and one that takes pages alone. */
  readonly #steps = new Map<DecodePlanName | 'pages', PreparedLaunch>();

  constructor(device: Device, plan: PlanDefinition, buffers: SessionBuffers, layout: SessionLayout, kernels: KernelLookup, { batch, scale }: SessionOptions) {
    this.#device = device;
    this.#plan = plan;
    this.#buffers = buffers;
    this.#layout = layout;
    this.#slots = batch;
    this.#scale = scale ?? (plan.attention ?? usualAttention(plan.shape)).scale;
    this.#planners = { changeSequence: kernels.planner('changeSequence'), step: kernels.planner('step'), planPrefill: kernels.planner('planPrefill') };
    this.prefillRoom = new PrefillRoom(device, plan, layout, batch);
  }

  /** All pages are free, and rings have their places: before everything else. `order`: in which pages are taken, for tests. */
  begin(pages: number, order?: Int32Array): void {
    this.changeSequence('begin', 0, { value: pages });
    if (order !== undefined) this.#buffers.tables.freePages.write(order.toReversed());
  }

  /** Changes one sequence. */
  changeSequence(operation: SequenceOperation, slot: number, { other = 0, value = 0 }: { readonly other?: number; readonly value?: number } = {}): void {
    const { changeSequence } = this.#planners;
    this.#change ??= new PreparedLaunch(changeSequence, this.#gridOf(changeSequence), this.#changeValues());
    const prepared = this.#change;
    prepared.setInt32('operation', this.#plan.enums.SequenceOperation[operation]!);
    prepared.setInt32('slot', slot);
    prepared.setInt32('other', other);
    prepared.setInt32('value', value);
    prepared.launch();
  }

  #changeValues(): Readonly<Record<string, ParamValue>> {
    const { ringPlaces, planClasses, spanRules, spanSteps, spanBegins, headSpans, ringSpans, spanSinks } = this.#buffers.planTables;
    return {
      ...this.#tables(),
      lengths: this.#buffers.lengths.address,
      windows: this.#buffers.tables.windows.address,
      ...addressesOf({ ringPlaces, planClasses, spanRules, spanSteps, spanBegins, headSpans, ringSpans, spanSinks }),
      minSpan: this.#plan.limits.minSpan,
      queryHeads: this.#plan.shape.queryHeads,
      lengthStride: this.#buffers.sizes.size('lengthStride'),
      operation: 0,
      slot: 0,
      other: 0,
      value: 0,
    };
  }

  /**
   * What comes before the first layer of a step: pages for the new tokens, in all layers, and where it decodes, who reads which of them.
   * @param state the layer whose call it is; others are to have the same lengths
   * @param tokens of a decode, the most new ones of a sequence
   */
  step(state: LayerState, { each, cuSeqlens, counts }: StepTokens, decode?: DecodePlanName, tokens = 1): void {
    const name = decode ?? 'pages';
    let prepared = this.#steps.get(name);
    if (prepared === undefined) {
      const decodeClasses = decode === undefined ? 0 : this.#layout.classes.length;
      const grid = this.#gridOf(this.#planners.step, { decodeClasses });
      prepared = new PreparedLaunch(this.#planners.step, grid, this.#stepValues(decode));
      this.#steps.set(name, prepared);
    }
    prepared.setPointer('lengths', state.lengths);
    prepared.setPointer('cuSeqlens', cuSeqlens);
    prepared.setPointer('counts', counts);
    prepared.setInt32('tokens', each);
    if (decode !== undefined) {
      const sizes = this.#tilesOf(decode, tokens);
      prepared.setInt32('tiles', sizes.size('tiles'));
      prepared.setInt32('tileRows', sizes.size('tileRows'));
      prepared.setInt32('most', cuSeqlens === 0n ? tokens : 1);
    }
    prepared.launch();
  }

  /** Blocks of a launch, as the package says. */
  #gridOf({ definition }: FoundKernel<PlannerDefinition>, variables: HostVariables = {}): number {
    return evaluate(definition.grid, { ...this.#buffers.sizes.values, ...variables });
  }

  /** Sizes of the plan of a decode of so many tokens, which has the memory of that of the most. */
  #tilesOf(name: DecodePlanName, tokens: number): BufferSizes {
    const ofPlan = (this.#tiles[name] ??= []);
    return (ofPlan[tokens] ??= this.#buffers.decodePlans[name]!.sizes.with({ decodeTokens: tokens }));
  }

  #stepValues(decode: DecodePlanName | undefined): Readonly<Record<string, ParamValue>> {
    const { pool, tables, planTables, sizes, decodePlans } = this.#buffers;
    const room = decode === undefined ? undefined : decodePlans[decode];
    invariant(decode === undefined || room !== undefined, 'the session has room for the plan');
    const { minPages, segmentPages } = this.#plan.decode;
    return {
      ...this.#tables(),
      lengths: 0n,
      cuSeqlens: 0n,
      counts: 0n,
      tokens: 0,
      pool: pool.address,
      error: tables.error.address,
      sinks: planTables.sinks.address,
      sinkCount: sizes.size('sinkCount'),
      pageBytes: this.#plan.layout.pageBytes,
      pageBlocks: sizes.size('pageBlocks'),
      classSinks: planTables.classSinks.address,
      segments: room?.segments.address ?? 0n,
      scratch: room?.scratch.address ?? 0n,
      known: room?.known.address ?? 0n,
      segmentStride: room?.sizes.size('segmentStride') ?? 0,
      scratchStride: room?.sizes.size('scratchStride') ?? 0,
      blocks: room?.sizes.size('blocks') ?? 0,
      minPages,
      segmentPages,
      tiles: 1,
      tileRows: 1,
      most: 1,
    };
  }

  /** What the planners of a session read and write. */
  #tables(): Readonly<Record<string, ParamValue>> {
    const { tables, planTables, pageTable, tickets } = this.#buffers;
    const { reserved, sharing, bounds, rings, refs, freePages, freeCount } = tables;
    return {
      ...addressesOf({ reserved, sharing, bounds, rings, refs, freePages, freeCount, pageTable }),
      pagedLayers: planTables.pagedLayers.address,
      ticket: tickets.address,
      layers: this.#layout.layers.length,
      classes: this.#layout.classes.length,
      slots: this.#slots,
      kvHeads: this.#plan.shape.kvHeads,
    };
  }

  /** The work items of a prefill, of all classes of layers. `state`: the layer whose call it is; `needs`: room that they take. */
  planPrefill(state: LayerState, { cuSeqlens, needs, fewest, room: memory }: Pick<PackedTokens, 'cuSeqlens' | 'needs' | 'fewest' | 'room'>): void {
    const { definition } = state.prefill;
    const { shape, prefill } = this.#plan;
    const { tables, planTables } = this.#buffers;
    const room = memory.forItems(needs);
    const splits = definition.partialFloats > 0 && prefill.byCost;
    launch(this.#planners.planPrefill, this.#gridOf(this.#planners.planPrefill), {
      lengths: state.lengths,
      cuSeqlens,
      windows: tables.windows.address,
      rings: tables.rings.address,
      classSinks: planTables.classSinks.address,
      items: room.items,
      sizes: room.sizes,
      scratch: room.scratch,
      scratchBytes: room.scratchBytes,
      slots: this.#slots,
      queryHeads: shape.queryHeads,
      kvHeads: shape.kvHeads,
      fewest,
      rows: definition.rows,
      blocks: definition.blocksPerSm * this.#device.multiprocessors,
      sectionTokens: Math.min(2 ** 20, Math.floor((prefill.cacheShare * this.#device.l2Bytes) / (4 * shape.headDim))),
      splitPages: splits ? prefill.splitPages : 2 ** 31 - 1,
      splitNumerator: prefill.splitShare[0],
      splitDenominator: prefill.splitShare[1],
      byCost: prefill.byCost ? 1 : 0,
      capacity: room.capacity,
    });
  }

  /** Says that every sequence has `length` tokens in all layers, and takes their pages: the sequences are empty. Waits for the device. For benchmarks. */
  assumeLengths(state: LayerState, bounds: Int32Array, length: number): void {
    this.step(state, { each: length, cuSeqlens: 0n, counts: 0n });
    const { lengths, sizes } = this.#buffers;
    const lengthStride = sizes.size('lengthStride');
    const words = new Int32Array(lengths.bytes / 4).fill(-1);
    for (let at = 0; at < words.length; at += lengthStride) bounds.forEach((bound, slot) => bound > 0 && (words[at + slot] = length));
    lengths.write(words);
  }

  /** Writes new tokens into their rings, rotated where the session has RoPE, and counts them. `cuSeqlens`: where each sequence's begin; `counts`: how many of its rows are some. */
  append(state: LayerState, tensors: PackedTensors, tokens: number, cuSeqlens: bigint, { counts = 0n, fewest = 1 } = {}): void {
    this.#append(state, state.append, tensors, { tokens, cuSeqlens, pool: this.#buffers.pool.address, counts, fewest });
  }

  /** Rotates new tokens where they lie, where the session has RoPE. */
  rotate(state: LayerState, tensors: PackedTensors, tokens: number, cuSeqlens: bigint, fewest: number): void {
    if (state.append.definition.rope) this.#append(state, state.append, tensors, { tokens, cuSeqlens, pool: 0n, counts: 0n, fewest });
  }

  /** `append`, of what was rotated. */
  appendRotated(state: LayerState, tensors: PackedTensors, tokens: number, cuSeqlens: bigint, fewest: number): void {
    this.#append(state, state.appendRotated, tensors, { tokens, cuSeqlens, pool: this.#buffers.pool.address, counts: 0n, fewest });
  }

  /**
   * Prefill's attention, of `tokens` new tokens, as a function that launches it: what it needs is made before, so that when this throws nothing was launched. Where the cache
   * has 8 bits and a sequence goes on, the pages that it reads are expanded first.
   */
  prefill(state: LayerState, tensors: PackedTensors, { rows: tokens, cuSeqlens, needs, room }: PackedTokens): () => void {
    const { definition } = state.prefill;
    const { queryHeads, kvHeads, headDim } = this.#plan.shape;
    const expanded = needs.goesOn && state.expand !== undefined ? this.prefillRoom.pages() : undefined;
    const items = room.itemsOf(state.layout.layerClass);
    const values = {
      out: tensors.out.address,
      lse: tensors.lse?.address ?? 0n,
      items: items.items,
      itemCount: items.count,
      pool: expanded?.pool ?? this.#buffers.pool.address,
      pageTable: expanded?.pageTable ?? state.pageTable,
      scale: this.#scale,
      groupSize: queryHeads / kvHeads,
      queryHeads,
      sink: state.layout.layerClass.sink,
      ...this.#sinksOf(state),
    };
    let ownValues: Readonly<Record<string, ParamValue>> = { q: tensors.q.address, k: tensors.k.address, v: tensors.v.address };
    if (variantOf(definition).features.tensorMaps) {
      const mapOf = (buffer: DeviceBuffer, heads: number): Uint8Array =>
        this.#device.tensorMap(buffer, { rows: tokens, columns: heads * headDim, boxRows: this.#plan.layout.pageTokens });
      const maps = { queryMap: mapOf(tensors.q, queryHeads), keyMap: mapOf(tensors.k, kvHeads), valueMap: mapOf(tensors.v, kvHeads) };
      ownValues = { ...maps, ...room.parts(needs.parts, definition), ticket: this.#buffers.tickets.address };
    }
    const grid = this.#gridOf(state.prefill, { items: needs.items });
    return () => {
      if (expanded !== undefined) this.#expand(state, cuSeqlens, expanded.pool);
      launch(state.prefill, grid, { ...ownValues, ...values });
    };
  }

  /** Makes pages of 16 bits of those of the sequences that go on; page n of the layer's table becomes page n. */
  #expand(state: LayerState, cuSeqlens: bigint, expanded: bigint): void {
    launch(state.expand!, this.#gridOf(state.expand!), {
      pool: this.#buffers.pool.address,
      pageTable: state.pageTable,
      rings: state.rings,
      lengths: state.lengths,
      cuSeqlens,
      kvScales: this.#scalesOf(state),
      expanded,
      slots: this.#slots,
      sink: state.layout.layerClass.sink,
    });
  }

  /**
   * Appends so many tokens to each sequence and attends. `early`: the launch before wrote nothing that this one reads but new tokens. `counts`: on the device, how many rows of
   * each sequence are tokens, where not all are.
   */
  decode(state: LayerState, tensors: DecodeTensors, name: DecodePlanName, tokens: number, early: boolean, counts = 0n): void {
    const appends = name === 'one';
    // Otherwise rings have the slack for it: the tokens are appended first, and each row of queries masks by its own position.
    if (!appends) this.append(state, tensors, this.#slots * tokens, this.#buffers.tokenEnds(tokens), { counts });
    const prepared = this.#decodeOf(state, tensors, name, tokens);
    prepared.setPointer('q', tensors.q.address);
    prepared.setPointer('k', tensors.k.address);
    prepared.setPointer('v', tensors.v.address);
    prepared.setPointer('out', tensors.out.address);
    prepared.setPointer('lse', tensors.lse?.address ?? 0n);
    prepared.setPointer('cuSeqlens', 0n);
    prepared.setInt32('early', appends && early ? 1 : 0);
    if (!appends) prepared.setPointer('counts', counts);
    prepared.launch();
  }

  /** Decode of those sequences of a packed batch that have one new token. */
  decodePacked(state: LayerState, tensors: PackedTensors, cuSeqlens: bigint, early: boolean): void {
    const prepared = this.#decodeOf(state, tensors, 'one', 1);
    prepared.setPointer('q', tensors.q.address);
    prepared.setPointer('k', tensors.k.address);
    prepared.setPointer('v', tensors.v.address);
    prepared.setPointer('out', tensors.out.address);
    prepared.setPointer('lse', tensors.lse?.address ?? 0n);
    prepared.setPointer('cuSeqlens', cuSeqlens);
    prepared.setInt32('early', early ? 1 : 0);
    prepared.launch();
  }

  #decodeOf(state: LayerState, tensors: PackedTensors, name: DecodePlanName, tokens: number): PreparedLaunch {
    let ofState = this.#prepared.get(state);
    if (ofState === undefined) this.#prepared.set(state, (ofState = []));
    return (ofState[name === 'one' ? 0 : tokens] ??= this.#prepareDecode(state, tensors, name, tokens));
  }

  #prepareDecode(state: LayerState, tensors: PackedTensors, name: DecodePlanName, tokens: number): PreparedLaunch {
    const { sizes, segments } = this.#buffers.decodePlans[name]!;
    const found = (name === 'one' ? state.decode : state.decodeMany)!;
    const own = segments.address + BigInt(state.layout.layerClass.index * sizes.stride('segments'));
    const values = { ...this.#decodeValues(state, tensors), segments: own, early: 0, tokens, counts: 0n };
    return new PreparedLaunch(found, evaluate(found.definition.grid, sizes.values), values);
  }

  #decodeValues(state: LayerState, tensors: PackedTensors): Readonly<Record<string, ParamValue>> {
    const { pool, partials, tickets, ropeShift } = this.#buffers;
    const { queryHeads, kvHeads } = this.#plan.shape;
    return {
      q: tensors.q.address,
      k: tensors.k.address,
      v: tensors.v.address,
      out: tensors.out.address,
      lse: tensors.lse?.address ?? 0n,
      cuSeqlens: 0n,
      pool: pool.address,
      pageTable: state.pageTable,
      windows: state.windows,
      lengths: state.lengths,
      rope: state.rope,
      ropeShift,
      partials: partials.address,
      tickets: tickets.address,
      scale: this.#scale,
      slots: this.#slots,
      kvScales: this.#scalesOf(state),
      groupSize: queryHeads / kvHeads,
      queryHeads,
      kvHeads,
      sink: state.layout.layerClass.sink,
      ...this.#sinksOf(state),
    };
  }

  #append(state: LayerState, append: FoundKernel, tensors: PackedTensors, { tokens, cuSeqlens, pool, counts, fewest }: Appended): void {
    const { tickets, ropeShift } = this.#buffers;
    launch(append, this.#gridOf(append, { tokens }), {
      q: tensors.q.address,
      k: tensors.k.address,
      v: tensors.v.address,
      pool,
      pageTable: state.pageTable,
      rings: state.rings,
      lengths: state.lengths,
      cuSeqlens,
      rope: state.rope,
      ropeShift,
      kvScales: this.#scalesOf(state),
      ticket: tickets.address,
      counts,
      tokens,
      slots: this.#slots,
      fewest,
    });
  }

  #scalesOf(state: LayerState): bigint {
    const { kvScales, sizes } = this.#buffers;
    return kvScales === undefined ? 0n : kvScales.address + BigInt(state.index * sizes.stride('kvScales'));
  }

  #sinksOf(state: LayerState): { readonly sinkLogits?: bigint } {
    const { sinkLogits, sizes } = this.#buffers;
    if (sinkLogits === undefined) return {};
    return { sinkLogits: sinkLogits.address + BigInt(state.index * sizes.stride('sinkLogits')) };
  }
}

/** Rows that an append reads. */
interface Appended {
  readonly tokens: number;
  readonly cuSeqlens: bigint;
  /** Where pages lie; 0n: nothing is written, only turned by RoPE. */
  readonly pool: bigint;
  /** On the device, how many rows of each sequence are tokens, where not all are. */
  readonly counts: bigint;
  /** Sequences with fewer new tokens are left out. */
  readonly fewest: number;
}

const addressesOf = (buffers: Readonly<Record<string, DeviceBuffer>>): Readonly<Record<string, bigint>> =>
  Object.fromEntries(Object.entries(buffers).map(([name, buffer]) => [name, buffer.address]));

function launch({ kernel, definition, params, waitsItself }: FoundKernel<PlannerDefinition>, grid: number, values: Readonly<Record<string, ParamValue>>): void {
  const { threads, sharedBytes } = definition;
  kernel.launch({ grid, threads, sharedBytes, params: packParams(params, values), programmatic: waitsItself });
}
