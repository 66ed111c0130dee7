/**
 * A session: the KV cache of a batch of sequences on one device, and the launches that fill and read it. All state that changes from step
 * to step lies in device memory; the host mirrors lengths only to refuse what would not fit.
 */
import type { ElementType } from '../ir/nodes.ts';
import type { PlanDefinition } from '../ir/planDefinition.ts';
import { ranges } from '../ir/print.ts';
import { describeValue } from '../util/describeValue.ts';
import { DeviceBuffer } from './buffer.ts';
import { checkAddKeys, checkDecodeKeys, checkPrefillKeys, checkStepKeys } from './checkCall.ts';
import { checkCounts, checkCountsBuffer, readCounts } from './decodeCounts.ts';
import type { Device } from './device.ts';
import { Launches, type DecodePlanName } from './launches.ts';
import { NewTokens } from './newTokens.ts';
import { PackedCalls } from './packedCalls.ts';
import type { PackedCall } from './packedTokens.ts';
import { PageAccounts } from './pageAccounts.ts';
import { PageCounts } from './pageCounts.ts';
import { readRing, type CachedTokens } from './readRing.ts';
import type { Recording } from './recording.ts';
import { Sequences } from './sequences.ts';
import { SessionBuffers, type KernelLookup, type LayerState } from './sessionBuffers.ts';
import { sessionError } from './sessionChecks.ts';
import { SessionEffect, type RecordedCounts } from './sessionEffect.ts';
import { layersOf, layoutSession, ringPagesInUse, windowsOfHeads, windowsOfRings, type SessionMemory } from './sessionLayout.ts';
import { orderOfPages } from './sessionOptions.ts';
import type { AddOptions, CapturedStep, DecodeTensors, PrefillTensors, SessionOptions, SessionUsage, StepTensors } from './sessionTypes.ts';
import { StepPlans } from './stepPlans.ts';
import { TensorChecks } from './tensorChecks.ts';

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
  readonly #launches: Launches;
  readonly #pages: number;
  readonly #plans: StepPlans;
  readonly #packed: PackedCalls;
  readonly #numbers = new Set<NewTokens>();
  #disposed = false;
  /** Where the last prefill was recorded. */
  #recorded: Recording | undefined;
  readonly #tensors: TensorChecks;

  /** Use `Plan.createSession`. */
  constructor(device: Device, plan: PlanDefinition, kernels: KernelLookup, options: SessionOptions, elementType: ElementType) {
    this.device = device;
    this.batch = options.batch;
    this.lengthBound = options.lengthBound;
    this.elementType = elementType;
    this.#plan = plan;
    const layout = layoutSession(plan, options);
    this.#buffers = new SessionBuffers(device, plan, layout, kernels, options, elementType);
    this.#decodeTokens = options.decodeTokens ?? 1;
    this.#pages = options.pages ?? layout.entries;
    const accounts = new PageAccounts(new PageCounts(plan, layersOf(plan, options)), this.#pages, this.batch);
    this.#sequences = new Sequences(layout, accounts, this.batch);
    this.#launches = new Launches(device, plan, this.#buffers, layout, kernels, options);
    this.#plans = new StepPlans(this.#launches, this.#sequences);
    this.#packed = new PackedCalls({ device, plan, layout, sequences: this.#sequences, launches: this.#launches, plans: this.#plans, buffers: this.#buffers });
    this.#tensors = new TensorChecks(device, plan.shape, elementType);
    this.memory = this.#buffers.memory;
    try {
      this.#launches.begin(this.#pages, orderOfPages(this.#pages, options));
      if (options.slots !== 'free') for (let slot = 0; slot < this.batch; slot += 1) this.add();
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Tokens of each slot's sequence in the cache of `layer`; -1 for a free slot. */
  lengths(layer: number): Int32Array {
    return this.#sequences.lengthsOf(this.#layer(layer).index).tokens.slice();
  }

  /** The window in tokens of each query head of `layer`, for the sequence in `slot`; those of `lengthBound` for a free slot. */
  windows(layer: number, slot = 0): Int32Array {
    const { layerClass } = this.#layer(layer).layout;
    return windowsOfHeads(layerClass, this.#boundOf(slot));
  }

  /** Length bound of each slot's sequence; 0 for a free slot. */
  lengthBounds(): Int32Array {
    this.#checkAlive();
    return this.#sequences.bounds.slice();
  }

  /** Pages of `layer` that hold a token now, over all sequences: what decode reads. */
  pagesInUse(layer: number): number {
    const { layout, index } = this.#layer(layer);
    const { pageTokens } = this.#plan.layout;
    const { layerClass } = layout;
    return this.#sequences.lengthsOf(index).tokens.reduce((sum, length, slot) => {
      const rings = windowsOfRings(layerClass, this.#boundOf(slot));
      return sum + rings.reduce((pages, { kvHeads, window }) => pages + kvHeads.length * ringPagesInUse(length, window, layerClass.sink, pageTokens), 0);
    }, 0);
  }

  /**
   * Pages of the pool: those that sequences hold, those of them that several hold, and those that are free. The host follows lengths and forks and knows no page: where pages
   * are shared, `held` and `shared` are at most what is so, and `free` at least.
   */
  usage(): SessionUsage {
    this.#checkAlive();
    const { accounts } = this.#sequences;
    const { held, shared } = accounts;
    const { pageBytes } = this.#plan.layout;
    return { pages: this.#pages, pageBytes, held, shared, free: this.#pages - held };
  }

  /**
   * Begins an empty sequence in the first free slot, and returns the slot. It takes pages as tokens come. In the order of the stream, without waiting; captured steps stay
   * good: they read who is there from device memory. Throws MOA6108 without a free slot.
   */
  add(options: AddOptions = {}): number {
    this.#checkChangeable('add');
    checkAddKeys(options);
    const { lengthBound = this.lengthBound } = options;
    if (!Number.isInteger(lengthBound) || lengthBound < 1 || lengthBound > this.lengthBound) {
      throw sessionError('badOptions', `lengthBound is ${describeValue(lengthBound)}; in this session it is an integer from 1 to ${this.lengthBound} tokens`);
    }
    const slot = this.#sequences.firstFree();
    this.#launches.changeSequence('add', slot, { value: lengthBound });
    this.#sequences.add(slot, lengthBound);
    this.#plans.forget();
    return slot;
  }

  /** Ends the sequence in `slot`: pages that it alone holds are free, and its row of a decode is ignored until another comes. In the order of the stream. */
  remove(slot: number): void {
    this.#checkChangeable('remove');
    this.#sequences.checkHeld(slot);
    this.#launches.changeSequence('remove', slot);
    this.#sequences.remove(slot);
    this.#plans.forget();
  }

  /**
   * Begins a sequence in the first free slot that is what the one in `slot` is, and returns that: for beam search, several samples of one prompt, or requests that begin with a
   * prefix that is kept. Both hold the same pages; a step that writes into one of them has it copied first. Throws MOA6108 without a free slot, and MOA6114 in the
   * middle of a step, when some layers have its new tokens and others have not.
   */
  fork(slot: number): number {
    this.#checkChangeable('fork');
    this.#sequences.checkHeld(slot);
    this.#sequences.checkBetweenSteps(slot);
    const to = this.#sequences.firstFree();
    this.#launches.changeSequence('fork', slot, { other: to });
    this.#sequences.fork(slot, to);
    this.#plans.forget();
    return to;
  }

  /**
   * Takes back the newest tokens of the sequence in `slot`, in all layers, so that it has `length` tokens. A ring keeps the last tokens of its window, so once it has gone
   * round only the newest token can be taken back, and of a plan compiled with `--slack S` so many more. Throws MOA6110, and changes nothing, where a token that
   * the next one attends is lost.
   */
  truncate(slot: number, length: number): void {
    this.#checkChangeable('truncate');
    this.#sequences.checkHeld(slot);
    if (!Number.isInteger(length) || length < 0) throw sessionError('cannotTruncate', `a sequence cannot have ${describeValue(length)} tokens`);
    this.#sequences.truncate(slot, length);
    this.#launches.changeSequence('truncate', slot, { value: length });
    this.#plans.forget();
  }

  /** @deprecated `add` */
  join(options: AddOptions = {}): number {
    return this.add(options);
  }

  /** @deprecated `remove` */
  leave(slot: number): void {
    this.remove(slot);
  }

  /**
   * Attends the new tokens of all sequences, and puts their keys and values into the cache of `layer`. Sequences may have different lengths, also none.
   * One that holds tokens goes on behind them: its new tokens attend those and each other, so a prompt may come in chunks of any length. Throws
   * when a sequence would not fit the length bound.
   */
  prefill(layer: number, tensors: PrefillTensors): void {
    const state = this.#layer(layer);
    checkPrefillKeys(tensors);
    const call = this.#packedCall(state, tensors, 'prefill');
    if (this.device.recording !== undefined) throw sessionError('capture', 'prefill of lengths that the host knows cannot be captured; step can');
    this.#packed.run(state, tensors, call);
  }

  /**
   * A step in which each sequence brings any number of new tokens: none, one (of those that generate) or many (of those whose prompt comes in chunks). They are put into the
   * cache of `layer` and attend what lies there and each other, as in `decode` and `prefill`, and a sequence's results are those of these. With `newTokens` it may be captured:
   * the captured step serves whatever numbers are set when it is launched.
   */
  step(layer: number, tensors: StepTensors): void {
    const state = this.#layer(layer);
    checkStepKeys(tensors);
    const effect = this.#effect();
    const { cuSeqlens } = tensors;
    if (cuSeqlens instanceof NewTokens && !this.#numbers.has(cuSeqlens)) throw sessionError('badCuSeqlens', 'cuSeqlens are new tokens of another session');
    if (effect === undefined) {
      this.#packed.run(state, tensors, this.#packedCall(state, tensors, 'step'));
      return;
    }
    if (!(cuSeqlens instanceof NewTokens)) throw sessionError('capture', 'a step is captured with numbers on the device: those of newTokens');
    this.#tensors.check(tensors, cuSeqlens.budget);
    const call = this.#packed.recorded(state, cuSeqlens);
    const run = this.#packed.launches(state, tensors, call);
    const before = effect.lastWritten;
    const { q, k, v, out, lse } = tensors;
    const plans = effect.addStep(state, cuSeqlens, [q, k, v, out, ...(lse === undefined ? [] : [lse])]);
    if (plans) this.#plans.launchPacked(state, call);
    run(!plans && before !== layer);
  }

  /**
   * Numbers of new tokens that lie on the device, for `step`. Allocates work lists for steps of `budget` tokens, which the session frees with everything else.
   * @param options `budget`: the most tokens of all sequences in a step, at least 1
   */
  newTokens({ budget }: { readonly budget: number }): NewTokens {
    this.#checkChangeable('newTokens');
    if (!Number.isInteger(budget) || budget < 1 || budget > 2 ** 24) throw sessionError('badOptions', `budget is ${describeValue(budget)}; it is an integer from 1 to 2^24 tokens`);
    const numbers = this.#packed.newTokens([...this.#buffers.layers.values()], budget);
    this.#numbers.add(numbers);
    return numbers;
  }

  /**
   * The launches of a prefill, in a capture, for a plan that was made before by `prefill` of the same lengths. They are right for the lengths of then, and nothing counts them: a `reset`
   * goes before each launch. For benchmarks.
   * @internal
   */
  recordPrefill(layer: number, tensors: PrefillTensors): void {
    const state = this.#layer(layer);
    const call = this.#packedCall(state, tensors, 'prefill');
    const takesPages = this.#recorded !== this.device.recording;
    this.#recorded = this.device.recording;
    this.#packed.record(state, tensors, call, takesPages);
  }

  /** A packed call, when it is legal. */
  #packedCall(state: LayerState, tensors: StepTensors, packing: 'prefill' | 'step'): PackedCall {
    const added = this.#packed.addedBy(tensors, this.lengthBound);
    const rows = tensors.cuSeqlens instanceof NewTokens ? tensors.cuSeqlens.budget : added.reduce((sum, count) => sum + count, 0);
    this.#tensors.check(tensors, rows);
    this.#sequences.checkAdded(added);
    return this.#packed.call(state, tensors, added, packing);
  }

  /**
   * What comes before the next call of `prefill`, `step` or `decode` with these tensors, and it alone: the call itself then plans nothing. For tests that count what its kernels do.
   * @internal
   */
  planAhead(layer: number, tensors: PrefillTensors | DecodeTensors): void {
    const state = this.#layer(layer);
    if ('cuSeqlens' in tensors) {
      this.#packed.plan(state, this.#packedCall(state, tensors, 'prefill'));
      return;
    }
    const lengths = this.#sequences.after(this.#sequences.lengthsOf(state.index), 1);
    const name = state.decode === undefined ? 'many' : 'one';
    this.#plans.decode(state, lengths, name, { each: 1, cuSeqlens: 0n, counts: 0n }, 1);
  }

  /**
   * Prefill's attention alone: the cache stays as it is, and nothing is rotated. For benchmarks.
   * @internal
   */
  attend(layer: number, tensors: PrefillTensors): void {
    const state = this.#layer(layer);
    this.#packed.attend(state, tensors, this.#packedCall(state, tensors, 'prefill'));
  }

  /**
   * Pairs of query and key that `attend` computes: whole pages, for whole blocks of rows. Reads the plan that was made last, of the same lengths. For benchmarks.
   * @internal
   */
  computedPairs(layer: number, tensors: PrefillTensors): number {
    const state = this.#layer(layer);
    return this.#packed.pagesOf(state, this.#packedCall(state, tensors, 'prefill')) * this.#plan.layout.pageTokens * state.prefill.definition.rows;
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
    this.#tensors.check(tensors, this.batch * tokens);
    if (this.batch === 0) return;
    const effect = this.#effect();
    const counts = given === undefined ? undefined : this.#countsOf(state, given, tokens, effect !== undefined);
    const name: DecodePlanName = tokens === 1 && state.decode !== undefined && counts === undefined ? 'one' : 'many';
    const step = { each: tokens, cuSeqlens: 0n, counts: counts?.buffer.address ?? 0n };
    if (effect === undefined) {
      const lengths = this.#sequences.after(this.#sequences.lengthsOf(state.index), counts?.fixed ?? tokens);
      this.#sequences.checkRoom(state.index, lengths);
      this.#sequences.checkPages([lengths]);
      counts?.write?.();
      this.#plans.decode(state, lengths, name, step, tokens);
      this.#launches.decode(state, tensors, name, tokens, this.#plans.mayReadEarly(layer), step.counts);
      this.#plans.writes(layer);
      this.#sequences.commit(state.index, lengths);
      return;
    }
    const { q, k, v, out, lse } = tensors;
    const all = [q, k, v, out, ...(lse === undefined ? [] : [lse]), ...(counts === undefined ? [] : [counts.buffer])];
    const before = effect.lastWritten;
    const plans = effect.addDecode(state, name, tokens, all, counts);
    if (plans) this.#launches.step(state, step, name, tokens);
    this.#launches.decode(state, tensors, name, tokens, !plans && before !== layer, step.counts);
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
      this.#plans.forget();
      return new SessionEffect({
        device: this.device,
        sequences: this.#sequences,
        checkAlive: () => this.#checkAlive(),
        wasWritten: () => this.#plans.forget(),
      });
    });
  }

  /** Forgets all tokens; sequences stay, empty. In the order of the stream. */
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
    this.#setLengths(0);
    if (length > 0) this.#launches.assumeLengths([...this.#buffers.layers.values()][0]!, this.#sequences.bounds, length);
    this.#sequences.fillAll(length);
    this.#buffers.pool.fill(byte);
  }

  #setLengths(length: number): void {
    this.#sequences.bounds.forEach((bound, slot) => {
      if (bound > 0) this.#launches.changeSequence('truncate', slot, { value: length });
    });
    this.#sequences.fillAll(length);
    this.#plans.forget();
  }

  /** The tokens that a ring holds, unswizzled, in the order of their positions. Copies a ring to the host: for tests and debugging. */
  cachedTokens(layer: number, slot: number, kvHead: number): CachedTokens {
    const { layout, index } = this.#layer(layer);
    const { tokens, reached } = this.#sequences.lengthsOf(index);
    const length = Math.max(0, tokens[slot]!);
    return readRing(this.#plan, layout, this.#buffers, { slot, bound: this.#boundOf(slot) }, kvHead, { length, reached: Math.max(length, reached[slot]!) });
  }

  /** Frees the cache. Idempotent; every other call throws afterwards, and so does a launch of a graph that this session is part of. */
  dispose(): void {
    if (this.#disposed) return;
    if (this.device.recording !== undefined && !this.device.isDisposed) throw sessionError('capture', 'dispose frees memory, which a capture does not allow');
    this.#disposed = true;
    this.#numbers.forEach((numbers) => numbers.dispose());
    this.#launches.prefillRoom.dispose();
    this.#buffers.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The length bound of a slot's sequence; of a free slot the session's. */
  #boundOf(slot: number): number {
    return this.#sequences.bounds[slot] || this.lengthBound;
  }

  #checkChangeable(call: string): void {
    this.#checkAlive();
    if (this.device.recording !== undefined) throw sessionError('capture', `${call} changes tables on the device and cannot be captured`);
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
