import { expect, test } from 'vitest';

import { Kernel, unwritten, type LaunchSpec } from './harness.ts';

const kernel = new Kernel('speed');
const source = new Uint8Array(64 * 64 * 2).fill(0x11);

interface Work {
  readonly copies: number;
  readonly loads: number;
  readonly products: number;
  readonly shuffles: number;
}

/** Each of the 4 warps does this work `steps` times. */
function spec(steps: number, work: Work): LaunchSpec {
  const counts = [steps, work.copies, work.loads, work.products, work.shuffles];
  return {
    buffers: [source, unwritten(4 * 128)],
    params: [{ buffer: 0 }, { buffer: 1 }, ...counts.map((i32) => ({ i32 }))],
    threads: 128,
    sharedBytes: source.length,
  };
}

const none: Work = { copies: 0, loads: 0, products: 0, shuffles: 0 };
const best = (steps: number, work: Work): number => Math.min(...kernel.time(spec(steps, work), 3));

test('operations are cheap enough for whole prefills', () => {
  const steps = 50;
  const idle = best(steps, none);
  const each = (work: Partial<Work>, operations: number): number => (best(steps, { ...none, ...work }) - idle) / (steps * operations);
  const nanoseconds = {
    blockBarrier: idle / (steps * 2),
    mma: each({ products: 64 }, 4 * 64),
    ldmatrix: each({ loads: 64 }, 4 * 64),
    shuffle: each({ shuffles: 64 }, 4 * 64),
    cpAsync: each({ copies: 8 }, 128 * 8),
  };
  console.log(Object.entries(nanoseconds).map(([name, ns]) => `${name} ${ns.toFixed(0)} ns`).join(', '));
  // Generous, because tests share the machine: these catch an emulator that has become unusable, not one that is a little slower.
  expect(nanoseconds.mma).toBeLessThan(6000);
  expect(nanoseconds.ldmatrix).toBeLessThan(6000);
  expect(nanoseconds.cpAsync).toBeLessThan(1000);
});

test('a launch as big as a 512-token prefill of 4 heads takes about a second or less', () => {
  const steps = 310;
  const prefill = spec(steps, { copies: 8, loads: 48, products: 64, shuffles: 4 });
  const result = kernel.launch(prefill, 1);
  const time = kernel.time(prefill, 2);
  expect(result.counters['mma']).toBe(4 * 64 * steps);
  expect(result.counters['ldmatrix']).toBe(4 * 48 * steps);
  console.log(`${result.counters['mma']} mma, ${result.counters['ldmatrix']} ldmatrix: ${(Math.min(...time) / 1e6).toFixed(0)} ms`);
  expect(Math.min(...time)).toBeLessThan(4e9);
});
