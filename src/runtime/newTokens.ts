/** How many tokens a step brings to each sequence, on the device: what a captured step reads. */
import { describeValue } from '../util/describeValue.ts';
import type { DeviceBuffer } from './buffer.ts';
import { checkEntries } from './decodeCounts.ts';
import type { PrefillRoom } from './prefillRoom.ts';
import { sessionError } from './sessionChecks.ts';

/**
 * New tokens of each slot for steps of one session (`Session.newTokens`). Steps that were recorded with it serve whatever numbers it holds when they are launched. `set` is
 * in the order of the stream: launches before it had the numbers before.
 */
export class NewTokens implements Disposable {
  /** The most tokens of all slots together: rows of the tensors of a step. */
  readonly budget: number;
  /** `[batch + 1]` int32 on the device: the first row of each slot, and the end of the last one's. For kernels of your own to read. */
  readonly cuSeqlens: DeviceBuffer;
  /** Work lists of prefills of so many tokens. @internal */
  readonly room: PrefillRoom;
  #counts: Int32Array;

  /** Use `Session.newTokens`. */
  constructor(batch: number, budget: number, cuSeqlens: DeviceBuffer, room: PrefillRoom) {
    this.budget = budget;
    this.cuSeqlens = cuSeqlens;
    this.room = room;
    this.#counts = new Int32Array(batch);
  }

  /** Tokens of each slot, as they were set last. */
  get counts(): Int32Array {
    return this.#counts.slice();
  }

  /** The same, not to be changed. @internal */
  get current(): Int32Array {
    return this.#counts;
  }

  /**
   * @param counts `[batch]` integers from 0, together at most the budget. Slots without a sequence have 0. Copied, without waiting
   */
  set(counts: ArrayLike<number>): void {
    const batch = this.#counts.length;
    checkEntries(counts, batch);
    const ends = new Int32Array(batch + 1);
    let total = 0;
    for (let slot = 0; slot < batch; slot += 1) {
      const count: unknown = counts[slot];
      if (!Number.isInteger(count) || (count as number) < 0) throw sessionError('badCounts', `counts[${slot}] is ${describeValue(count)}`);
      total += count as number;
      if (total > this.budget) throw sessionError('badCounts', `the counts up to slot ${slot} are ${total} tokens together; the budget is ${this.budget}`);
      ends[slot + 1] = total;
    }
    this.cuSeqlens.write(ends);
    this.#counts = Int32Array.from(counts);
  }

  /** Frees its memory. Steps that were recorded with it cannot be launched afterwards. Idempotent; the session's end is its own too. */
  dispose(): void {
    this.cuSeqlens.dispose();
    this.room.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
