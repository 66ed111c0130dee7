import { usualAttention } from '../ir/attention.ts';
import type { PlanDefinition } from '../ir/planDefinition.ts';
import { gridOf } from '../kernels/gridOf.ts';
import { variantOf } from '../kernels/variants.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { Device } from './device.ts';
import { packParams, type ParamValue } from './packParams.ts';
import { PreparedLaunch } from './preparedLaunch.ts';
import type { BatchLists } from './prefillLists.ts';
import type { PrefillRoom } from './prefillRoom.ts';
import { decodeOf, type FoundKernel, type LayerState, type SessionBuffers } from './sessionBuffers.ts';
import type { DecodeTensors, PrefillTensors, SessionOptions } from './sessionTypes.ts';

/** The launches of a session: which kernel, how many blocks, with which parameters. What is legal, and in which order, is the session's. */
export class Launches {
  readonly #device: Device;
  readonly #plan: PlanDefinition;
  readonly #buffers: SessionBuffers;
  readonly #batch: number;
  readonly #scale: number;
  /** Decodes of each layer, by the tokens of a sequence that are in its rings already: 0 for the launch that appends its one token. */
  readonly #prepared = new Map<LayerState, PreparedLaunch[]>();

  constructor(device: Device, plan: PlanDefinition, buffers: SessionBuffers, { batch, scale }: SessionOptions) {
    this.#device = device;
    this.#plan = plan;
    this.#buffers = buffers;
    this.#batch = batch;
    this.#scale = scale ?? (plan.attention ?? usualAttention(plan.shape)).scale;
  }

  /** Writes new tokens into their rings, rotated where the session has RoPE, and counts them. `cuSeqlens`: where each sequence's begin; `counts`: how many of its rows are some. */
  append(state: LayerState, tensors: DecodeTensors, tokens: number, cuSeqlens: bigint, counts = 0n): void {
    this.#append(state, state.append, tensors, tokens, cuSeqlens, this.#buffers.pool.address, counts);
  }

  /** Rotates new tokens where they lie, where the session has RoPE. */
  rotate(state: LayerState, tensors: DecodeTensors, tokens: number, cuSeqlens: bigint): void {
    if (state.append.definition.rope) this.#append(state, state.append, tensors, tokens, cuSeqlens, 0n);
  }

  /** `append`, of what was rotated. */
  appendRotated(state: LayerState, tensors: DecodeTensors, tokens: number, cuSeqlens: bigint): void {
    this.#append(state, state.appendRotated, tensors, tokens, cuSeqlens, this.#buffers.pool.address);
  }

