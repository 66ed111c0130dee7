/** The span rules that a search chooses from: MoA's grid, as fine as asked for (arXiv 2406.14909, section 4.2). */
import { spanOf } from '../ir/affine.ts';
import type { Rule, SpanLimits } from '../ir/rule.ts';
import { ruleOf } from '../plan/spanRule.ts';
import type { ModelWindows } from './instance.ts';

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
  /** The model's own windows; absent: none. */
  readonly windows?: ModelWindows | undefined;
}

/**
 * Alphas from the first multiple of the step that is at least minus the shortest length to the longest profiled length, and betas from 0 to 1. Kept are rules that ask for no
 * more than the sequence at the longest profiled and at the longest length, and for something at the shortest. Rules with the same spans at every length are one.
 * Sorted by span at the longest length, then at the shorter ones.
 *
 * Where layers have windows of their own, a constant rule for each such window is added, and of rules that attend the same in every layer the shortest is kept: where
 * all layers have windows, candidates end at the longest of them.
 */
export function candidateGrid({ profiled, lengths, alphaStep, betas = 9, limits, windows = [null] }: Grid): readonly Rule[] {
  const longestProfiled = profiled.at(-1)!;
  const [shortest, longest] = [lengths[0]!, lengths.at(-1)!];
  const step = alphaStep ?? Math.max(limits.page, longestProfiled / 8);
  const found: { rule: Rule; spans: readonly number[] }[] = [];
  const known = new Set<string>();
  const add = (rule: Rule): void => {
    const spans = lengths.map((length) => spanOf(rule, limits, length, null));
    const key = spans.join();
    if (known.has(key)) return;
    known.add(key);
    found.push({ rule, spans });
  };
  const distinct = [...new Set(windows)];
  for (const window of distinct) if (window !== null && window <= longestProfiled) add(ruleOf(Math.max(Math.ceil(window / limits.page) * limits.page, limits.minSpan), 0));
  for (let alpha = Math.ceil(-shortest / step) * step; alpha <= longestProfiled; alpha += step) {
    for (let i = 0; i < betas; i += 1) {
      const beta = betas === 1 ? 0 : i / (betas - 1);
      const asked = (length: number): number => alpha + beta * length;
      if (asked(longestProfiled) > longestProfiled || asked(longest) > longest || asked(shortest) <= 0) continue;
      add(ruleOf(Math.trunc(alpha), beta));
    }
  }
  const difference = (a: readonly number[], b: readonly number[]): number => {
    for (let n = a.length - 1; n >= 0; n -= 1) if (a[n] !== b[n]) return a[n]! - b[n]!;
    return 0;
  };
  found.sort((a, b) => difference(a.spans, b.spans));
  /** What a rule keeps in each kind of layer. */
  const effect = ({ spans }: (typeof found)[number]): string => distinct.map((window) => spans.map((span) => Math.min(span, window ?? Infinity)).join()).join(';');
  const effects = new Map<string, Rule>();
  for (const candidate of found) if (!effects.has(effect(candidate))) effects.set(effect(candidate), candidate.rule);
  return [...effects.values()];
}
