import { describe, expect, test } from 'vitest';

import { seeds, type LaunchResult } from './harness.ts';
import { expectProducts, forms, kernel, lineOf, o, outputs, product, s, scores, shapes, spec, valueOfK, valueOfQ, type Shape } from './wgmmaProducts.ts';

// All of them: wgmmaForms.full.test.ts.
const fewForms = forms.filter(({ element, n, d }) => (n === 64 && d === 64) || (n === 128 && d === 128 && element === 'bfloat16'));
test.each(fewForms)('$mode: Q K^T and P V of $element, N $n, D $d', expectProducts);

test.each(['kPipelined', 'kNamedLater'])('%s: a wait lands what it covers and names; the rest is NaN', (mode) => {
  const shape = shapes[1] as Shape;
  for (const result of kernel.launches(spec(mode, 1), seeds(20))) {
    expect(result.findings).toEqual([]);
    expect(s(result)).toEqual(scores(shape));
    expect(o(result)).toEqual(outputs(shape));
  }
});

describe('every seed finds', () => {
  test.each([
    ['kNoFence', 'wgmma', 'first', 'wgmmaShared with no wgmmaFence since the last commit or wait'],
    ['kSecondFence', 'wgmma', 'noFence', 'with no wgmmaFence'],
    ['kNoWait', 'pending-wgmma', 'second', 'it never waited for this product'],
    ['kOtherBatch', 'pending-wgmma', 'second', 'it never waited for this product'],
    ['kNoCommit', 'pending-wgmma', 'second', 'it never committed this product'],
    ['kNotNamed', 'pending-wgmma', 'second', 'no wait from the one that covers this product on named its accumulator'],
    ['kAccumulatorWritten', 'wgmma', 'wait', 'wrote to the accumulator of the product at'],
    ['kFragmentsWritten', 'wgmma', 'registers', 'wrote to the registers of A, or they went out of scope'],
    ['kNoProxyFence', 'proxy', 'first', 'where a thread stored and called no asyncProxyFence since'],
    ['kSwizzle', 'wgmma', 'first', 'its swizzle is not that of 128 bytes'],
    ['kBaseOffset', 'wgmma', 'first', 'its base offset is not 0'],
    ['kReservedBits', 'wgmma', 'first', 'bits that mean nothing are set'],
    ['kStart', 'wgmma', 'first', 'its start is not in the first row of a swizzle'],
    ['kRowEnd', 'wgmma', 'first', 'a row of the swizzle has too few bytes'],
    ['kStride', 'wgmma', 'first', 'its strides are not multiples of 1024 bytes'],
    ['kOutside', 'shared-out-of-bounds', 'first', 'wgmmaShared reads row 8, chunk 1 of an operand: byte 24592 of 24592'],
    ['kUnaligned', 'wgmma', 'unaligned', 'multiples of 16 bytes are possible'],
    ['kOtherDescriptors', 'warpgroup', 'second', 'warps 0 and 2 of one warpgroup issued different products, 2 and 2'],
    ['kFewerProducts', 'warpgroup', 'first', 'warps 0 and 3 of one warpgroup issued different products, 2 and 1'],
    ['kOtherWait', 'warpgroup', 'otherWait', 'warps 0 and 2 of one warpgroup fenced, committed or waited at different lines'],
    ['kPartOfGroup', 'warpgroup', 'second', 'warps 4 and 5 of one warpgroup issued different products, 2 and 0'],
    ['kLanesDiffer', 'divergence', 'first', 'wgmmaShared with other arguments than lane 0'],
    ['kOtherShape', 'wgmma', 'first', 'on an accumulator that is in flight with another shape'],
  ])('%s: %s', (mode, kind, mark, message) => {
    for (const result of kernel.launches(spec(mode), seeds(30))) {
      expect(result.findings[0]?.kind).toBe(kind);
      expect(result.findings[0]?.message).toContain(`wgmma.cu:${lineOf(mark)}: block 0 thread `);
      expect(result.findings[0]?.message).toContain(message);
    }
  });

  test.each(['kNoWait', 'kOtherBatch', 'kNoCommit', 'kNotNamed'])('%s: NaN, for every seed', (mode) => {
    for (const result of kernel.launches(spec(mode), seeds(30))) expect(s(result).every(Number.isNaN)).toBe(true);
  });
});

describe('many seeds show', () => {
  const expected = product(64, 16, valueOfQ, (k, column) => valueOfK(column, k), 0).map((value) => 2 * value);
  const isWrong = (result: LaunchResult): boolean => result.findings.length > 0 || s(result).some((value, i) => value !== expected[i]);
  const share = (mode: string, shows: (result: LaunchResult) => boolean): number => kernel.launches(spec(mode), seeds(100)).filter(shows).length / 100;

  test('a store over what a product reads', () => {
    expect(share('kStoreInFlight', isWrong)).toBeGreaterThan(0.6);
  });
  test('a product of what no wait has shown', () => {
    expect(share('kNoFullWait', (result) => result.findings.some(({ kind }) => kind === 'in-flight'))).toBeGreaterThan(0.2);
  });
  test('a copy over what a product reads', () => {
    expect(share('kReleasedEarly', isWrong)).toBeGreaterThan(0.6);
  });
});

test('a product is cheap enough for whole prefills', () => {
  for (const [mode, products] of [['kSpeedShared', 8], ['kSpeedRegisters', 8]] as const) {
    const time = Math.min(...kernel.time(spec(mode, 3), 3)) / (20 * 4 * products);
    console.log(`${mode}: 64 x 128 x 16, one warp's part: ${(time / 1000).toFixed(1)} us`);
    expect(time).toBeLessThan(100_000);
  }
});
