/** What the host makes room for, before it knows what the device plans. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sinkWindow } from '../../src/mask/sinkWindow.ts';
import { prefillNeeds } from '../../src/runtime/prefillRoom.ts';
import { prefillPlan } from '../spec/prefillPlan.ts';

const cases = fc.integer({ min: 1, max: 4 }).chain((sequences) =>
  fc.record({
    sink: fc.constantFrom(0, 4, 64, 100),
    rows: fc.constantFrom(64, 128, 192),
    blocks: fc.integer({ min: 1, max: 12 }),
    splitPages: fc.integer({ min: 2, max: 9 }),
    splitShare: fc.constantFrom([1, 2], [1, 1], [1, 8]) as fc.Arbitrary<readonly [number, number]>,
    window: fc.oneof(fc.integer({ min: 28, max: 300 }), fc.constantFrom(64, 128, 640)),
    slack: fc.integer({ min: 0, max: 70 }),
    added: fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 500 })), { minLength: sequences, maxLength: sequences }),
    cached: fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 900 })), { minLength: sequences, maxLength: sequences }),
  }),
);

test('a plan has no more items and parts than the host makes room for', () => {
  fc.assert(
    fc.property(cases, ({ sink, rows, blocks, splitPages, splitShare, window, slack, added, cached }) => {
      const queryHeads = 2;
      const cuSeqlens = [0];
      for (const tokens of added) cuSeqlens.push(cuSeqlens.at(-1)! + tokens);
      const cut = {
        rows, sink, page: 64, sectionBytes: Infinity, tokenBytes: 1, blocks, byCost: true, splitPages, fewest: 1,
        splitShare: { numerator: splitShare[0], denominator: splitShare[1] },
      };
      const batch = { cuSeqlens, cached, rings: added.flatMap((_, slot) => [100 * slot, window + slack]), kvHeads: 1, windows: added.flatMap(() => Array.from({ length: queryHeads }, () => window)) };
      const { count, parts } = prefillPlan(cut, sinkWindow(sink), batch);
      const plan = { shape: { queryHeads }, prefill: { byCost: true, splitPages, splitShare }, layout: { pageTokens: 64 } } as unknown as Parameters<typeof prefillNeeds>[0];
      const needs = prefillNeeds(plan, { rows, blocksPerSm: 1, partialFloats: 1 }, blocks, added.map((tokens, slot) => ({ added: tokens, cached: cached[slot]! })));
      expect(parts).toBeLessThanOrEqual(needs.parts);
      expect(count).toBeLessThanOrEqual(needs.items);
    }),
    { numRuns: 400, examples: [[{ sink: 4, rows: 192, blocks: 8, splitPages: 2, splitShare: [1, 2], window: 128, slack: 0, added: [18], cached: [108] }]] },
  );
});
