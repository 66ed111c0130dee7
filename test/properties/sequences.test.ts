/** Sequences that come and go: random lives of sessions against a model (sequencesModel.ts). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CacheType } from '../../src/ir/nodes.ts';
import type { RuleSpec } from './plans.ts';
import { replayIsEager } from './replay.ts';
import { beginLife, lifeArbitrary, livesOf, runLife } from './sequencesModel.ts';
import { runs, Suite, target, timeout } from './suite.ts';

describe('a session whose sequences join, leave, fork and are truncated', () => {
  const suite = new Suite('sequences');
  const happened = new Map<string, number>();
  // In every lane as many as make everything happen.
  const live = (shapes: readonly string[], usual: number, cacheType?: CacheType) =>
    suite.property(
      fc.tuple(lifeArbitrary(shapes, cacheType), livesOf(20)),
      usual,
      async ([life, commands]) => {
        suite.add(await runLife(await beginLife(target, life, happened), commands));
      },
      Math.max(usual, runs(usual)),
    );

  test('gives every sequence what the oracle does', { timeout }, () => live(['bf16_d64_2x1', 'fp16_d64_6x2'], 30));

  test('with other sinks', { timeout }, () => live(['bf16_d64_2x1_sink4', 'bf16_d64_2x2_sink0'], 12));

  test('with a cache in E4M3', { timeout }, () => live(['bf16_d64_2x1', 'fp16_d64_6x2'], 12, 'e4m3'));

  test('a graph serves them all', { timeout }, async () => {
    const rules: RuleSpec[][] = [[[128, 0, 1], [192, 0, 1]], [[128, 0, 1], [128, 0, 1]]];
    suite.count(4);
    await replayIsEager(target, { shape: 'bf16_d64_2x1', rules, rope: false }, { steps: 220, every: 31 });
    await replayIsEager(target, { shape: 'bf16_d64_2x1', rules, rope: false }, { steps: 90, every: 13 });
    await replayIsEager(target, { shape: 'bf16_d64_2x1', rules, rope: false, cacheType: 'e4m3' }, { steps: 90, every: 13 });
    await replayIsEager(target, { shape: 'bf16_d64_2x1', rules, rope: false, slack: 64, decodeTokens: 16 }, { steps: 24, tokens: 10, every: 5 });
  });

  test('and everything happened', () => {
    const rarest = ['join', 'pool full', 'leave', 'fork', 'truncate', 'truncate refused', 'truncate of a ring that went round', 'prefill', 'chunk', 'sequence full', 'decode', 'decode with free slots', 'several tokens', 'graph', 'counts', 'graph with counts', 'mixture', 'graph of a mixture', 'one token beside many'];
    console.log(rarest.map((what) => `${what} ${happened.get(what) ?? 0}`).join(', '));
    for (const what of rarest) expect(happened.get(what) ?? 0, what).toBeGreaterThan(0);
  });
});