  /**
   * Prefill's attention, of `tokens` new tokens, as a function that launches it: what it needs is made before, so that when this throws nothing was launched. Where the cache
   * has 8 bits, the pages that it reads are expanded first.
   */
  prefill(state: LayerState, tensors: PrefillTensors, tokens: number, lists: BatchLists, room: PrefillRoom): () => void {
    const { definition } = state.prefill;
    const { queryHeads, kvHeads, headDim } = this.#plan.shape;
    const expanded = this.#expanded(state, lists, room);
    const items = lists.items(state.layout.tables, definition);
    const values = {
      out: tensors.out.address,
      lse: tensors.lse?.address ?? 0n,
      items: items.buffer.address,
      pool: expanded?.pool ?? this.#buffers.pool.address,
      pageTable: expanded?.pageTable ?? this.#pageTableOf(state),
      scale: this.#scale,
      groupSize: queryHeads / kvHeads,
      queryHeads,
      sink: state.layout.tables.sink,
      ...this.#sinksOf(state),
      ...room.parts(items.parts, definition),
      itemCount: items.count,
      ticket: this.#buffers.tickets.address,
    };
    const mapOf = (buffer: DeviceBuffer, heads: number): Uint8Array =>
      this.#device.tensorMap(buffer, { rows: tokens, columns: heads * headDim, boxRows: this.#plan.layout.pageTokens });
    const inputs = variantOf(definition).features.tensorMaps
      ? { queryMap: mapOf(tensors.q, queryHeads), keyMap: mapOf(tensors.k, kvHeads), valueMap: mapOf(tensors.v, kvHeads) }
      : { q: tensors.q.address, k: tensors.k.address, v: tensors.v.address };
    const grid = gridOf(definition, items.count, this.#device.multiprocessors);
    return () => {
      expanded?.expand();
      launch(state.prefill, grid, { ...inputs, ...values });
    };
  }

  /** Where expanded pages lie, and the launch that makes them; undefined where prefill reads the session's own, or none. */
  #expanded(state: LayerState, lists: BatchLists, room: PrefillRoom): { readonly pool: bigint; readonly pageTable: bigint; readonly expand: () => void } | undefined {
    const list = lists.expanded(state.layout.tables);
    if (list === undefined) return undefined;
    const { sequences, pool } = this.#buffers;
    // Enough for whatever length these sequences come to, in any layer. Elements have twice the bits.
    const pages = lists.continued.reduce((sum, slot) => sum + sequences.mostPages(slot), 0);
    const made = room.pages(pages, 2 * this.#plan.layout.pageBytes);
    const values = { pool: pool.address, pageTable: this.#pageTableOf(state), rings: list.buffer.address, kvScales: this.#scalesOf(state), expanded: made.pool, ringCount: list.count };
    return { ...made, expand: () => launch(state.expand!, list.pages, values) };
  }

  /**
   * Appends so many tokens to each sequence and attends. `early`: the launch before wrote nothing of this layer. `counts`: on the device, how many rows of each sequence are
   * tokens, where not all are.
   */
  decode(state: LayerState, tensors: DecodeTensors, tokens: number, early: boolean, counts?: DeviceBuffer): void {
    const { found, schedule, appends } = decodeOf(state, tokens, counts !== undefined);
    const countsAddress = counts?.address ?? 0n;
    // Otherwise rings have the slack for it: the tokens are appended first, and each row of queries masks by its own position.
    if (!appends) this.append(state, tensors, this.#batch * tokens, this.#buffers.tokenEnds(tokens), countsAddress);
    let ofState = this.#prepared.get(state);
    if (ofState === undefined) this.#prepared.set(state, (ofState = []));
    const prepared = (ofState[appends ? 0 : tokens] ??= new PreparedLaunch(found, schedule.blocks, { ...this.#decodeValues(state, tensors), segments: schedule.buffer.address, early: 0, tokens, counts: countsAddress }));
    prepared.setPointer('q', tensors.q.address);
    prepared.setPointer('k', tensors.k.address);
    prepared.setPointer('v', tensors.v.address);
    prepared.setPointer('out', tensors.out.address);
    prepared.setPointer('lse', tensors.lse?.address ?? 0n);
    prepared.setInt32('early', appends && early ? 1 : 0);
    if (!appends) prepared.setPointer('counts', countsAddress);
    prepared.launch();
  }

  #decodeValues(state: LayerState, tensors: DecodeTensors): Readonly<Record<string, ParamValue>> {
    const { pool, partials, tickets, ropeShift } = this.#buffers;
    const { queryHeads, kvHeads } = this.#plan.shape;
    return {
      q: tensors.q.address,
      k: tensors.k.address,
      v: tensors.v.address,
      out: tensors.out.address,
      lse: tensors.lse?.address ?? 0n,
      pool: pool.address,
      pageTable: this.#pageTableOf(state),
      windows: state.windows.address,
      lengths: this.#lengthsOf(state),
      rope: state.rope,
      ropeShift,
      partials: partials.address,
      tickets: tickets.address,
      scale: this.#scale,
      slots: this.#batch,
      kvScales: this.#scalesOf(state),
      groupSize: queryHeads / kvHeads,
      queryHeads,
      kvHeads,
      sink: state.layout.tables.sink,
      ...this.#sinksOf(state),
    };
  }

  /** `pool`: where pages lie; 0n: nothing is written, only turned by RoPE. */
  #append(state: LayerState, append: FoundKernel, tensors: DecodeTensors, tokens: number, cuSeqlens: bigint, pool: bigint, counts = 0n): void {
    const { rope, threads } = append.definition;
    const { headDim, queryHeads, kvHeads } = this.#plan.shape;
    const tasks = 2 * kvHeads + (rope ? queryHeads : 0);
    const blocks = Math.ceil((tokens * tasks * (headDim / 16)) / threads);
    const { tickets, ropeShift } = this.#buffers;
    launch(append, gridOf(append.definition, blocks, this.#device.multiprocessors), {
      q: tensors.q.address,
      k: tensors.k.address,
      v: tensors.v.address,
      pool,
      pageTable: this.#pageTableOf(state),
      rings: state.rings.address,
      lengths: this.#lengthsOf(state),
      cuSeqlens,
      rope: state.rope,
      ropeShift,
      kvScales: this.#scalesOf(state),
      ticket: tickets.address,
      counts,
      tokens,
      slots: this.#batch,
    });
  }

  #pageTableOf(state: LayerState): bigint {
    return this.#buffers.pageTable.address + BigInt(state.layout.firstEntry * 4);
  }

  #lengthsOf(state: LayerState): bigint {
    return this.#buffers.lengths.address + BigInt(state.index * this.#buffers.lengthStride * 4);
  }

  #scalesOf(state: LayerState): bigint {
    const { kvScales } = this.#buffers;
    return kvScales === undefined ? 0n : kvScales.address + BigInt(state.index * 2 * this.#plan.shape.kvHeads * 4);
  }

  #sinksOf(state: LayerState): { readonly sinkLogits?: bigint } {
    const { sinkLogits } = this.#buffers;
    return sinkLogits === undefined ? {} : { sinkLogits: sinkLogits.address + BigInt(state.index * this.#plan.shape.queryHeads * 4) };
  }
}

function launch({ kernel, definition, params, waitsItself }: FoundKernel, grid: number, values: Readonly<Record<string, ParamValue>>): void {
  const { threads, sharedBytes } = definition;
  kernel.launch({ grid, threads, sharedBytes, params: packParams(params, values), programmatic: waitsItself });
}
