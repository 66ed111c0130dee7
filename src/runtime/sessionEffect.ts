import type { DeviceBuffer } from './buffer.ts';
import type { PlacedSegments } from './decodeSchedules.ts';
import type { GraphEffect } from './recording.ts';
import { usedAfterDispose } from './runtimeError.ts';
import type { Sequences } from './sequences.ts';
import type { LayerState } from './sessionBuffers.ts';

/** What an effect needs of its session. */
export interface SessionMirrors {
  readonly sequences: Sequences;
  /** Throws MOA6005 after the session's dispose. */
  checkAlive(): void;
  /** Brings a decode schedule to the device, if it is not there as it should be. */
  refreshSchedule(schedule: PlacedSegments): void;
  /** Something other than an eager call of the session has written its state. */
  wasWritten(): void;
}

/**
 * A session in a graph: the tokens that each launch adds to its layers. They are checked against length bounds before a launch and counted after it, for all sessions
 * of the graph alike, whoever captured it.
 */
export class SessionEffect implements GraphEffect {
  /** The layer that the graph's last launch of this session wrote; none before the first: a graph begins when all before it has ended. */
  lastWritten: number | 'none' = 'none';
  readonly #mirrors: SessionMirrors;
  /** Tokens of each sequence, by the layer's number among those of the session. */
  readonly #added = new Map<number, number>();
  readonly #schedules = new Set<PlacedSegments>();
  readonly #tensors = new Set<DeviceBuffer>();

  constructor(mirrors: SessionMirrors) {
    this.#mirrors = mirrors;
  }

  /** A decode of so many tokens was recorded. */
  addDecode({ index, layout }: LayerState, tokens: number, schedule: PlacedSegments, tensors: readonly DeviceBuffer[]): void {
    this.#added.set(index, (this.#added.get(index) ?? 0) + tokens);
    this.#schedules.add(schedule);
    tensors.forEach((tensor) => this.#tensors.add(tensor));
    this.lastWritten = layout.layer;
  }

  checkAlive(): void {
    this.#mirrors.checkAlive();
    for (const tensor of this.#tensors) if (tensor.isFreed) throw usedAfterDispose('buffer');
  }

  check(): void {
    this.#added.forEach((tokens, index) => this.#mirrors.sequences.checkRoom(index, tokens));
  }

  prepare(): void {
    this.#schedules.forEach((schedule) => this.#mirrors.refreshSchedule(schedule));
  }

  count(): void {
    this.#mirrors.wasWritten();
    this.#added.forEach((tokens, index) => this.#mirrors.sequences.advanceAll(index, tokens));
  }
}
