import type { JsonDocument, JsonObject } from '../../util/jsonReader.ts';
import { OUR_MARKS } from '../parsePlan.ts';
import { AUTHORS_KEYS } from '../planSchema.ts';
import type { Report } from '../report.ts';
import { SCORES_FILE, type InputFormat, type SourceText } from './inputFormat.ts';
import { STREAMING_KEYS } from './readStreamingLlm.ts';
import { isHeadKv, isMInference, rejectArguments, rejectHeadKv, rejectMInference } from './rejectDynamic.ts';

/** Keys that a `config.json` of DuoAttention has, and no other input. */
const DUO_MARKS: readonly string[] = ['sink_size', 'deploy_sink_size', 'deploy_recent_size'];
/** Keys of which a config of Hugging Face has at least one. */
const HF_MARKS: readonly string[] = ['num_hidden_layers', 'num_attention_heads', 'model_type', 'architectures', 'text_config', 'layer_types', 'sliding_window'];

const FIRST_BYTES = 4096;

/** Whether the text is a table of scores: a file of that kind, or a number and a tab before anything else, which no JSON is. */
export function isTable({ text, file }: SourceText): boolean {
  if (file.endsWith('.tsv')) return true;
  const start = typeof text === 'string' ? text.slice(0, FIRST_BYTES) : Buffer.from(text.subarray(0, FIRST_BYTES)).toString('latin1');
  return /^\s*[-+.\d][-+.\deE]* *\t/.test(start);
}

/**
 * The format of a text in JSON: the only one whose keys it has. Where no key is that of a format it is taken as the MoA authors', whose reader
 * says what is wrong. Undefined with an error for several formats (MOA1301), half of an input (MOA1304), and plans that are made at
 * run time (MOA1321 to MOA1324).
 */
export function formatOf({ root }: JsonDocument, report: Report): InputFormat | undefined {
  if (root.kind === 'array' && isMInference(root)) {
    rejectMInference(root, report);
    return undefined;
  }
  if (root.kind !== 'object') return 'moa';
  const mark = (keys: readonly string[]): string | undefined => keys.find((key) => root.members.has(key));
  if (mark(AUTHORS_KEYS) !== undefined) return mark(OUR_MARKS) === undefined ? 'moa' : 'moa-plan';

  const duo = mark(DUO_MARKS);
  const marks: readonly (readonly [InputFormat, string | undefined])[] = [
    ['moa-plan', mark(OUR_MARKS)],
    ['duo-attention', duo],
    ['streaming-llm', duo === undefined ? mark(STREAMING_KEYS) : mark(['start_size'])],
    ['hf-config', mark(HF_MARKS)],
  ];
  const [first, ...others] = marks.filter(([, key]) => key !== undefined);
  if (first === undefined) return isRejected(root, report) ? undefined : 'moa';
  if (others.length > 0) {
    const found = [first, ...others].map(([format, key]) => `${format} (it has "${key}")`).join(' and ');
    report.error('MOA1301', root.offset, '', `the input could be of the formats ${found}`, { help: 'say which with --input-format' });
    return undefined;
  }
  const [format] = first;
  if (format !== 'duo-attention') return format;
  const help = 'give that file, or the folder with both';
  report.error('MOA1304', root.offset, '', `this is the config of DuoAttention, which says sink and window; the heads are in ${SCORES_FILE}`, { help });
  return undefined;
}

function isRejected(root: JsonObject, report: Report): boolean {
  if (!isHeadKv(root)) return rejectArguments(root, report);
  rejectHeadKv(root, report);
  return true;
}
