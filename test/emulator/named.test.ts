import { expect, test } from 'vitest';

import { Kernel, seeds, Status, unwritten, wordsOf, type LaunchSpec } from './harness.ts';

const kernel = new Kernel('named');
const spec = (mode: number): LaunchSpec => ({
  buffers: [unwritten(4 * 320)],
  params: [{ buffer: 0 }, { i32: mode }],
  threads: 160,
  sharedBytes: 512,
});
const words = (bytes: Uint8Array | undefined): Uint32Array => wordsOf(bytes as Uint8Array);

test('some warps meet without the others', () => {
  for (const result of kernel.launches(spec(0), seeds(50))) {
    expect(result).toMatchObject({ status: Status.ok, findings: [], counters: { namedBarriers: 2 + 4, blockBarriers: 0 } });
    for (let thread = 0; thread < 128; thread += 1) {
      const partner = thread < 64 ? (thread + 32) % 64 : 64 + ((thread - 32) % 64);
      expect(words(result.buffers[0])[thread]).toBe(partner);
      if (thread >= 64) expect(words(result.buffers[0])[160 + thread]).toBe(1000 + partner);
    }
  }
});

test('two groups take turns', () => {
  for (const result of kernel.launches(spec(11), seeds(50))) {
    expect(result).toMatchObject({ status: Status.ok, findings: [], counters: { namedBarriers: 12 } });
    for (let thread = 0; thread < 128; thread += 1) expect(words(result.buffers[0])[thread]).toBe(thread < 64 ? 10 : 11);
  }
});

test('those who wait see what those who only arrived wrote', () => {
  for (const result of kernel.launches(spec(12), seeds(50))) {
    expect(result).toMatchObject({ status: Status.ok, findings: [], counters: { namedBarriers: 1 } });
    expect(words(result.buffers[0]).subarray(0, 96)).toEqual(Uint32Array.from({ length: 96 }, (_, i) => i));
  }
});

test.each([
  [1, 'named-barrier', /namedBarrier\(1, (64|160)\) while another is at namedBarrier\(1, (64|160)\), .*named\.cu:\d+/],
  [2, 'named-barrier', /namedBarrier\(3, 160\) while another is at namedBarrier\(3, 160\), .*named\.cu:\d+/],
  [3, 'named-barrier', /namedBarrier\(0, 160\): the id is 1 to 15/],
  [4, 'named-barrier', /namedBarrier\(16, 160\): the id is 1 to 15/],
  [5, 'named-barrier', /namedBarrier\(1, 40\): .* whole warps/],
  [6, 'named-barrier', /namedBarrier\(1, 192\): .* the block's 160 threads/],
  [7, 'deadlock', /no warp can run: 2 wait here at namedBarrier 5 for 96 threads/],
  [8, 'deadlock', /no warp can run: (2 wait here at namedBarrier 5|3 wait here at blockBarrier)/],
  [9, 'divergence', /namedBarrier with other arguments than lane 0/],
  [13, 'named-barrier', /namedBarrierArrive\(1, 160\): the warp has arrived before, and 32 of 160 threads have come/],
  [14, 'named-barrier', /namedBarrier\(1, 160\): the warp has arrived before, and 32 of 160 threads have come/],
  [15, 'named-barrier', /namedBarrier(Arrive\(1, 64\) while another is at namedBarrier\(1, 160\)|\(1, 160\) while another is at namedBarrierArrive\(1, 64\))/],
  [16, 'named-barrier', /namedBarrierArrive\(0, 160\): the id is 1 to 15/],
])('mode %i ends as a %s, for every seed', (mode, kind, message) => {
  for (const result of kernel.launches(spec(mode), seeds(20))) {
    expect(result.status).toBe(Status.aborted);
    for (const finding of result.findings) {
      expect(finding.kind).toBe(kind);
      expect(finding.message).toMatch(message);
      expect(finding.message).toMatch(/named\.cu:\d+: block 0 thread \d+ \(warp \d lane \d+\): /);
    }
    expect(result.findings).toHaveLength(mode === 8 ? 2 : 1);
  }
});

test('a barrier too few shows within a few seeds', () => {
  const wrong = kernel.launches(spec(10), seeds(20)).filter((result) => {
    const out = words(result.buffers[0]);
    return out.subarray(0, 4 * 64).some((word, i) => word !== Math.floor(i / 64) * 1000 + ((i + 32) % 64));
  });
  expect(wrong.length).toBeGreaterThan(5);
});
