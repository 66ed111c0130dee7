/**
 * A session: the KV cache of a batch of sequences on one device, and the launches that fill and read it. All state that changes from step
 * to step lies in device memory; the host mirrors lengths only to refuse what would not fit.
 */
import type { ElementType } from '../ir/nodes.ts';
import type { KernelDefinition, PlanDefinition } from '../ir/planDefinition.ts';
import { ranges } from '../ir/print.ts';
import { maskShapes } from '../mask/registry.ts';
import { prefillItems } from '../passes/schedule/prefillItems.ts';
import { invariant } from '../util/invariant.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { Device } from './device.ts';
import type { Graph } from './graph.ts';
import type { Kernel } from './kernel.ts';
import { packParams } from './packParams.ts';
import { buildRopeTable, type RopeOptions } from './rope.ts';
import { readRing, type CachedTokens } from './readRing.ts';
import { checkCuSeqlens, checkTensor, sessionError } from './sessionChecks.ts';
import { layerSegments, layoutSession, ringPagesInUse, sessionMemory, type LayerLayout, type SessionMemory, type SessionShape } from './sessionLayout.ts';

export interface SessionOptions extends SessionShape {
  /** Of q, k, v, out and the cache. The package's only one, or its first, by default. */
  readonly elementType?: ElementType;
  /** Multiplies q.k; `1 / sqrt(headDim)` by default. Positive. */
  readonly scale?: number;
  /** Rotate q and k (in the caller's buffers) before keys enter the cache. Off by default: then q and k come rotated. */
  readonly rope?: RopeOptions;
  /** The order in which rings take the pool's pages: a permutation of `0 .. pages - 1`. For tests of indirection. */
  readonly pageOrder?: (pages: number) => Int32Array;
}

/** Tensors are contiguous buffers of the session's element type. */
export interface DecodeTensors {
  /** `[batch, queryHeads, headDim]`, one token a sequence. Rotated in place when the session has RoPE. */
  readonly q: DeviceBuffer;
  /** `[batch, kvHeads, headDim]`. */
  readonly k: DeviceBuffer;
  readonly v: DeviceBuffer;
  /** `[batch, queryHeads, headDim]`. */
  readonly out: DeviceBuffer;
  /** `[batch, queryHeads]` float32, natural log; optional. */
  readonly lse?: DeviceBuffer;
}

/** As for decode, with `tokens = cuSeqlens[batch]` in place of `batch`. */
export interface PrefillTensors extends DecodeTensors {
  /** First token of each sequence and the end of the last: `batch + 1` integers from 0 that never fall. */
  readonly cuSeqlens: ArrayLike<number>;
}

/** A captured step. Each launch advances the lengths as the captured calls would have. */
export interface CapturedStep extends Disposable {
  launch(): void;
  dispose(): void;
}

interface LayerState {
  readonly layout: LayerLayout;
  /** Its number among the session's layers. */
  readonly index: number;
  readonly windows: DeviceBuffer;
  readonly rings: DeviceBuffer;
  readonly segments: DeviceBuffer;
  readonly segmentBegins: DeviceBuffer;
  readonly blocks: number;
  /** Tokens of each sequence in this layer's cache: the host's mirror. */
  readonly lengths: Int32Array;
  readonly append: Kernel;
  readonly decode: Kernel;
  readonly prefill: Kernel;
}

/** What the last prefill shape needs on the device, kept for the next layers. */
interface PrefillLists {
  readonly key: string;
  readonly cuSeqlens: DeviceBuffer;
  readonly items: Map<string, { readonly buffer: DeviceBuffer; readonly count: number }>;
}

/** The kernels of one role and element type, loaded. */
export type KernelLookup = (choose: (kernel: KernelDefinition) => boolean) => { readonly kernel: Kernel; readonly definition: KernelDefinition };

export class Session implements Disposable {
  readonly device: Device;
  readonly batch: number;
  readonly lengthBound: number;
  readonly elementType: ElementType;
  /** Bytes on the device, by layer and head group. */
  readonly memory: SessionMemory;

