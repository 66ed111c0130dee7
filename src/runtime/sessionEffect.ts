import type { DeviceBuffer } from './buffer.ts';
import { checkCounts, readCounts } from './decodeCounts.ts';
import type { Device } from './device.ts';
import type { DecodePlanName } from './launches.ts';
import type { GraphEffect } from './recording.ts';
import { usedAfterDispose } from './runtimeError.ts';
import type { NewTokens } from './newTokens.ts';
import type { AddedTokens, Lengths, Sequences } from './sequences.ts';
import type { LayerState } from './sessionBuffers.ts';
import type { PlanName } from './stepPlans.ts';

/** What an effect needs of its session. */
export interface SessionMirrors {
  readonly device: Pick<Device, 'freedBuffers'>;
  readonly sequences: Sequences;
  /** Throws MOA6005 after the session's dispose. */
  checkAlive(): void;
  /** Something other than an eager call of the session has written its state, and its plans. */
  wasWritten(): void;
}

/** Counts of a recorded decode. */
export interface RecordedCounts {
  /** Where the launches read them. */
  readonly buffer: DeviceBuffer;
  /** Those of every launch, where the recording was given an array. */
  readonly fixed?: Int32Array;
  /** Brings them to the device, once. */
  readonly write?: () => void;
}

/** New tokens of a recorded call. */
interface RecordedTokens {
  /** Equal ones have equal names. */
  readonly key: string;
  /** Those of a launch. `read`: what was read from the device for it. */
  readonly of: (read: Map<DeviceBuffer, Int32Array>) => AddedTokens;
  /** Brings them to the device, once. */
  readonly write?: (() => void) | undefined;
}

/**
 * A session in a graph: the tokens that each launch adds to its layers. They are checked against length bounds and the pool before a launch and counted after it, for all
 * sessions of the graph alike, also those that did not capture it.
 */
export class SessionEffect implements GraphEffect {
  /** The layer that the graph's last launch of this session wrote; none before the first: a graph begins when all before it has ended. */
  lastWritten: number | 'none' = 'none';
  readonly #mirrors: SessionMirrors;
  /** By the layer's number among those of the session: what it gets, call by call. */
  readonly #added = new Map<number, RecordedTokens[]>();
  /** For which tokens the graph has planned last: what a layer had got so far, and gets. */
  readonly #planned = new Map<PlanName, string>();
  /** The first layer with each such plan: layers that use it are to have its lengths when the graph is launched. */
  readonly #planners = new Map<string, number>();
  readonly #inStep: { readonly layer: number; readonly as: number }[] = [];
  readonly #tensors = new Set<DeviceBuffer>();
  readonly #numbers = new Map<DeviceBuffer, number>();
  /** What the launch that was checked last leads to. */
  #checked: readonly { readonly layer: number; readonly lengths: Lengths }[] = [];
  #lengths: readonly Lengths[] = [];
  /** Buffers that the device had freed when all tensors were found alive. */
  #aliveSince = -1;

  constructor(mirrors: SessionMirrors) {
    this.#mirrors = mirrors;
  }

  /** A decode of so many tokens is recorded. Returns whether it has to be planned first: no layer before it got the same. */
  addDecode(state: LayerState, name: DecodePlanName, tokens: number, tensors: readonly DeviceBuffer[], counts?: RecordedCounts): boolean {
    const of = (read: Map<DeviceBuffer, Int32Array>): AddedTokens => this.#countsOf(tokens, counts, read);
    const key = `${tokens} ${counts === undefined ? '' : (counts.fixed?.join() ?? `buffer ${this.#numberOf(counts.buffer)}`)}`;
    return this.#add(state, name, tensors, { key, of, write: counts?.write });
  }

  /** A step of numbers that lie on the device is recorded, likewise. */
  addStep(state: LayerState, numbers: NewTokens, tensors: readonly DeviceBuffer[]): boolean {
    const key = `numbers ${this.#numberOf(numbers.cuSeqlens)}`;
    const of = (): AddedTokens => {
      this.#mirrors.sequences.checkAdded(numbers.current);
      return numbers.current;
    };
    const plans = this.#add(state, 'packed', [...tensors, numbers.cuSeqlens], { key, of });
    // The plan of a decode of one token has the same memory.
    if (plans) this.#planned.delete('one');
    return plans;
  }

  #add({ index, layout }: LayerState, name: PlanName, tensors: readonly DeviceBuffer[], tokens: RecordedTokens): boolean {
    let calls = this.#added.get(index);
    if (calls === undefined) this.#added.set(index, (calls = []));
    calls.push(tokens);
    tensors.forEach((tensor) => this.#tensors.add(tensor));
    const step = `${name}: ${calls.map((call) => call.key).join('; ')}`;
    const planner = this.#planned.get(name) === step ? this.#planners.get(step)! : index;
    const plans = planner === index || !this.#mirrors.sequences.areInStep(planner, index);
    if (plans) {
      this.#planned.set(name, step);
      this.#planners.set(step, index);
      if (name === 'one') this.#planned.delete('packed');
    } else {
      this.#inStep.push({ layer: index, as: planner });
    }
    this.lastWritten = layout.layer;
    return plans;
  }

  checkAlive(): void {
    this.#mirrors.checkAlive();
    const { freedBuffers } = this.#mirrors.device;
    if (freedBuffers === this.#aliveSince) return;
    for (const tensor of this.#tensors) if (tensor.isFreed) throw usedAfterDispose('buffer');
    this.#aliveSince = freedBuffers;
  }

  check(): void {
    const { sequences } = this.#mirrors;
    for (const { layer, as } of this.#inStep) sequences.bringInStep(layer, as);
    const read = new Map<DeviceBuffer, Int32Array>();
    const checked: { readonly layer: number; readonly lengths: Lengths }[] = [];
    this.#added.forEach((calls, layer) => {
      let lengths = sequences.lengthsOf(layer);
      for (const { of } of calls) lengths = sequences.after(lengths, of(read));
      sequences.checkRoom(layer, lengths);
      checked.push({ layer, lengths });
    });
    this.#checked = checked;
    // Layers in step have the same object.
    this.#lengths = [...new Set(checked.map(({ lengths }) => lengths))];
    sequences.checkPages(this.#lengths);
  }

  #countsOf(tokens: number, counts: RecordedCounts | undefined, read: Map<DeviceBuffer, Int32Array>): AddedTokens {
    if (counts === undefined) return tokens;
    if (counts.fixed !== undefined) return counts.fixed;
    const { slots } = this.#mirrors.sequences;
    const values = checkCounts(read.get(counts.buffer) ?? readCounts(counts.buffer, slots, tokens), slots, tokens);
    read.set(counts.buffer, values);
    return values;
  }

  prepare(): void {
    for (const calls of this.#added.values()) for (const { write } of calls) write?.();
  }

  count(): void {
    this.#mirrors.wasWritten();
    this.#mirrors.sequences.reserve(this.#lengths);
    for (const { layer, lengths } of this.#checked) this.#mirrors.sequences.commit(layer, lengths);
  }

  #numberOf(buffer: DeviceBuffer): number {
    let number = this.#numbers.get(buffer);
    if (number === undefined) this.#numbers.set(buffer, (number = this.#numbers.size));
    return number;
  }
}
