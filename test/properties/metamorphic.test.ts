/** Relations between runs: what must not matter, does not, to the last bit. */
import { describe, test } from 'vitest';
import { caseArbitrary, type CaseOptions } from './arbitraries.ts';
import { isBatchInvariant } from './batchInvariance.ts';
import * as relations from './metamorphic.ts';
import { Suite, timeout } from './suite.ts';

describe('relations', () => {
  const suite = new Suite('relations');
  const check = (relation: relations.Relation, options: CaseOptions, usual: number): Promise<void> =>
    suite.relation(relation, caseArbitrary({ lanes: ['normal'], tiles: 8, bound: 400, ...options }), usual);

  test('seeds do not matter', { timeout }, () => check(relations.seedsDoNotMatter, { decodes: 3 }, 12));
  test('the order of pages does not matter', { timeout }, () => check(relations.pageOrderDoesNotMatter, { decodes: 3 }, 12));
  test('capture is eager', { timeout }, () => check(relations.captureIsEager, { decodes: 6, layers: 2 }, 12));
  test('prefill is batch invariant', { timeout }, () => check(relations.prefillIsBatchInvariant, { layers: 2 }, 12));
  test('decode is batch invariant', { timeout }, () => check(isBatchInvariant, { layers: 2, decodes: 3 }, 8));
  test('chunks are batch invariant', { timeout }, () => check(isBatchInvariant, { layers: 2, decodes: 1, chunks: true }, 6));
  test('chunks behind a cache in E4M3 are, wherever pages lie', { timeout }, async () => {
    const options: CaseOptions = { shapes: ['bf16_d64_4x2', 'fp16_d128_2x2'], layers: 2, decodes: 1, chunks: true, with: { cacheType: 'e4m3' } };
    await check(isBatchInvariant, options, 4);
    await check(relations.pageOrderDoesNotMatter, options, 4);
  });
  test('spans that cover the bound are dense', { timeout }, () => check(relations.coveringSpansAreDense, { decodes: 3 }, 10));
  test('permuted heads give permuted outputs', { timeout }, () => check(relations.headsArePermuted, { shapes: ['bf16_d64_2x2', 'bf16_d64_4x2', 'fp16_d64_6x2', 'fp16_d128_2x2'] }, 10));
  test('groups are repeated heads', { timeout }, () => check(relations.groupsAreRepeatedHeads('bf16_d64_2x2'), { shapes: ['bf16_d64_2x1'] }, 8));
  test('ranks are the whole', { timeout }, () => check(relations.ranksAreTheWhole(2, 'bf16_d64_4x2'), { shapes: ['bf16_d64_8x4'], decodes: 3, layers: 2 }, 10));
  test('as many ranks as KV heads are the whole', { timeout }, () => check(relations.ranksAreTheWhole(2, 'bf16_d64_2x1'), { shapes: ['bf16_d64_4x2'], decodes: 3, layers: 2 }, 6));
  test('repeats are equal', { timeout }, () => check(relations.repeatsAreEqual(5), { decodes: 2, tiles: 4 }, 4));
});
