import { decodeText } from '../../util/decodeText.ts';
import type { DiagnosticList } from '../../util/diagnostics.ts';
import { DEFAULT_JSON_LIMITS, readJson } from '../../util/jsonReader.ts';
import { readInteger, withoutNulls } from '../readFields.ts';
import { describeKind, Report } from '../report.ts';
import { chooseFullHeads, type HeadChoice } from './chooseFullHeads.ts';
import { checkFormatOptions } from './formatOptions.ts';
import { CONFIG_FILE, FORMAT_OPTIONS, type FormatOptions, type PlanInput, type SourceText } from './inputFormat.ts';
import { readTable } from './readTable.ts';
import { FULL_RULE, roundedStreaming, SINK_RANGE, WINDOW_RANGE } from './streamingRule.ts';
import type { UnplacedPlan } from './unplacedPlan.ts';

/**
 * Reads `full_attention_heads.tsv`, scores of KV heads, and beside it the `config.json` that says sink and window (DuoAttention,
 * arXiv 2410.10819). Heads below the quantile `sparsity` stream, the others attend everything.
 */
export function readDuoAttention(input: PlanInput, diagnostics: DiagnosticList): UnplacedPlan | undefined {
  const before = diagnostics.errorCount;
  const source = decodeText(input.text, input.file, DEFAULT_JSON_LIMITS.maxBytes, diagnostics);
  if (source === undefined) return undefined;
  const report = new Report({ source }, diagnostics);
  const { options = {} } = input;
  const { sparsity } = options;
  if (!checkFormatOptions('duo-attention', options, report)) return undefined;
  if (sparsity === undefined) {
    const help = `pass ${FORMAT_OPTIONS.sparsity.flag} 0.5 for half of the KV heads, as the authors do`;
    report.error('MOA1304', 0, '', 'scores alone do not say how many heads stream', { help });
  }
  const scores = readTable(source, report);
  const sizes = readSizes(input.beside, options, report, diagnostics);
  if (diagnostics.errorCount > before || scores === undefined || sizes === undefined || sparsity === undefined) return undefined;

  const choice = chooseFullHeads(scores, sparsity);
  noteTie(choice, report);
  const { rule, limits } = roundedStreaming(sizes.sink, sizes.recent, report);
  return {
    kind: 'unplacedPlan',
    format: 'duo-attention',
    file: input.file,
    layers: scores.length,
    kvHeads: scores[0]!.length,
    limits,
    ruleOf: (layer, kvHead) => (choice.full[layer]![kvHead] ? FULL_RULE : rule),
    place: report.place(0, 'scores'),
    originOf: (layer, kvHead) => `scores[${layer}][${kvHead}]`,
  };
}

/** Sink and window: of the options, else `deploy_sink_size` and `deploy_recent_size`, else `sink_size` and `recent_size`. */
function readSizes(beside: SourceText | undefined, { sink, recent }: FormatOptions, report: Report, diagnostics: DiagnosticList): { readonly sink: number; readonly recent: number } | undefined {
  if (sink !== undefined && recent !== undefined) return { sink, recent };
  const flags = `${FORMAT_OPTIONS.sink.flag} and ${FORMAT_OPTIONS.recent.flag}`;
  if (beside === undefined) {
    report.error('MOA1304', 0, '', `there is no ${CONFIG_FILE} beside the scores to say sink and window`, { help: `put it there, or pass ${flags}` });
    return undefined;
  }
  const document = readJson(beside.text, beside.file, diagnostics);
  if (document === undefined) return undefined;
  const its = new Report(document, diagnostics);
  const { root } = document;
  if (root.kind !== 'object') {
    its.error('MOA1101', root.offset, '', `a config is an object, this is ${describeKind(root.kind)}`);
    return undefined;
  }
  const scope = { node: withoutNulls(root), path: '', report: its };
  const read = (what: 'sink' | 'recent'): number | undefined => {
    const range = what === 'sink' ? SINK_RANGE : WINDOW_RANGE;
    const deployed = readInteger(scope, `deploy_${what}_size`, range);
    const trained = readInteger(scope, `${what}_size`, range);
    if (!scope.node.members.has(`deploy_${what}_size`) && !scope.node.members.has(`${what}_size`)) {
      its.error('MOA1103', root.offset, '', `the key "${what}_size" is missing`, { help: `give the ${CONFIG_FILE} that DuoAttention wrote, or pass ${flags}` });
    }
    return deployed ?? trained;
  };
  const [givenSink, givenRecent] = [sink ?? read('sink'), recent ?? read('recent')];
  return givenSink === undefined || givenRecent === undefined ? undefined : { sink: givenSink, recent: givenRecent };
}

function noteTie({ tie }: HeadChoice, report: Report): void {
  if (tie === undefined) return;
  const message = `${tie.heads} KV heads have the score ${tie.score} of the threshold; the first ${tie.full} of them, by layer and head, attend everything`;
  report.note('MOA1310', 0, '', message, { help: 'DuoAttention adds noise to the scores, so that chance decides' });
}
