/** Graphs of several sessions: mirrors change when work is launched, for every session in the graph (graphHistory.ts). */
import { describe, expect, test } from 'vitest';
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

  test('and everything happened', () => {
    const rarest = ['decode', 'prefill', 'capture', 'launch', 'join', 'leave', 'truncate', 'reset', 'dispose', 'several sessions', 'counts eager', 'counts of an array', 'counts of a buffer', 'MOA6005', 'MOA6101', 'MOA6113'];
    console.log(rarest.map((what) => `${what} ${met.get(what) ?? 0}`).join(', '));
    for (const what of rarest) expect(met.get(what) ?? 0, what).toBeGreaterThan(0);
  });
});
