/** The span rules that a search chooses from: MoA's grid, as fine as asked for (arXiv 2406.14909, section 4.2). */
import { spanOf } from '../ir/affine.ts';
import type { Rule, SpanLimits } from '../ir/rule.ts';
import { ruleOf } from '../plan/spanRule.ts';

export interface Grid {
  /** Tokens, rising. */
  readonly profiled: readonly number[];
  /** Every length that the plan is bounded at, the profiled ones among them; rising. */
  readonly lengths: readonly number[];
  /** Tokens between alphas; an eighth of the longest profiled length without it. */
  readonly alphaStep?: number;
  /** Betas from 0 to 1, evenly spaced; 9 without it. */
  readonly betas?: number;
  readonly limits: SpanLimits;
}

/**
 * Alphas from the first multiple of the step that is at least minus the shortest length to the longest profiled length, and betas from 0 to 1. Kept are rules that ask for no
 * more than the sequence at the longest profiled and at the longest length, and for something at the shortest. Rules with the same spans at every length are one.
 * Sorted by span at the longest length, then at the shorter ones.
 */
export function candidateGrid({ profiled, lengths, alphaStep, betas = 9, limits }: Grid): readonly Rule[] {
  const longestProfiled = profiled.at(-1)!;
  const [shortest, longest] = [lengths[0]!, lengths.at(-1)!];
  const step = alphaStep ?? Math.max(limits.page, longestProfiled / 8);
  const found: { rule: Rule; spans: readonly number[] }[] = [];
  const known = new Set<string>();
  for (let alpha = Math.ceil(-shortest / step) * step; alpha <= longestProfiled; alpha += step) {
    for (let i = 0; i < betas; i += 1) {
      const beta = betas === 1 ? 0 : i / (betas - 1);
      const asked = (length: number): number => alpha + beta * length;
      if (asked(longestProfiled) > longestProfiled || asked(longest) > longest || asked(shortest) <= 0) continue;
      const rule = ruleOf(Math.trunc(alpha), beta);
      const spans = lengths.map((length) => spanOf(rule, limits, length, null));
      const key = spans.join();
      if (known.has(key)) continue;
      known.add(key);
      found.push({ rule, spans });
    }
  }
  const difference = (a: readonly number[], b: readonly number[]): number => {
    for (let n = a.length - 1; n >= 0; n -= 1) if (a[n] !== b[n]) return a[n]! - b[n]!;
    return 0;
  };
  return found.sort((a, b) => difference(a.spans, b.spans)).map(({ rule }) => rule);
}
