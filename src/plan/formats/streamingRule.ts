import type { Rule, SpanLimits } from '../../ir/rule.ts';
import { DEFAULT_LIMITS, MAX_MIN_SPAN, MODEL_WINDOWS } from '../planSchema.ts';
import type { Report } from '../report.ts';
import type { IntegerRange } from '../readFields.ts';
import { ruleOf } from '../spanRule.ts';

const { page } = DEFAULT_LIMITS;

/** Tokens. Rounded up, they and their sum are still what a plan may hold. */
export const SINK_RANGE: IntegerRange = { min: 0, max: MAX_MIN_SPAN - page };
export const WINDOW_RANGE: IntegerRange = MODEL_WINDOWS;

/** Of heads that attend everything. */
export const FULL_RULE: Rule = ruleOf(0, 1);

/** Heads that attend a sink and a window, at every length. */
export interface Streaming {
  readonly rule: Rule;
  readonly limits: SpanLimits;
}

/** A rule for `sink` and `window` tokens, both whole pages. */
export function streamingOf(sink: number, window: number): Streaming {
  const span = sink + window;
  // The shortest span bites where N is smaller than the rule: it may neither cut the sink nor lengthen the window.
  const minSpan = Math.min(span, Math.max(DEFAULT_LIMITS.minSpan, sink + page));
  return { rule: ruleOf(span, 0), limits: { sink, page, minSpan } };
}

export const roundUpToPages = (tokens: number): number => Math.ceil(tokens / page) * page;

/** `streamingOf` with both rounded up to whole pages, which keeps more than was asked for, and says so (MOA1305). */
export function roundedStreaming(sink: number, recent: number, report: Report): Streaming {
  const [wholeSink, window] = [roundUpToPages(sink), roundUpToPages(recent)];
  if (wholeSink !== sink || window !== recent) {
    const message = `a sink of ${sink} and a window of ${recent} tokens are kept as ${wholeSink} and ${window}: whole pages of ${page} tokens`;
    report.warning('MOA1305', 0, '', message, { help: 'heads attend more than was asked for, and never less' });
  }
  return streamingOf(wholeSink, window);
}
