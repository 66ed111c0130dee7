/** What a plan is compared with: other ways to spend as many KV slots, which need no search. */
import type { HeadModule } from '../ir/nodes.ts';
import type { Baseline } from './kinds.ts';
import { kvHeadsOf, maskOf, type KvHead, type LengthMask } from './masks.ts';

const PAGE = 64;
/** First tokens of a uniform window and of heads that stream; StreamingLLM keeps four (Xiao et al., section 3.2). */
const SINK = 64;
const STREAMING_SINK = 4;
/** What heads that stream keep at least: first and recent tokens. The least of all where no whole head fits beside it. */
const STREAMING_SPANS = [320, 2 * PAGE] as const;

/** The mask of a baseline that keeps at most as many KV slots as the plan at this length, in whole pages. No head gets more than the model attends in its layer. */
export function baselineMask(kind: Baseline, module: HeadModule, length: number): LengthMask {
  const heads = kvHeadsOf(module, length);
  const budget = heads.reduce((sum, { kept }) => sum + kept, 0);
  if (kind === 'duo-attention') return maskOf(module, SINK, duoSpans(heads, length, budget));
  const span = largestSpan(heads, length, budget);
  return maskOf(module, kind === 'uniform' ? SINK : STREAMING_SINK, heads.map(({ most }) => Math.min(span, most)));
}

/** The longest span of whole pages that all heads can have. Two pages at least, as every plan has. */
function largestSpan(heads: readonly KvHead[], length: number, budget: number): number {
  const cost = (span: number): number => heads.reduce((sum, { most }) => sum + Math.min(span, most), 0);
  let span = 2 * PAGE;
  while (span < length && cost(span + PAGE) <= budget) span += PAGE;
  return span;
}

/** As many whole heads as the budget allows, those that keep most in the plan, and streaming heads that share what is left. */
function duoSpans(heads: readonly KvHead[], length: number, budget: number): readonly number[] {
  const order = [...heads.keys()].sort((a, b) => heads[b]!.kept - heads[a]!.kept || a - b);
  const cost = (whole: number, span: number): number => order.reduce((sum, head, rank) => sum + (rank < whole ? heads[head]!.most : Math.min(span, heads[head]!.most)), 0);
  const most = (span: number): number => order.findLastIndex((_, rank) => cost(rank + 1, span) <= budget) + 1;
  const whole = most(STREAMING_SPANS[0]) || most(STREAMING_SPANS[1]);
  let span = 2 * PAGE;
  while (span < length && cost(whole, span + PAGE) <= budget) span += PAGE;
  const spans = new Array<number>(heads.length);
  order.forEach((head, rank) => (spans[head] = rank < whole ? heads[head]!.most : Math.min(span, heads[head]!.most)));
  return spans;
}
