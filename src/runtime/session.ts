/**
 * A session: the KV cache of a batch of sequences on one device, and the launches that fill and read it. All state that changes from step
 * to step lies in device memory; the host mirrors lengths only to refuse what would not fit.
 */
import type { ElementType } from '../ir/nodes.ts';
import type { PlanDefinition } from '../ir/planDefinition.ts';
import { ranges } from '../ir/print.ts';
import { describeValue } from '../util/describeValue.ts';
import { DeviceBuffer } from './buffer.ts';
import { checkCounts, checkCountsBuffer, readCounts } from './decodeCounts.ts';
import type { Device } from './device.ts';
import { Launches } from './launches.ts';
import { cutPrefill, PrefillLists, type SequenceLengths } from './prefillLists.ts';
import { readRing, type CachedTokens } from './readRing.ts';
import { decodeOf, SessionBuffers, type KernelLookup, type LayerState } from './sessionBuffers.ts';
import { checkDecodeKeys, checkJoinKeys, checkPrefillKeys } from './checkCall.ts';
import { checkCuSeqlens, checkTensor, sessionError } from './sessionChecks.ts';
import type { Sequences } from './sequences.ts';
import { SessionEffect, type RecordedCounts } from './sessionEffect.ts';
import { ringPagesInUse, type SessionMemory } from './sessionLayout.ts';
import type { CapturedStep, DecodeTensors, JoinOptions, PrefillTensors, SessionOptions } from './sessionTypes.ts';

export class Session implements Disposable {
  readonly device: Device;
  /** Slots. */
  readonly batch: number;
  /** The most tokens of a sequence. */
  readonly lengthBound: number;
  readonly elementType: ElementType;
  /** Bytes on the device, by layer and head group. */
  readonly memory: SessionMemory;

  readonly #plan: PlanDefinition;
  readonly #decodeTokens: number;
  readonly #buffers: SessionBuffers;
  readonly #sequences: Sequences;
  readonly #prefillLists: PrefillLists;
  readonly #launches: Launches;
  /**
   * The layer whose state the session's last launch wrote, so that the next may not read it early; 'all' where that is not known.
   */
  #lastWritten: number | 'all' = 'all';
  #disposed = false;
  /** What tensors were found good for. */
  readonly #found = new WeakMap<DeviceBuffer, string>();

  /** Use `Plan.createSession`. */
  constructor(device: Device, plan: PlanDefinition, kernels: KernelLookup, options: SessionOptions, elementType: ElementType) {
    this.device = device;
    this.batch = options.batch;
    this.lengthBound = options.lengthBound;
    this.elementType = elementType;
    this.#plan = plan;
    this.#buffers = new SessionBuffers(device, plan, kernels, options, elementType);
    this.#decodeTokens = options.decodeTokens ?? 1;
    this.#sequences = this.#buffers.sequences;
    this.#prefillLists = new PrefillLists(device, plan);
    this.#launches = new Launches(device, plan, this.#buffers, options);
    this.memory = this.#buffers.memory;
  }

  /** Tokens of each slot's sequence in the cache of `layer`; -1 for a free slot. */
  lengths(layer: number): Int32Array {
    return this.#layer(layer).lengths.slice();
  }

  /** The window in tokens of each query head of `layer`, for the sequence in `slot`; those of `lengthBound` for a slot that held none yet. */
  windows(layer: number, slot = 0): Int32Array {
    const { queryHeads } = this.#plan.shape;
    const { windows } = this.#layer(layer).layout.tables;
    return windows.slice(slot * queryHeads, (slot + 1) * queryHeads);
  }

  /** Length bound of each slot's sequence; 0 for a free slot. */
  lengthBounds(): Int32Array {
    this.#checkAlive();
    return this.#sequences.bounds.slice();
  }

  /** Pages of `layer` that hold a token now, over all sequences: what decode reads. */
  pagesInUse(layer: number): number {
    const { layout, lengths } = this.#layer(layer);
    const { pageTokens } = this.#plan.layout;
    const { sink } = layout.tables;
    return lengths.reduce((sum, length, slot) => sum + layout.tables.unitsOf(slot).reduce((pages, { window }) => pages + ringPagesInUse(length, window, sink, pageTokens), 0), 0);
  }

