import type { JsonDocument, JsonObject } from '../../util/jsonReader.ts';
import { offsetOf, readInteger, requireMember, type IntegerRange } from '../readFields.ts';
import { rejectUnknownKeys, type Report, type Scope } from '../report.ts';
import type { FormatOptions } from './inputFormat.ts';
import { roundedStreaming, SINK_RANGE, WINDOW_RANGE } from './streamingRule.ts';
import type { UnplacedPlan } from './unplacedPlan.ts';

export const STREAMING_KEYS = ['start_size', 'recent_size'] as const;

/** Reads `{"start_size": 4, "recent_size": 512}`, the arguments of StreamingLLM (arXiv 2309.17453): every head attends both, no head more. */
export function readStreamingLlm({ source }: JsonDocument, root: JsonObject, options: FormatOptions, report: Report): UnplacedPlan | undefined {
  const whole: Scope = { node: root, path: '', report };
  const scope: Scope = { ...whole, misspelt: rejectUnknownKeys(whole, STREAMING_KEYS) };
  const read = (key: string, given: number | undefined, range: IntegerRange, what: string): number | undefined => {
    if (given === undefined) requireMember(scope, key, what);
    const own = readInteger(scope, key, range);
    return given ?? own;
  };
  const sink = read('start_size', options.sink, SINK_RANGE, 'the tokens at the start that are always attended');
  const recent = read('recent_size', options.recent, WINDOW_RANGE, 'the newest tokens that are attended');
  if (sink === undefined || recent === undefined) return undefined;

  const help = 'outputs are not those of StreamingLLM once its cache is full';
  report.note('MOA1311', root.offset, '', 'StreamingLLM rotates keys by their place in the cache; here positions are those of the sequence', { help });
  const { rule, limits } = roundedStreaming(sink, recent, report);
  return {
    kind: 'unplacedPlan',
    format: 'streaming-llm',
    file: source.file,
    limits,
    ruleOf: () => rule,
    place: report.place(offsetOf(scope, 'recent_size'), 'recent_size'),
    originOf: () => 'recent_size',
  };
}
