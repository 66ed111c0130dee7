import { describeValue } from '../util/describeValue.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { Device } from './device.ts';
import { sessionError } from './sessionChecks.ts';

/** Finds an array with an entry for each slot. */
export function checkEntries(counts: ArrayLike<number>, batch: number): void {
  if (!Array.isArray(counts) && !ArrayBuffer.isView(counts)) throw sessionError('badCounts', `counts is ${describeValue(counts)}, not an array of numbers`);
  if (counts.length !== batch) throw sessionError('badCounts', `counts has ${counts.length} entries; a batch of ${batch} needs ${batch}`);
}

/** A copy of `counts`, found legal: an integer from 0 to `tokens` for each slot. */
export function checkCounts(counts: ArrayLike<number>, batch: number, tokens: number): Int32Array {
  checkEntries(counts, batch);
  for (let slot = 0; slot < batch; slot += 1) {
    const count: unknown = counts[slot];
    if (!Number.isInteger(count) || (count as number) < 0 || (count as number) > tokens) {
      throw sessionError('badCounts', `counts[${slot}] is ${describeValue(count)}; a decode of ${tokens} tokens takes 0 to ${tokens} of a sequence`);
    }
  }
  return Int32Array.from(counts);
}

/** Finds a device buffer to hold counts of a session. */
export function checkCountsBuffer(buffer: DeviceBuffer, batch: number, device: Device): void {
  const { address, tensor } = buffer; // of one that was disposed: MOA6005
  if (!device.owns(buffer)) throw sessionError('badCounts', 'counts is memory of another device');
  if (tensor !== undefined) throw sessionError('badCounts', `counts holds ${tensor.elementType}; int32 is needed`);
  if (buffer.bytes < batch * 4 || address % 4n !== 0n) throw sessionError('badCounts', `counts has ${buffer.bytes} bytes; ${batch} aligned words of 4 are needed`);
}

/** The counts that lie in a device buffer now. Waits for what was launched. */
export function readCounts(buffer: DeviceBuffer, batch: number, tokens: number): Int32Array {
  return checkCounts(buffer.read(new Int32Array(batch)), batch, tokens);
}