  /**
   * Begins an empty sequence in the first free slot, and returns the slot. Its rings take the pages that its own length bound needs. Captured steps stay good: they
   * read who is there from device memory. Throws MOA6108 without a free slot and MOA6109 without enough free pages.
   */
  join(options: JoinOptions = {}): number {
    this.#checkChangeable('join');
    checkJoinKeys(options);
    const { lengthBound = this.lengthBound } = options;
    if (!Number.isInteger(lengthBound) || lengthBound < 1 || lengthBound > this.lengthBound) {
      throw sessionError('badOptions', `lengthBound is ${describeValue(lengthBound)}; in this session it is an integer from 1 to ${this.lengthBound} tokens`);
    }
    const slot = this.#sequences.firstFree();
    this.#sequences.join(slot, lengthBound);
    this.#writeSlot(slot);
    return slot;
  }

  /** Ends the sequence in `slot`: its pages are free, and its row of a decode is ignored until another joins. */
  leave(slot: number): void {
    this.#checkChangeable('leave');
    this.#checkHeld(slot);
    this.#sequences.leave(slot);
    this.#buffers.updateSchedules(slot);
    this.#writeLengths();
  }

  /**
   * Copies the sequence in `slot` into the first free slot, and returns that: for beam search, or several samples of one prompt. Both go on alone. Throws as `join` does.
   */
  fork(slot: number): number {
    this.#checkChangeable('fork');
    this.#checkHeld(slot);
    const to = this.#sequences.firstFree();
    this.#sequences.join(to, this.#sequences.bounds[slot]!);
    this.#buffers.copyPages(this.#sequences.copy(slot, to));
    this.#writeSlot(to);
    return to;
  }

  /**
   * Takes back the newest tokens of the sequence in `slot`, in all layers, so that it has `length` tokens. A ring keeps the last tokens of its window, so once it has gone
   * round only the newest token can be taken back, and of a plan compiled with `--slack S` so many more. Throws MOA6110, and changes nothing, where a token that
   * the next one attends is lost.
   */
  truncate(slot: number, length: number): void {
    this.#checkChangeable('truncate');
    this.#checkHeld(slot);
    if (!Number.isInteger(length) || length < 0) throw sessionError('cannotTruncate', `a sequence cannot have ${describeValue(length)} tokens`);
    this.#sequences.truncate(slot, length);
    this.#writeLengths();
  }

  /**
   * Attends the new tokens of all sequences, and puts their keys and values into the cache of `layer`. Sequences may have different lengths, also none.
   * One that holds tokens goes on behind them: its new tokens attend those and each other, so a prompt may come in chunks of any length. Throws
   * when a sequence would not fit the length bound.
   */
  prefill(layer: number, tensors: PrefillTensors): void {
    const { state, lengths } = this.#newTokens(layer, tensors);
    if (this.device.recording !== undefined) throw sessionError('capture', 'prefill builds its work list on the host and cannot be captured');
    const { cuSeqlens } = lengths;
    const tokens = cuSeqlens[this.batch]!;
    if (tokens === 0) return;
    this.#launchPrefill(state, tensors, lengths);
    for (let slot = 0; slot < this.batch; slot += 1) {
      const added = cuSeqlens[slot + 1]! - cuSeqlens[slot]!;
      if (added > 0) this.#sequences.advance(state.index, slot, added);
    }
  }

  /**
   * The launches of a prefill, in a capture whose lists of work were made before. They are right for the lengths of now, and nothing counts them: a `reset` goes before each
   * launch. For benchmarks.
   * @internal
   */
  recordPrefill(layer: number, tensors: PrefillTensors): void {
    const { state, lengths } = this.#newTokens(layer, tensors);
    this.#launchPrefill(state, tensors, lengths);
  }

