/** A cache in E4M3: decode attends what the codes say, and how far that is from the keys and values as they were given. */
import { describe, expect, test } from 'vitest';
import { attentionRow } from '../oracle/attention.ts';
import { e4m3Code, e4m3Value } from '../oracle/e4m3.ts';
import { caseArbitrary } from './arbitraries.ts';
import { masksOf, type Case } from './case.ts';
import { outputsOf } from './outputs.ts';
import { makeTokens } from './runCase.ts';
import { decodeElements } from '../../src/runtime/elements.ts';
import { shapeOf } from './shapes.ts';
import { runs, Suite, target, timeout } from './suite.ts';

const suite = new Suite('cache in E4M3');
const eightBits = (testCase: Case): Case => ({ ...testCase, cacheType: 'e4m3' });

describe('decode from a cache in E4M3', () => {
  test('is that of the oracle on what the codes say', () => suite.check(caseArbitrary({ decodes: 6, tiles: 20, with: { cacheType: 'e4m3' } }), 12), timeout);
  test('with RoPE', () => suite.check(caseArbitrary({ shapes: ['bf16_d64_4x2', 'fp16_d128_2x2'], lanes: ['normal'], decodes: 4, tiles: 10, rope: true, with: { cacheType: 'e4m3' } }), 4), timeout);
  test.each(['portable', 'hopper'] as const)('%s: every fill of a ring from an empty cache', async (family) => void (await suite.run({ shape: 'bf16_d64_2x1', rules: [[[128, 0, 1], [0, 1, 1]]], bound: 200, prefill: [0, 62], decodes: 136, lane: 'normal', seed: 5, family, cacheType: 'e4m3' })), timeout);
});

test('the oracle knows E4M3', () => {
  expect([0, 1, -1, 448, 464, 1e9, 2 ** -9, 2 ** -10, 3 * 2 ** -10, 2 ** -6, 17, 19].map((value) => e4m3Value(e4m3Code(value)))).toEqual([0, 1, -1, 448, 448, 448, 2 ** -9, 0, 2 ** -8, 2 ** -6, 16, 20]);
});

/** The root of the mean square of the errors of decode outputs, against float64 on the tokens as they were given, relative to that of the outputs. */
async function relativeError(testCase: Case): Promise<number> {
  const { elementType, queryHeads, headDim } = shapeOf(testCase.shape);
  const tokens = makeTokens(testCase);
  const found = await outputsOf(target, testCase, { tokens });
  const masks = masksOf(testCase, 0);
  let [errors, size] = [0, 0];
  found.out[0]!.slice(1).forEach((bits, step) => {
    const out = decodeElements(elementType, bits);
    testCase.prefill.forEach((count, n) => {
      for (let head = 0; head < queryHeads; head += 1) {
        attentionRow(tokens[0]![n]!.given, head, count + step, masks[head]!).out.forEach((exact, d) => {
          errors += (out[(n * queryHeads + head) * headDim + d]! - exact) ** 2;
          size += exact ** 2;
        });
      }
    });
  });
  return Math.sqrt(errors / size);
}

test('its error beside that of 16 bits', async () => {
  const testCase: Case = { shape: 'bf16_d128_3x1', rules: [[[0, 1, 1], [0, 1, 2], [256, 0, 1]]], bound: 640, prefill: [500, 630], decodes: runs(4), lane: 'normal', seed: 5, family: 'hopper', clean: true };
  const [plain, eight] = [await relativeError(testCase), await relativeError(eightBits(testCase))];
  console.log(`relative error of decode outputs, root of the mean square: bf16 ${(100 * plain).toFixed(2)} %, e4m3 ${(100 * eight).toFixed(2)} %`);
  expect(plain).toBeLessThan(0.01);
  // Half a step of 3 fraction bits is 3 % of a value; sums over many tokens are nearer.
  expect(eight).toBeLessThan(0.06);
}, timeout);
