import { expect, test } from 'vitest';

import { Kernel, seeds, Status, unwritten, wordsOf, type LaunchSpec } from './harness.ts';

const kernel = new Kernel('convergence');
const spec = (mode: number): LaunchSpec => ({ buffers: [unwritten(512)], params: [{ buffer: 0 }, { i32: mode }], threads: 128 });

test('warps need not do the same', () => {
  for (const result of kernel.launches(spec(0), seeds(10))) {
    expect(result).toMatchObject({ status: Status.ok, findings: [] });
    expect([...wordsOf(result.buffers[0] as Uint8Array)]).toEqual(Array.from({ length: 128 }, () => 1));
  }
});

test.each([
  [1, 'divergence', /arrives at shuffle while other lanes of its warp wait at shuffle, .*convergence\.cu:\d+/],
  [2, 'divergence', /arrives at (shuffle|a vote) while other lanes of its warp wait at (shuffle|a vote)/],
  [3, 'divergence', /the 1 lanes of its warp that have exited|lane 7\): the thread exits while \d+ lanes/],
  [4, 'divergence', /arrives at (blockBarrier|warpBarrier) while/],
  [5, 'divergence', /arrives at blockBarrier while other lanes of its warp wait at blockBarrier/],
  [6, 'divergence', /at this blockBarrier while another is at .*convergence\.cu:\d+/],
  [7, 'deadlock', /waits at blockBarrier for 1 warps that have exited|warp 2 .*exits while \d warps wait here/],
  [8, 'deadlock', /exit/],
  [9, 'deadlock', /exit/],
  [10, 'divergence', /shuffle/],
])('mode %i ends as a %s, for every seed', (mode, kind, message) => {
  for (const result of kernel.launches(spec(mode), seeds(20))) {
    expect(result.status).toBe(Status.aborted);
    expect(result.findings.map((finding) => finding.kind)).toEqual([kind]);
    expect(result.findings[0]?.message).toMatch(message);
    expect(result.findings[0]?.message).toMatch(/convergence\.cu:\d+: block 0 thread \d+ \(warp \d lane \d+\): /);
  }
});