  readonly #plan: PlanDefinition;
  readonly #scale: number;
  readonly #buffers: DeviceBuffer[] = [];
  readonly #layers: ReadonlyMap<number, LayerState>;
  readonly #definitions: ReadonlyMap<Kernel, KernelDefinition>;
  readonly #pool: DeviceBuffer;
  readonly #pageTable: DeviceBuffer;
  readonly #lengths: DeviceBuffer;
  readonly #partials: DeviceBuffer;
  /** Counter 0 belongs to append, the others to decode's splits. */
  readonly #tickets: DeviceBuffer;
  readonly #cosSin: DeviceBuffer | undefined;
  #prefillLists: PrefillLists | undefined;
  /** While capturing: how many tokens each layer's decode calls add. */
  #captured: Map<number, number> | undefined;
  #disposed = false;

  /** Use `Plan.createSession`. */
  constructor(device: Device, plan: PlanDefinition, kernels: KernelLookup, options: SessionOptions, elementType: ElementType) {
    const { batch, lengthBound } = options;
    const { headDim, queryHeads, kvHeads } = plan.shape;
    this.device = device;
    this.batch = batch;
    this.lengthBound = lengthBound;
    this.elementType = elementType;
    this.#plan = plan;
    this.#scale = options.scale ?? 1 / Math.sqrt(headDim);

    const layout = layoutSession(plan, options);
    const upload = (data: Int32Array | Uint32Array | Float32Array): DeviceBuffer => this.#own(device.upload(data));
    const shared = new Map<string, DeviceBuffer>();
    const uploadShared = (data: Int32Array): DeviceBuffer => {
      const key = `${data.length}:${data.join()}`;
      const known = shared.get(key);
      if (known !== undefined) return known;
      const buffer = upload(data);
      shared.set(key, buffer);
      return buffer;
    };

    let partials = 0;
    let tickets = 0;
    const definitions = new Map<Kernel, KernelDefinition>();
    try {
      const layers = layout.layers.map((layer, index): LayerState => {
        const find = (role: string, rope: boolean): Kernel => {
          const found = kernels((kernel) => kernel.role === role && kernel.elementType === elementType && kernel.rope === rope && kernel.layers.includes(layer.layer));
          definitions.set(found.kernel, found.definition);
          return found.kernel;
        };
        const decode = find('decode', false);
        const { threads, sharedBytes, partialFloats } = definitions.get(decode)!;
        const perMultiprocessor = Math.max(1, decode.occupancy(threads, sharedBytes));
        const segments = layerSegments(plan, layer, device.multiprocessors * perMultiprocessor);
        partials = Math.max(partials, segments.partials * partialFloats);
        tickets = Math.max(tickets, segments.tickets);
        return {
          layout: layer,
          index,
          windows: uploadShared(layer.windows),
          rings: uploadShared(layer.rings),
          segments: uploadShared(segments.words),
          segmentBegins: uploadShared(segments.begins),
          blocks: segments.blocks,
          lengths: new Int32Array(batch),
          append: find('append', options.rope !== undefined),
          decode,
          prefill: find('prefill', false),
        };
      });
      this.#layers = new Map(layers.map((state) => [state.layout.layer, state]));
      this.#definitions = definitions;
      this.#pageTable = upload(options.pageOrder?.(layout.pages) ?? Int32Array.from({ length: layout.pages }, (_, page) => page));
      this.#lengths = upload(new Int32Array(batch * layers.length));
      this.#tickets = upload(new Uint32Array(1 + tickets));
      this.#cosSin = options.rope === undefined ? undefined : upload(buildRopeTable(options.rope, headDim, lengthBound));
      const tables = this.#buffers.reduce((sum, buffer) => sum + buffer.bytes, 0);
      this.#partials = this.#own(device.alloc(partials * 4));
      this.memory = sessionMemory(plan, options, tables, partials * 4);
      this.#pool = this.#own(device.alloc(layout.pages * plan.layout.pageBytes));
    } catch (error) {
      this.dispose();
      throw error;
    }
    invariant(this.#pool.bytes === this.memory.cache, 'the pool has the bytes that were reported');
    invariant(queryHeads % kvHeads === 0, 'groups are whole');
  }

  /** Tokens of each sequence in the cache of `layer`. */
  lengths(layer: number): Int32Array {
    return this.#layer(layer).lengths.slice();
  }

  /** The window in tokens of each query head of `layer`. */
  windows(layer: number): Int32Array {
    return this.#layer(layer).layout.windows.slice();
  }

  /** Pages of `layer` that hold a token now, over all sequences: what decode reads. */
  pagesInUse(layer: number): number {
    const { layout, lengths } = this.#layer(layer);
    const { pageTokens } = this.#plan.layout;
    const { sink } = this.#plan.limits;
    return layout.units.reduce((sum, { slot, window }) => sum + ringPagesInUse(lengths[slot]!, window, sink, pageTokens), 0);
  }

  /**
   * Attends all tokens of `batch` new sequences and puts their keys and values into the cache of `layer`. Sequences may have different lengths,
   * also none. Throws when a sequence already holds tokens in this layer, or would not fit the length bound.
   */
  prefill(layer: number, tensors: PrefillTensors): void {
    const state = this.#layer(layer);
    const cuSeqlens = checkCuSeqlens(tensors.cuSeqlens, this.batch, this.lengthBound);
    const tokens = cuSeqlens[this.batch]!;
    this.#checkTensors(tensors, tokens);
    for (let slot = 0; slot < this.batch; slot += 1) {
      if (state.lengths[slot]! > 0 && cuSeqlens[slot + 1]! > cuSeqlens[slot]!) {
        throw sessionError('sequenceHeld', `sequence ${slot} already holds ${state.lengths[slot]} tokens in layer ${layer}`);
      }
    }
    if (this.#captured !== undefined) throw sessionError('capture', 'prefill builds its work list on the host and cannot be captured');
    if (tokens === 0) return;

    const lists = this.#listsFor(cuSeqlens);
    this.#append(state, tensors, tokens, lists.cuSeqlens.address);
    const signature = state.layout.windows.join();
    let items = lists.items.get(signature);
    if (items === undefined) {
      const built = prefillItems(this.#plan.prefill, maskShapes[this.#plan.mask]!(this.#plan.limits.sink), cuSeqlens, state.layout.windows);
      items = { buffer: this.device.upload(built.words), count: built.count };
      lists.items.set(signature, items);
    }
    const { threads, sharedBytes } = this.#definitions.get(state.prefill)!;
    const params = packParams('prefill', {
      q: tensors.q.address,
      k: tensors.k.address,
      v: tensors.v.address,
      out: tensors.out.address,
      lse: tensors.lse?.address ?? 0n,
      items: items.buffer.address,
      scale: this.#scale,
    });
    state.prefill.launch({ grid: items.count, threads, sharedBytes, params });
    for (let slot = 0; slot < this.batch; slot += 1) state.lengths[slot]! += cuSeqlens[slot + 1]! - cuSeqlens[slot]!;
  }

  /** Appends one token to every sequence in the cache of `layer`, then attends: the new token attends itself. May be captured. */
  decode(layer: number, tensors: DecodeTensors): void {
    const state = this.#layer(layer);
    this.#checkTensors(tensors, this.batch);
    const pending = this.#captured?.get(layer) ?? 0;
    this.#checkRoom(layer, pending + 1);

    this.#append(state, tensors, this.batch, 0n);
    const { threads, sharedBytes } = this.#definitions.get(state.decode)!;
    const params = packParams('decode', {
      q: tensors.q.address,
      out: tensors.out.address,
      lse: tensors.lse?.address ?? 0n,
      pool: this.#pool.address,
      pageTable: this.#pageTableOf(state),
      segments: state.segments.address,
      segmentBegins: state.segmentBegins.address,
      windows: state.windows.address,
      lengths: this.#lengthsOf(state),
      partials: this.#partials.address,
      tickets: this.#tickets.address + 4n,
      scale: this.#scale,
    });
    state.decode.launch({ grid: state.blocks, threads, sharedBytes, params });
    if (this.#captured !== undefined) this.#captured.set(layer, pending + 1);
    else this.#advance(layer, 1);
  }

  /**
   * Records the launches of `step` (decode calls of this session, and others on the same device) without running them. On CUDA a
   * graph; on the emulator a list. Launching it costs no work on the host beyond one call.
   */
  capture(step: () => void): CapturedStep {
    this.#checkAlive();
    if (this.#captured !== undefined) throw sessionError('capture', 'a capture is already under way');
    const added = new Map<number, number>();
    this.#captured = added;
    let graph: Graph;
    try {
      graph = this.device.capture(step);
    } finally {
      this.#captured = undefined;
    }
    return {
      launch: () => {
        this.#checkAlive();
        added.forEach((tokens, layer) => this.#checkRoom(layer, tokens));
        graph.launch();
        added.forEach((tokens, layer) => this.#advance(layer, tokens));
      },
      dispose: () => graph.dispose(),
      [Symbol.dispose]: () => graph.dispose(),
    };
  }

  /** Forgets all tokens; the memory stays. */
  reset(): void {
    this.#checkAlive();
    this.#lengths.fill(0);
    for (const { lengths } of this.#layers.values()) lengths.fill(0);
  }

  /** The tokens that a ring holds, unswizzled, in the order of their positions. Copies a ring to the host: for tests and debugging. */
  cachedTokens(layer: number, slot: number, kvHead: number): CachedTokens {
    const state = this.#layer(layer);
    return readRing(this.#plan, state.layout, { pool: this.#pool, pageTable: this.#pageTable }, slot, kvHead, state.lengths[slot]!);
  }

  /** Frees the cache. Idempotent; every other call throws afterwards. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#dropPrefillLists();
    for (const buffer of this.#buffers) buffer.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #append(state: LayerState, tensors: DecodeTensors, tokens: number, cuSeqlens: bigint): void {
    const definition = this.#definitions.get(state.append)!;
    const { headDim, queryHeads, kvHeads } = this.#plan.shape;
    const tasks = 2 * kvHeads + (definition.rope ? queryHeads : 0);
    const blocks = Math.ceil((tokens * tasks * (headDim / 16)) / definition.threads);
    const params = packParams('append', {
      q: tensors.q.address,
      k: tensors.k.address,
      v: tensors.v.address,
      pool: this.#pool.address,
      pageTable: this.#pageTableOf(state),
      rings: state.rings.address,
      lengths: this.#lengthsOf(state),
      cuSeqlens,
      cosSin: this.#cosSin?.address ?? 0n,
      ticket: this.#tickets.address,
      tokens,
      slots: this.batch,
    });
    const grid = Math.min(blocks, this.device.multiprocessors * 16);
    state.append.launch({ grid, threads: definition.threads, sharedBytes: definition.sharedBytes, params });
  }

  #listsFor(cuSeqlens: Int32Array): PrefillLists {
    const key = cuSeqlens.join();
    if (this.#prefillLists?.key === key) return this.#prefillLists;
    this.#dropPrefillLists();
    this.#prefillLists = { key, cuSeqlens: this.device.upload(cuSeqlens), items: new Map() };
    return this.#prefillLists;
  }

  #dropPrefillLists(): void {
    this.#prefillLists?.cuSeqlens.dispose();
    this.#prefillLists?.items.forEach(({ buffer }) => buffer.dispose());
    this.#prefillLists = undefined;
  }

  #pageTableOf(state: LayerState): bigint {
    return this.#pageTable.address + BigInt(state.layout.firstPage * 4);
  }

  #lengthsOf(state: LayerState): bigint {
    return this.#lengths.address + BigInt(state.index * this.batch * 4);
  }

  #checkRoom(layer: number, tokens: number): void {
    const { lengths } = this.#layer(layer);
    for (let slot = 0; slot < this.batch; slot += 1) {
      if (lengths[slot]! + tokens > this.lengthBound) {
        throw sessionError('sequenceFull', `sequence ${slot} holds ${lengths[slot]} of at most ${this.lengthBound} tokens in layer ${layer}; ${tokens} more do not fit`);
      }
    }
  }

  #advance(layer: number, tokens: number): void {
    const { lengths } = this.#layer(layer);
    for (let slot = 0; slot < this.batch; slot += 1) lengths[slot]! += tokens;
  }

  #checkTensors({ q, k, v, out, lse }: DecodeTensors, tokens: number): void {
    const { headDim, queryHeads, kvHeads } = this.#plan.shape;
    checkTensor('q', q, [tokens, queryHeads, headDim], 2);
    checkTensor('k', k, [tokens, kvHeads, headDim], 2);
    checkTensor('v', v, [tokens, kvHeads, headDim], 2);
    checkTensor('out', out, [tokens, queryHeads, headDim], 2);
    if (lse !== undefined) checkTensor('lse', lse, [tokens, queryHeads], 4);
  }

  #layer(layer: number): LayerState {
    this.#checkAlive();
    const state = this.#layers.get(layer);
    if (state === undefined) throw sessionError('noSuchLayer', `the session has no layer ${String(layer)}; it has layers ${ranges([...this.#layers.keys()])}`);
    return state;
  }

  #checkAlive(): void {
    if (this.#disposed) throw sessionError('usedAfterDispose', 'the session was used after it was disposed');
  }

  #own(buffer: DeviceBuffer): DeviceBuffer {
    this.#buffers.push(buffer);
    return buffer;
  }
}
