import type { DeviceBuffer } from './buffer.ts';
import { checkCounts, readCounts } from './decodeCounts.ts';
import type { PlacedSegments } from './decodeSchedules.ts';
import type { Device } from './device.ts';
import type { GraphEffect } from './recording.ts';
import { usedAfterDispose } from './runtimeError.ts';
import type { Sequences } from './sequences.ts';
import type { LayerState } from './sessionBuffers.ts';

/** What an effect needs of its session. */
export interface SessionMirrors {
  readonly device: Pick<Device, 'freedBuffers'>;
  readonly sequences: Sequences;
  /** Throws MOA6005 after the session's dispose. */
  checkAlive(): void;
  /** Brings a decode schedule to the device, if it is not there as it should be. */
  refreshSchedule(schedule: PlacedSegments): void;
  /** Something other than an eager call of the session has written its state. */
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

interface CountedDecode {
  readonly index: number;
  readonly tokens: number;
  readonly counts: RecordedCounts;
}

/**
 * A session in a graph: the tokens that each launch adds to its layers. They are checked against length bounds before a launch and counted after it, for all sessions
 * of the graph alike, also those that did not capture it.
 */
export class SessionEffect implements GraphEffect {
  /** The layer that the graph's last launch of this session wrote; none before the first: a graph begins when all before it has ended. */
  lastWritten: number | 'none' = 'none';
  readonly #mirrors: SessionMirrors;
  /** Tokens of every sequence, by the layer's number among those of the session. */
  readonly #added = new Map<number, number>();
  /** Decodes with a count for each sequence: as recorded, or as they lie in a device buffer when the graph is launched. */
  readonly #counted: CountedDecode[] = [];
  /** What the launch that was checked last adds to layers with counts, by slot. */
  #checked = new Map<number, Int32Array>();
  readonly #schedules = new Set<PlacedSegments>();
  readonly #tensors = new Set<DeviceBuffer>();
  /** Launches that fit, and the change of the sequences since which that holds: steps of a loop need not look at every length before each launch. */
  #fitting = 0;
  #fittingSince = -1;
  /** Buffers that the device had freed when all tensors were found alive. */
  #aliveSince = -1;

  constructor(mirrors: SessionMirrors) {
    this.#mirrors = mirrors;
  }

  /** A decode of so many tokens was recorded. */
  addDecode({ index, layout }: LayerState, tokens: number, schedule: PlacedSegments, tensors: readonly DeviceBuffer[], counts?: RecordedCounts): void {
    if (counts === undefined) this.#added.set(index, (this.#added.get(index) ?? 0) + tokens);
    else this.#counted.push({ index, tokens, counts });
    this.#schedules.add(schedule);
    tensors.forEach((tensor) => this.#tensors.add(tensor));
    this.lastWritten = layout.layer;
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
    if (this.#fitting > 0 && this.#fittingSince === sequences.changes) return;
    this.#checked = this.#withCounts();
    this.#added.forEach((tokens, index) => {
      if (!this.#checked.has(index)) sequences.checkRoom(index, tokens);
    });
    this.#checked.forEach((tokens, index) => sequences.checkRoom(index, tokens));
    if (this.#counted.length > 0) return; // what they add is not known before each launch
    this.#fitting = Infinity;
    this.#added.forEach((tokens, index) => (this.#fitting = Math.min(this.#fitting, sequences.timesThatFit(index, tokens))));
    this.#fittingSince = sequences.changes;
  }

  /** All tokens of the layers that have a decode with counts. A device buffer is read once. */
  #withCounts(): Map<number, Int32Array> {
    const { sequences } = this.#mirrors;
    const read = new Map<DeviceBuffer, Int32Array>();
    const all = new Map<number, Int32Array>();
    for (const { index, tokens, counts } of this.#counted) {
      let sum = all.get(index);
      if (sum === undefined) all.set(index, (sum = new Int32Array(sequences.bounds.length).fill(this.#added.get(index) ?? 0)));
      const { buffer, fixed } = counts;
      const values = fixed ?? checkCounts(read.get(buffer) ?? readCounts(buffer, sum.length, tokens), sum.length, tokens);
      if (fixed === undefined) read.set(buffer, values);
      values.forEach((count, slot) => (sum[slot]! += count));
    }
    return all;
  }

  prepare(): void {
    this.#counted.forEach(({ counts }) => counts.write?.());
    this.#schedules.forEach((schedule) => this.#mirrors.refreshSchedule(schedule));
  }

  count(): void {
    this.#mirrors.wasWritten();
    const { sequences } = this.#mirrors;
    this.#added.forEach((tokens, index) => {
      if (!this.#checked.has(index)) sequences.advanceAll(index, tokens);
    });
    this.#checked.forEach((tokens, index) => sequences.advanceAll(index, tokens));
    this.#fitting -= 1;
    this.#fittingSince = sequences.changes;
  }
}
