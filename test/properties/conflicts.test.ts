/** No access to shared memory conflicts: the emulator names the line of one that does. */
import { describe, expect, test } from 'vitest';
import type { Case } from './case.ts';
import { outputsOf } from './outputs.ts';
import { smallShapes } from './shapes.ts';
import { target } from './suite.ts';

describe('shared memory', () => {
  test.each(Object.keys(smallShapes))('%s: no bank conflicts', { timeout: 300_000 }, async (shape) => {
    const heads = smallShapes[shape as keyof typeof smallShapes].queryHeads;
    const testCase: Case = { shape, rules: [Array.from({ length: heads }, (_, head) => [head % 2 === 0 ? 128 : 192, 0, 1] as const)], bound: 400, prefill: [130, 7], decodes: 2, lane: 'normal', seed: 5, clean: true };
    await outputsOf(target, testCase, { device: { failOnBankConflict: true, multiprocessors: 8 } });
    const device = await target.device({ failOnBankConflict: true, multiprocessors: 8 });
    expect(device.counters.bankConflicts).toBe(0);
  });
});
