import type { DeviceBuffer } from './buffer.ts';
import { checkCounts, readCounts } from './decodeCounts.ts';
import type { Device } from './device.ts';
import type { DecodePlanName } from './launches.ts';
import type { GraphEffect } from './recording.ts';
import { usedAfterDispose } from './runtimeError.ts';
import type { AddedTokens, Lengths, Sequences } from './sequences.ts';
import type { LayerState } from './sessionBuffers.ts';

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

/** New tokens of a recorded call: of every sequence, or by counts. */
interface RecordedTokens {
  readonly tokens: number;
  readonly counts: RecordedCounts | undefined;
  /** Equal ones have equal names. */
  readonly key: string;
}

/**
 * A session in a graph: the tokens that each launch adds to its layers. They are checked against length bounds and the pool before a launch and counted after it, for all
 * sessions of the graph alike, also those that did not capture it.
 */
export class SessionEffect implements GraphEffect {
  /** The layer that the graph's last launch of this session wrote; none before the first: a graph begins when all before it has ended. */
  lastWritten: number | 'none' | 'plan' = 'none';
  readonly #mirrors: SessionMirrors;
  /** By the layer's number among those of the session: what it gets, call by call. */
  readonly #added = new Map<number, RecordedTokens[]>();
  /** For which tokens the graph has planned last: what a layer had got so far, and gets. */
  readonly #planned = new Map<DecodePlanName, string>();
  /** The first layer with each such plan: layers that use it are to have its lengths when the graph is launched. */
  readonly #planners = new Map<string, number>();
  readonly #inStep: { readonly layer: number; readonly as: number }[] = [];
  readonly #tensors = new Set<DeviceBuffer>();
  readonly #numbers = new Map<DeviceBuffer, number>();
  /** What the launch that was checked last leads to. */
  #checked: readonly { readonly layer: number; readonly lengths: Lengths }[] = [];
  /** Buffers that the device had freed when all tensors were found alive. */
  #aliveSince = -1;

  constructor(mirrors: SessionMirrors) {
    this.#mirrors = mirrors;
  }

  /** A decode of so many tokens is recorded. Returns whether it has to be planned first: no layer before it got the same. */
  addDecode({ index, layout }: LayerState, name: DecodePlanName, tokens: number, tensors: readonly DeviceBuffer[], counts?: RecordedCounts): boolean {
    const key = `${tokens} ${counts === undefined ? '' : (counts.fixed?.join() ?? `buffer ${this.#numberOf(counts.buffer)}`)}`;
    let calls = this.#added.get(index);
    if (calls === undefined) this.#added.set(index, (calls = []));
    calls.push({ tokens, counts, key });
    tensors.forEach((tensor) => this.#tensors.add(tensor));
    const step = `${name}: ${calls.map((call) => call.key).join('; ')}`;
    const planner = this.#planned.get(name) === step ? this.#planners.get(step)! : index;
    const plans = planner === index || !this.#mirrors.sequences.areInStep(planner, index);
    if (plans) {
      this.#planned.set(name, step);
      this.#planners.set(step, index);
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
      for (const { tokens, counts } of calls) lengths = sequences.after(lengths, this.#tokensOf(tokens, counts, read));
      sequences.checkRoom(layer, lengths);
      checked.push({ layer, lengths });
    });
    sequences.checkPages(checked.map(({ lengths }) => lengths));
    this.#checked = checked;
  }

  #tokensOf(tokens: number, counts: RecordedCounts | undefined, read: Map<DeviceBuffer, Int32Array>): AddedTokens {
    if (counts === undefined) return tokens;
    if (counts.fixed !== undefined) return counts.fixed;
    const { slots } = this.#mirrors.sequences;
    const values = checkCounts(read.get(counts.buffer) ?? readCounts(counts.buffer, slots, tokens), slots, tokens);
    read.set(counts.buffer, values);
    return values;
  }

  prepare(): void {
    this.#mirrors.sequences.reserve(this.#checked.map(({ lengths }) => lengths));
    for (const calls of this.#added.values()) for (const { counts } of calls) counts?.write?.();
  }

  count(): void {
    this.#mirrors.wasWritten();
    for (const { layer, lengths } of this.#checked) this.#mirrors.sequences.commit(layer, lengths);
  }

  #numberOf(buffer: DeviceBuffer): number {
    let number = this.#numbers.get(buffer);
    if (number === undefined) this.#numbers.set(buffer, (number = this.#numbers.size));
    return number;
  }
}
