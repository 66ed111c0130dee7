/**
 * Layers with a window of the model's own, on both families: against an oracle that applies the plan's rule and the
 * model's window each by itself. Shapes of which other tests build the kernels without a sink.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { modelWindowsArbitrary, windowedCases, type CaseOptions } from './arbitraries.ts';
import type { Case } from './case.ts';
import { captureIsEager } from './metamorphic.ts';
import { expectSameBits, outputsOf } from './outputs.ts';
import type { RuleSpec } from './plans.ts';
import { beginLife, lifeArbitrary, livesOf, runLife, type Life } from './sequencesModel.ts';
import { Suite, target, timeout } from './suite.ts';

const shapes = ['bf16_d64_4x2', 'bf16_d64_2x2', 'bf16_d64_2x2_sink0'];
const families = ['portable', 'hopper'] as const;
const dense: RuleSpec = [0, 1, 1];
const half: RuleSpec = [0, 1, 2];

const windowed = (options: CaseOptions = {}): fc.Arbitrary<Case> => windowedCases({ shapes, ...options });

describe("windows of the model's own", () => {
  const suite = new Suite('model windows');

  test('random plans', { timeout }, () => suite.check(windowed({ decodes: 4, tiles: 16 }), 40));

  test('prefill, chunks and decode are one', { timeout }, () =>
    suite.check(windowed({ decodes: 3, tiles: 14, chunks: true, compareWhole: true }), 30));

  test('behind a cache in E4M3', { timeout }, () =>
    suite.check(
      windowed({ shapes: ['bf16_d64_4x2'], decodes: 3, tiles: 10, chunks: true, compareWhole: true, with: { cacheType: 'e4m3' } }),
      8,
    ));

  test('where kernels know nothing of the model, not even its sink', { timeout }, () =>
    suite.check(windowed({ shapes: ['bf16_d64_4x2'], decodes: 3, tiles: 10, with: { family: 'portable', ablations: ['unspecialised'] } }), 6));

  test('with learned sinks, as gpt-oss has them', { timeout }, () =>
    suite.check(
      windowed({
        shapes: ['bf16_d64_4x2'],
        lanes: ['normal'],
        decodes: 3,
        tiles: 10,
        with: { family: 'portable', sinkLogits: [0.5, null, -3, 2] },
      }),
      6,
    ));

  test.each(families)('around the window, and rings that go round three times: %s', { timeout }, async (family) => {
    const facts = { shape: 'bf16_d64_4x2', family, lane: 'oneHot', modelWindows: [128], rules: [[dense, half, [192, 0, 1], dense]] } as const;
    await suite.run({ ...facts, bound: 640, prefill: [126, 127, 128, 129], decodes: 260, seed: 1 });
    // Shorter than the window, and one token for each bound.
    await suite.run({ ...facts, bound: 127, prefill: [0, 1, 100], decodes: 20, seed: 2 });
    await suite.run({ ...facts, bound: 1, prefill: [1], decodes: 0, seed: 3 });
    await suite.run({ ...facts, bound: 700, prefill: [640, 65], chunk: 1 + 64 * 3, decodes: 2, seed: 4, compareWhole: true });
  });

  test('that are longer than all spans change no bit of a plan without a sink', { timeout }, async () => {
    for (const family of families) {
      const rules: RuleSpec[][] = [[half, [192, 0, 1]], [dense, [128, 0, 1]]];
      const facts: Case = { shape: 'bf16_d64_2x2_sink0', family, rules, bound: 500, prefill: [300, 65], decodes: 4, lane: 'normal', seed: 5 };
      const longer = await outputsOf(target, { ...facts, modelWindows: [512, 512] });
      expectSameBits(`${family}: windows of 512`, await outputsOf(target, facts), longer);
      suite.count();
    }
  });

  test('in a graph', { timeout }, async () => {
    const rules: RuleSpec[][] = [[dense, half], [[192, 0, 1], dense]];
    const facts: Case = { shape: 'bf16_d64_2x2', rules, modelWindows: [128, null], bound: 400, prefill: [190, 3], decodes: 12, lane: 'normal', seed: 6 };
    for (const family of families) await captureIsEager(target, { ...facts, family });
    suite.count(2);
  });

  test('of sequences that join, leave, fork and are truncated', { timeout }, async () => {
    const lives = fc
      .tuple(lifeArbitrary(['bf16_d64_4x2', 'bf16_d64_2x2_sink0']), modelWindowsArbitrary)
      .map(([life, all]): Life => ({ ...life, modelWindows: life.rules.map((_, layer) => all[layer]!) }));
    await suite.property(fc.tuple(lives, livesOf(20)), 14, async ([life, commands]) => {
      suite.add(await runLife(await beginLife(target, life), commands));
    });
  });

  test('what a session says of itself', { timeout }, async () => {
    const device = await target.device({ seed: 1 });
    const rules: RuleSpec[][] = [[dense, [384, 0, 1]], [dense, [384, 0, 1]]];
    using plan = await target.load(device, { shape: 'bf16_d64_2x2', rules, modelWindows: [128, null], rope: false });
    using session = plan.createSession({ batch: 2, lengthBound: 1024 });
    expect([...session.windows(0)]).toEqual([128, 128]);
    expect([...session.windows(1)]).toEqual([960, 320]);
    const pageBytes = 2 * 64 * 64 * 2;
    expect(session.memory.layers.map(({ bytes }) => bytes / pageBytes)).toEqual([2 * 4, 2 * 22]);
    expect(session.pagesInUse(0)).toBe(0);
  });
});
