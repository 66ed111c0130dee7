import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { spanOf } from '../../src/ir/affine.ts';
import { fractionOf, MAX_DENOMINATOR, ruleOf } from '../../src/plan/spanRule.ts';
import { listPublishedPlans } from './support.ts';

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

describe('fractionOf', () => {
  it.each([
    [0, 0, 1],
    [-0, 0, 1],
    [1, 1, 1],
    [0.1, 1, 10],
    [0.125, 1, 8],
    [0.875, 7, 8],
    [0.3, 3, 10],
    [0.7, 7, 10],
    [1 / 3, 1, 3],
    [2 / 3, 2, 3],
    [0.333, 333, 1000],
    [0.1234567, 1234567, 10000000],
    [1 / 2 ** 30, 1, 2 ** 30],
    [(2 ** 30 - 1) / 2 ** 30, 2 ** 30 - 1, 2 ** 30],
  ])('%d is %d/%d', (beta, numerator, denominator) => {
    expect(fractionOf(beta)).toEqual({ numerator, denominator, exact: true });
  });

  it.each([5e-324, 1e-300, 2 ** -31, 1 - 2 ** -53])('has no fraction for %d', (beta) => {
    const { numerator, denominator, exact } = fractionOf(beta);
    expect(exact).toBe(false);
    expect(Math.abs(numerator / denominator - beta)).toBeLessThanOrEqual(1 / (denominator * MAX_DENOMINATOR) + 2 ** -53);
  });

  it('recovers every fraction with a denominator up to 1000', () => {
    for (let q = 1; q <= 1000; q += 1) {
      for (let p = 0; p <= q; p += 1) {
        const { numerator, denominator, exact } = fractionOf(p / q);
        const divisor = gcd(p, q);
        if (!exact || numerator !== p / divisor || denominator !== q / divisor) expect.fail(`${p}/${q} gives ${numerator}/${denominator}`);
      }
    }
  }, 30_000);

  it('keeps what it promises for any double', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (beta) => {
        const { numerator: p, denominator: q, exact } = fractionOf(beta);
        expect(q >= 1 && q <= MAX_DENOMINATOR && p >= 0 && p <= q).toBe(true);
        expect(gcd(p, q)).toBe(1);
        expect(p / q === beta).toBe(exact);
        expect(Math.abs(p / q - beta)).toBeLessThanOrEqual(1 / (q * MAX_DENOMINATOR) + 2 ** -53);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('ruleOf', () => {
  it('makes a rule', () => {
    expect(ruleOf(-1024, 1)).toEqual({ kind: 'rule', alpha: -1024, numerator: 1, denominator: 1 });
    expect(Object.is(ruleOf(-0, 0.5).alpha, 0)).toBe(true);
  });

  it('refuses what parsePlan would have', () => {
    for (const [alpha, beta] of [[0.5, 0.5], [0, 1.1], [0, -0.1], [0, Number.NaN], [Infinity, 0]] as const) expect(() => ruleOf(alpha, beta)).toThrow('internal error');
  });
});

const plans = listPublishedPlans();

describe.skipIf(plans.size === 0)('published plans (skipped without ../shared/plans)', () => {
  it.each([...plans.keys()])('%s: integers give the spans that floats give', (name) => {
    const { alphas, betas } = JSON.parse(plans.get(name)!.toString()) as { alphas: number[][]; betas: number[][] };
    const pairs = new Map(alphas.flatMap((row, layer) => row.map((alpha, head) => [`${alpha},${betas[layer]![head]!}`, [alpha, betas[layer]![head]!] as const])));
    expect(pairs.size).toBeGreaterThan(8);
    for (const [alpha, beta] of pairs.values()) {
      const rule = ruleOf(alpha, beta);
      const { numerator, denominator } = rule;
      for (let bound = 1; bound <= 131072; bound += bound < 2048 ? 1 : 37) {
        const kept = Math.trunc(alpha + beta * bound);
        if (Math.trunc((alpha * denominator + numerator * bound) / denominator) !== kept) expect.fail(`alpha ${alpha}, beta ${beta}, N ${bound}`);
        const span = Math.ceil(Math.max(Math.min(kept, bound), 128) / 64) * 64;
        if (spanOf(rule, { minSpan: 128, page: 64, sink: 64 }, bound, null) !== span) expect.fail(`span of alpha ${alpha}, beta ${beta}, N ${bound}`);
      }
    }
  });
});
