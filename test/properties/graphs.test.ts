/** Graphs of several sessions: mirrors change when work is launched, for every session in the graph (graphHistory.ts). */
import { describe, expect, test } from 'vitest';
import type { DeviceBuffer } from '../../src/runtime/buffer.ts';
import { fixedHistory, graphSpec, historyArbitrary, runHistory, type Met } from './graphHistory.ts';
import { Suite, target, timeout } from './suite.ts';

describe('graphs of two or three sessions', () => {
  const suite = new Suite('graphs');
  const met: Met = new Map();

  test('count what they launch, and launch nothing that one of them has no room for', { timeout }, async () => {
    const device = await target.device({ multiprocessors: 8 });
    using plan = await target.load(device, graphSpec);
    runHistory(device, plan, 2, fixedHistory, { met });
    await suite.property(historyArbitrary, 60, async ([sessions, steps]) => {
      suite.count();
      runHistory(device, plan, sessions, steps, { met });
    });
  });

  test('a tensor that ends between two launches is noticed, and nothing is counted', { timeout }, async () => {
    const device = await target.device({ multiprocessors: 8 });
    using plan = await target.load(device, graphSpec);
    const { queryHeads, kvHeads, headDim } = plan.definition.shape;
    using session = plan.createSession({ batch: 1, lengthBound: 64 });
    const zeros = (heads: number): DeviceBuffer => device.alloc(heads * headDim * 2).fill(0);
    const given = { q: zeros(queryHeads), k: zeros(kvHeads), v: zeros(kvHeads), out: zeros(queryHeads) };
    using step = session.capture(() => session.decode(0, given));
    step.launch();
    zeros(1).dispose(); // another's
    step.launch();
    expect(session.lengths(0)).toEqual(Int32Array.of(2));
    given.v.dispose();
    expect(() => step.launch()).toThrow(expect.objectContaining({ code: 'MOA6005' }));
    expect(session.lengths(0)).toEqual(Int32Array.of(2));
    for (const buffer of Object.values(given)) buffer.dispose();
  });

  test('and everything happened', () => {
    const rarest = ['decode', 'prefill', 'capture', 'launch', 'join', 'leave', 'truncate', 'reset', 'dispose', 'several sessions', 'counts eager', 'counts of an array', 'counts of a buffer', 'MOA6005', 'MOA6101', 'MOA6113'];
    console.log(rarest.map((what) => `${what} ${met.get(what) ?? 0}`).join(', '));
    for (const what of rarest) expect(met.get(what) ?? 0, what).toBeGreaterThan(0);
  });
});
