/** Times of work that a GPU cannot do for long at its highest clock. */
import type { Device } from 'moa-compile/runtime';

export interface RestedTime {
  readonly ms: number;
  /** What the host needed to start it. */
  readonly hostMs: number;
}

const sampleMs = 40;

/**
 * Times of `work`, one each of `samples` samples of about 40 ms. A GPU at work lowers its clock to stay within its power, so each sample begins after as long a
 * rest: `rested_ms` of bench/lib/torch_timing.py does the same. `before` each sample is not counted, and rested from; work that needs it is done once a sample.
 */
export function restedTimes(device: Device, work: () => void, samples: number, before?: () => void): RestedTime[] {
  const time = (repeats: number): RestedTime => {
    let hostMs = 0;
    const ms = device.measure(() => {
      const start = performance.now();
      for (let n = 0; n < repeats; n += 1) work();
      hostMs = performance.now() - start;
    });
    return { ms: ms / repeats, hostMs: hostMs / repeats };
  };
  before?.();
  const once = time(1).ms;
  const repeats = before === undefined ? Math.max(1, Math.round(sampleMs / once)) : 1;
  return Array.from({ length: samples }, () => {
    before?.();
    device.synchronize();
    rest(Math.max(once * repeats, sampleMs));
    return time(repeats);
  });
}

/** Nothing for so many milliseconds. */
export function rest(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