  #launchPrefill(state: LayerState, tensors: PrefillTensors, lengths: SequenceLengths): void {
    const tokens = lengths.cuSeqlens[this.batch]!;
    const lists = this.#prefillLists.of(lengths);
    const attend = this.#launches.prefill(state, tensors, tokens, lists, this.#prefillLists.room);
    this.#lastWritten = state.layout.layer;
    if (lists.continued.length > 0) {
      // New tokens may take the place of those that they attend, so they are written last; RoPE turns them first.
      this.#launches.rotate(state, tensors, tokens, lists.cuSeqlens.address);
      attend();
      this.#launches.appendRotated(state, tensors, tokens, lists.cuSeqlens.address);
    } else {
      this.#launches.append(state, tensors, tokens, lists.cuSeqlens.address);
      attend();
    }
  }

  /**
   * Prefill's attention alone: the cache stays as it is, and nothing is rotated. For benchmarks.
   * @internal
   */
  attend(layer: number, tensors: PrefillTensors): void {
    const { state, lengths } = this.#newTokens(layer, tensors);
    const tokens = lengths.cuSeqlens[this.batch]!;
    if (tokens > 0) this.#launches.prefill(state, tensors, tokens, this.#prefillLists.of(lengths), this.#prefillLists.room)();
  }

  /**
   * Pairs of query and key that `attend` computes: whole pages, for whole blocks of rows. For benchmarks.
   * @internal
   */
  computedPairs(layer: number, cuSeqlens: ArrayLike<number>): number {
    const { layout, lengths, prefill } = this.#layer(layer);
    const { pages } = cutPrefill(this.#plan, { cuSeqlens, cached: lengths }, layout.tables, prefill.definition, this.device);
    return pages * this.#plan.layout.pageTokens * prefill.definition.rows;
  }

  /** The layer and the lengths of a prefill, when the call is legal. */
  #newTokens(layer: number, tensors: PrefillTensors): { readonly state: LayerState; readonly lengths: SequenceLengths & { readonly cuSeqlens: Int32Array } } {
    const state = this.#layer(layer);
    checkPrefillKeys(tensors);
    const cuSeqlens = checkCuSeqlens(tensors.cuSeqlens, this.batch, this.lengthBound);
    this.#checkTensors(tensors, cuSeqlens[this.batch]!);
    for (let slot = 0; slot < this.batch; slot += 1) {
      const added = cuSeqlens[slot + 1]! - cuSeqlens[slot]!;
      if (added === 0) continue;
      this.#checkHeld(slot);
      this.#sequences.checkSequence(state.index, slot, added);
    }
    return { state, lengths: { cuSeqlens, cached: state.lengths.slice() } };
  }

  /**
   * Appends one token, or several, to every sequence in the cache of `layer`, then attends: a new token attends itself and those before it. May be captured. Several tokens are
   * appended by a launch of their own, and so is one where the query heads of a KV head fill more than one tile (headDim 256, more than 8).
   */
  decode(layer: number, tensors: DecodeTensors): void {
    const state = this.#layer(layer);
    checkDecodeKeys(tensors);
    const { tokens = 1, counts: given } = tensors;
    if (!Number.isInteger(tokens) || tokens < 1 || tokens > this.#decodeTokens) {
      throw sessionError('tooManyTokens', `decode of ${describeValue(tokens)} tokens of each sequence; the session decodes 1 to ${this.#decodeTokens}`);
    }
    this.#checkTensors(tensors, this.batch * tokens);
    if (this.batch === 0) return;
    const effect = this.#effect();
    const counts = given === undefined ? undefined : this.#countsOf(state, given, tokens, effect !== undefined);
    const { schedule } = decodeOf(state, tokens, counts !== undefined);
    const added = counts?.fixed ?? tokens;
    if (effect === undefined) {
      this.#sequences.checkRoom(state.index, added);
      this.#buffers.refreshSchedule(schedule);
      counts?.write?.();
    }
    const written = effect === undefined ? this.#lastWritten : effect.lastWritten;
    this.#launches.decode(state, tensors, tokens, written !== layer && written !== 'all', counts?.buffer);
    if (effect === undefined) {
      this.#lastWritten = layer;
      this.#sequences.advanceAll(state.index, added);
    } else {
      const { q, k, v, out, lse } = tensors;
      const all = [q, k, v, out, ...(lse === undefined ? [] : [lse]), ...(counts === undefined ? [] : [counts.buffer])];
      effect.addDecode(state, tokens, schedule, all, counts);
    }
  }

  /** Where the launches of a decode find its counts. What an eager one adds, and one recorded from an array, is known now; of a buffer that a graph reads, at each launch. */
  #countsOf(state: LayerState, given: ArrayLike<number> | DeviceBuffer, tokens: number, recorded: boolean): RecordedCounts {
    if (state.decodeMany === undefined) throw sessionError('tooManyTokens', 'counts take a session with decodeTokens over 1');
    if (given instanceof DeviceBuffer) {
      checkCountsBuffer(given, this.batch, this.device);
      return recorded ? { buffer: given } : { buffer: given, fixed: readCounts(given, this.batch, tokens) };
    }
    const fixed = checkCounts(given, this.batch, tokens);
    if (recorded) return { ...this.#buffers.fixCounts(fixed), fixed };
    return { ...this.#buffers.placeCounts(fixed), fixed };
  }

  /**
   * Records the launches of `step` (decode calls of this session, of others on the same device, launches of your own) without running them: `Device.capture`, of a graph that
   * ends with this session. On CUDA a graph; on the emulator a list. Launching it is one call, which counts the tokens of every session in it.
   */
  capture(step: () => void): CapturedStep {
    this.#checkAlive();
    if (typeof step !== 'function') throw sessionError('capture', `capture: ${describeValue(step)} is not a function that records calls`);
    return this.device.capture(() => {
      this.#effect();
      return step();
    });
  }

  /** What the graph that is being captured does to this session; undefined where none is. */
  #effect(): SessionEffect | undefined {
    return this.device.recording?.effectOf(this, () => {
      this.#lastWritten = 'all';
      return new SessionEffect({
        device: this.device,
        sequences: this.#sequences,
        checkAlive: () => this.#checkAlive(),
        refreshSchedule: (schedule) => this.#buffers.refreshSchedule(schedule),
        wasWritten: () => {
          this.#lastWritten = 'all';
        },
      });
    });
  }

  /** Forgets all tokens; sequences stay, empty. */
  reset(): void {
    this.#checkChangeable('reset');
    this.#setLengths(0);
  }

  /**
   * Says that every sequence holds `length` tokens, without a prefill: benchmarks read the pages that lie there. Fills the pool with `byte`.
   * @internal
   */
  assumeFilled(length: number, byte: number): void {
    this.#checkChangeable('assumeFilled');
    this.#setLengths(length);
    this.#buffers.pool.fill(byte);
  }

  #setLengths(length: number): void {
    this.#sequences.fillAll(length);
    this.#writeLengths();
  }

  #writeSlot(slot: number): void {
    this.#buffers.writeSlot(slot);
    this.#writeLengths();
  }

  /** Brings the lengths of all sequences to the device, where they are no longer what the last launch left. */
  #writeLengths(): void {
    this.#lastWritten = 'all';
    this.#buffers.writeLengths();
  }

  /** The tokens that a ring holds, unswizzled, in the order of their positions. Copies a ring to the host: for tests and debugging. */
  cachedTokens(layer: number, slot: number, kvHead: number): CachedTokens {
    const state = this.#layer(layer);
    const length = Math.max(0, state.lengths[slot]!);
    return readRing(this.#plan, state.layout, this.#buffers, slot, kvHead, { length, reached: Math.max(length, state.reached[slot]!) });
  }

  /** Frees the cache. Idempotent; every other call throws afterwards, and so does a launch of a graph that this session is part of. */
  dispose(): void {
    if (this.#disposed) return;
    if (this.device.recording !== undefined && !this.device.isDisposed) throw sessionError('capture', 'dispose frees memory, which a capture does not allow');
    this.#disposed = true;
    this.#prefillLists.dispose();
    this.#buffers.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #checkHeld(slot: number): void {
    if (this.#sequences.bounds[slot] === undefined) throw sessionError('noSuchSequence', `there is no slot ${describeValue(slot)}; the session has ${this.batch}`);
    if (this.#sequences.bounds[slot] === 0) throw sessionError('noSuchSequence', `slot ${slot} holds no sequence`);
  }

  #checkChangeable(call: string): void {
    this.#checkAlive();
    if (this.device.recording !== undefined) throw sessionError('capture', `${call} changes tables on the device and cannot be captured`);
  }

  #checkTensors({ q, k, v, out, lse }: DecodeTensors, tokens: number): void {
    const { headDim, queryHeads, kvHeads } = this.#plan.shape;
    this.#checkTensor('q', q, tokens, queryHeads, headDim);
    this.#checkTensor('k', k, tokens, kvHeads, headDim);
    this.#checkTensor('v', v, tokens, kvHeads, headDim);
    this.#checkTensor('out', out, tokens, queryHeads, headDim);
    if (lse !== undefined) this.#checkTensor('lse', lse, tokens, queryHeads);
  }

  /** A tensor of rows of heads, or without `headDim` of a float for each head. What was found good for as many rows is so as long as it lives. */
  #checkTensor(name: string, buffer: DeviceBuffer, tokens: number, heads: number, headDim?: number): void {
    const found = `${tokens} ${heads} ${headDim}`;
    if (this.#found.get(buffer) === found && !buffer.isDisposed) return;
    const needed = headDim === undefined ? { shape: [tokens, heads], elementType: 'fp32' as const } : { shape: [tokens, heads, headDim], elementType: this.elementType };
    checkTensor(name, buffer, { ...needed, device: this.device });
    this.#found.set(buffer, found);
  }

  #layer(layer: number): LayerState {
    this.#checkAlive();
    const state = this.#buffers.layers.get(layer);
    if (state === undefined) throw sessionError('noSuchLayer', `the session has no layer ${describeValue(layer)}; it has layers ${ranges([...this.#buffers.layers.keys()])}`);
    return state;
  }

  #checkAlive(): void {
    if (this.#disposed) throw sessionError('usedAfterDispose', 'the session was used after it was disposed');
  }
}
