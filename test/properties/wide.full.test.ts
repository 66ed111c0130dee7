/** headDim 256: tiles of one page of keys on wgmma, 64 rows of prefill and halves of pages in decode where shared memory is small. A few cases of each. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { caseArbitrary } from './arbitraries.ts';
import type { Case } from './case.ts';
import { outputsOf } from './outputs.ts';
import type { RuleSpec } from './plans.ts';
import { beginLife, lifeArbitrary, livesOf, runLife } from './sequencesModel.ts';
import { Suite, target, timeout } from './suite.ts';

const dense: RuleSpec = [0, 1, 1];
const short: RuleSpec = [128, 0, 1];
const middling: RuleSpec = [192, 0, 1];

/** Both families, and one that has room for a single page. */
const kinds = { portable: {}, hopper: { family: 'hopper' }, 'little shared memory': { architecture: 'sm_86' } } as const satisfies Record<string, Partial<Case>>;

describe.each(Object.entries(kinds))('headDim 256, %s', (name, kind) => {
  const suite = new Suite(`headDim 256, ${name}`);
  const facts = { bound: 420, multiprocessors: 3, seed: 1, shufflePages: true, ...kind } as const;

  test('random cases', { timeout }, () => suite.check(caseArbitrary({ shapes: ['fp16_d256_2x2'], decodes: 3, tiles: 10, with: { family: 'portable', ...kind } }), 3));

  test('heads with windows of their own, with RoPE', { timeout }, async () => {
    await suite.run({ ...facts, shape: 'bf16_d256_2x1', rules: [[dense, short]], prefill: [193, 0, 65], decodes: 3, lane: 'normal', rope: true, compareWhole: true });
  });

  test('windows that leave tiles out, exactly', { timeout }, async () => {
    await suite.run({ ...facts, shape: 'fp16_d256_2x2', rules: [[short, middling]], prefill: [330], decodes: 2, lane: 'oneHot' });
    await suite.run({ ...facts, shape: 'fp16_d256_2x2', rules: [[short, short]], prefill: [0, 190], decodes: 70, lane: 'uniform', multiprocessors: 1 });
  });

  test('chunks, of rings that have gone round', { timeout }, async () => {
    await suite.run({ ...facts, shape: 'bf16_d256_2x1', rules: [[short, dense]], prefill: [300, 3], chunk: 130, decodes: 2, lane: 'normal', splitPages: 2 });
  });

  test('chunks behind a cache in E4M3', { timeout }, async () => {
    await suite.run({ ...facts, shape: 'bf16_d256_2x1', rules: [[short, dense]], prefill: [300, 0, 3], chunk: 130, decodes: 1, lane: 'normal', cacheType: 'e4m3' });
    await suite.run({ ...facts, shape: 'fp16_d256_2x2', rules: [[short, middling]], prefill: [260, 70], chunk: 65, decodes: 2, lane: 'oneHot', cacheType: 'e4m3' });
  });

  test('a group of 8, and a cache in E4M3', { timeout }, async () => {
    await suite.run({ ...facts, shape: 'bf16_d256_8x1', rules: [[dense, short, short, middling, dense, short, short, short]], prefill: [70, 131], decodes: 2, lane: 'normal', sampleRows: 8 });
    await suite.run({ ...facts, shape: 'bf16_d256_2x1', rules: [[dense, short]], prefill: [0, 131, 270], decodes: 3, lane: 'normal', cacheType: 'e4m3', sampleRows: 8 });
  });

  test('no bank conflicts', { timeout }, async () => {
    const testCase: Case = { ...facts, shape: 'bf16_d256_2x1', rules: [[short, middling]], prefill: [130, 7], decodes: 2, lane: 'normal', clean: true };
    for (const cacheType of ['element', 'e4m3'] as const) await outputsOf(target, { ...testCase, cacheType }, { device: { failOnBankConflict: true, multiprocessors: 8 } });
    const device = await target.device({ failOnBankConflict: true, multiprocessors: 8 });
    expect(device.counters.bankConflicts).toBe(0);
  });
});

describe('headDim 256', () => {
  const suite = new Suite('headDim 256');
  test('capped scores and learned sinks', { timeout }, async () => {
    await suite.run({ shape: 'bf16_d256_2x1', rules: [[dense, short]], bound: 420, prefill: [131, 1], decodes: 2, lane: 'normal', seed: 1, family: 'hopper', softCap: 50, sinkLogits: [1, null], queryScale: 4, splitPages: 0 });
  });

  test('groups of more heads than a tile has rows: two segments read a ring, and the token is appended before', { timeout }, async () => {
    const windows: RuleSpec[] = [dense, short, short, middling, dense, short, short, short, short, short, middling, short];
    const facts = { bound: 420, multiprocessors: 3, seed: 1, shufflePages: true, shape: 'bf16_d256_12x1', rules: [windows], sampleRows: 12 } as const;
    await suite.run({ ...facts, prefill: [70, 331], decodes: 3, lane: 'normal', rope: true, ...kinds.hopper });
    await suite.run({ ...facts, shape: 'fp16_d256_16x1', rules: [[...windows, short, short, short, short]], prefill: [130, 0], decodes: 70, lane: 'uniform', compareWhole: true });
    await suite.run({ ...facts, prefill: [131, 200], decodes: 3, lane: 'normal', cacheType: 'e4m3', ...kinds['little shared memory'] });
    await suite.run({ ...facts, prefill: [131], decodes: 2, lane: 'normal', ablations: ['unspecialised'] });
  });

  test('sequences that come and go, with several tokens at once', { timeout }, () =>
    suite.property(fc.tuple(lifeArbitrary(['bf16_d256_2x1', 'bf16_d256_12x1']), livesOf(12)), 4, async ([life, commands]) => suite.add(await runLife(await beginLife(target, life), commands))));

  test('the same with a cache in E4M3', { timeout }, () =>
    suite.property(fc.tuple(lifeArbitrary(['bf16_d256_2x1', 'bf16_d256_12x1'], 'e4m3'), livesOf(12)), 2, async ([life, commands]) => suite.add(await runLife(await beginLife(target, life), commands))));
});
