import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { lossAt, lossFunction, SCALINGS, scalingOf } from '../../src/search/losses.ts';
import { given } from './tinyProblems.ts';

/** `loss(m)` for m = 0 .. pages: never rises, 0 at the end. */
const tails = (pages: number): fc.Arbitrary<Float64Array> =>
  fc.array(fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })), { minLength: pages, maxLength: pages }).map((steps) => {
    const tail = new Float64Array(pages + 1);
    for (let m = pages - 1; m >= 0; m -= 1) tail[m] = tail[m + 1]! + steps[m]!;
    return tail;
  });

const tailOf = (pages: number, loss: (m: number) => number): Float64Array => Float64Array.from({ length: pages + 1 }, (_, m) => (m === pages ? 0 : loss(m)));

describe('between whole pages', () => {
  test('linear, and 0 from the end on', () => {
    const tail = Float64Array.of(8, 4, 1, 0);
    expect([0, 0.25, 1, 1.5, 2, 2.75, 3, 3.5, 100].map((pages) => lossAt(tail, pages))).toEqual([8, 7, 4, 2.5, 1, 0.25, 0, 0, 0]);
  });

  test('whole pages are exact, and more window never loses more', () => {
    fc.assert(
      fc.property(tails(12), fc.double({ min: 0, max: 13, noNaN: true }), fc.double({ min: 0, max: 13, noNaN: true }), (tail, a, b) => {
        tail.forEach((loss, m) => expect(lossAt(tail, m)).toBe(loss));
        const [less, more] = [Math.min(a, b), Math.max(a, b)];
        expect(lossAt(tail, more)).toBeLessThanOrEqual(lossAt(tail, less) * (1 + 1e-14) + 1e-300);
        const below = Math.min(Math.floor(a), 12);
        expect(lossAt(tail, a)).toBeLessThanOrEqual(tail[below]! * (1 + 1e-14));
        expect(lossAt(tail, a)).toBeGreaterThanOrEqual((tail[below + 1] ?? 0) * (1 - 1e-14) - 1e-300);
      }),
      given(500),
    );
  });
});

describe('how distances grow with the sequence', () => {
  // Slow against a page: losses are compared relative to that of one page, whatever the length.
  const decay = fc.double({ min: 8, max: 40, noNaN: true });
  const ratios = fc.constantFrom(2, 3, 4);

  test('with the length, for a loss of relative distance', () => {
    fc.assert(
      fc.property(decay, ratios, fc.double({ min: 0.1, max: 10, noNaN: true }), (reach, ratio, scale) => {
        const shape = (part: number): number => Math.exp((-64 * part) / reach) - Math.exp(-64 / reach);
        expect(scalingOf(tailOf(64, (m) => shape(m / 64)), tailOf(64 * ratio, (m) => scale * shape(m / (64 * ratio))), ratio)).toBe(1);
      }),
      given(100),
    );
  });

  test('not at all, for one of absolute distance', () => {
    fc.assert(
      fc.property(decay, ratios, fc.double({ min: 0.1, max: 10, noNaN: true }), (reach, ratio, scale) => {
        expect(scalingOf(tailOf(64, (m) => Math.exp(-m / reach)), tailOf(64 * ratio, (m) => scale * Math.exp(-m / reach)), ratio)).toBe(0);
      }),
      given(100),
    );
  });

  test.each(SCALINGS)('as the power %d of it', (gamma) => {
    const shape = (distance: number): number => Math.exp(-distance / 20);
    expect(scalingOf(tailOf(64, shape), tailOf(256, (m) => shape(m / 4 ** gamma)), 4)).toBe(gamma);
  });

  test('the larger of equals, and of what has no shape', () => {
    const step = tailOf(8, (m) => (m === 0 ? 1 : 0));
    for (const [shorter, longer] of [[step, tailOf(16, () => 1)], [tailOf(8, () => 1), step], [new Float64Array(9), new Float64Array(17)], [Float64Array.of(0), Float64Array.of(0)]] as const) expect(scalingOf(shorter, longer, 2)).toBe(1);
    // Flat up to an end beyond what the shorter one sees: every scaling fits.
    expect(scalingOf(tailOf(3, () => 1), tailOf(6, () => 1), 2)).toBe(1);
  });

  test('what is found is the least sum of squares', () => {
    fc.assert(
      fc.property(tails(8), tails(16), (shorter, longer) => {
        fc.pre(shorter[1]! > 0 && longer[1]! > 0);
        const error = (gamma: number): number => [1, 2, 3, 4, 5, 6, 7].reduce((sum, m) => sum + (shorter[m]! / shorter[1]! - (lossAt(longer, 2 ** gamma) === 0 ? 0 : lossAt(longer, m * 2 ** gamma) / lossAt(longer, 2 ** gamma))) ** 2, 0);
        const found = scalingOf(shorter, longer, 2);
        for (const gamma of SCALINGS) expect(error(found)).toBeLessThanOrEqual(error(gamma) + (gamma > found ? 0 : 1e-15));
      }),
      given(200),
    );
  });
});

describe('the loss at a length', () => {
  const head = fc.record({ short: tails(8), long: tails(16) }).map(({ short, long }) => ({ lengths: [512, 1024], tails: [short, long] }));

  test('that was profiled is what was found', () => {
    fc.assert(
      fc.property(head, (known) => {
        known.lengths.forEach((length, n) => known.tails[n]!.forEach((loss, m) => expect(lossFunction(known, length)(m)).toBe(loss)));
      }),
      given(50),
    );
  });

  test('that was not: never rises with the window, and a full window loses nothing', () => {
    fc.assert(
      fc.property(head, fc.integer({ min: 17, max: 100 }), fc.boolean(), ({ lengths, tails: all }, pages, single) => {
        const lossOf = lossFunction(single ? { lengths: lengths.slice(1), tails: all.slice(1) } : { lengths, tails: all }, pages * 64);
        const losses = Array.from({ length: pages + 1 }, (_, m) => lossOf(m));
        for (let m = 1; m <= pages; m += 1) expect(losses[m]!).toBeLessThanOrEqual(losses[m - 1]! * (1 + 1e-14) + 1e-300);
        expect(losses[0]).toBe(all[1]![0]);
        expect(losses[pages]).toBe(0);
      }),
      given(200),
    );
  });

  test('grows as the head does', () => {
    const absolute = { lengths: [512, 1024], tails: [tailOf(8, (m) => Math.exp(-m)), tailOf(16, (m) => Math.exp(-m))] };
    expect(lossFunction(absolute, 4096)(5)).toBe(absolute.tails[1]![5]);
    const relative = { lengths: [512, 1024], tails: [tailOf(8, (m) => 1 - m / 8), tailOf(16, (m) => 1 - m / 16)] };
    expect(lossFunction(relative, 4096)(20)).toBe(relative.tails[1]![5]);
    // One length says nothing of growth: as with the length.
    expect(lossFunction({ lengths: [1024], tails: [absolute.tails[1]!] }, 4096)(20)).toBe(absolute.tails[1]![5]);
  });
});
