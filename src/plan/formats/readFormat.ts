import type { DiagnosticList } from '../../util/diagnostics.ts';
import { readJson, type JsonDocument } from '../../util/jsonReader.ts';
import { planOf } from '../parsePlan.ts';
import type { ParsedPlan } from '../planSchema.ts';
import { describeKind, Report } from '../report.ts';
import { formatOf, isTable } from './detectFormat.ts';
import { checkFormatOptions } from './formatOptions.ts';
import type { FormatOptions, InputFormat, PlanInput } from './inputFormat.ts';
import { readDuoAttention } from './readDuoAttention.ts';
import { readHfConfig } from './readHfConfig.ts';
import { readStreamingLlm } from './readStreamingLlm.ts';
import type { UnplacedPlan } from './unplacedPlan.ts';

/**
 * Reads a plan in the format that `input` names, or in the one that its text is certain to have. Undefined when an error was
 * reported; never throws, whatever the text. `assumePlain` as of `ModelConfigOptions`.
 */
export function readFormat(input: PlanInput, diagnostics: DiagnosticList, assumePlain = false): ParsedPlan | UnplacedPlan | undefined {
  if (input.format === 'duo-attention' || (input.format === undefined && isTable(input))) return readDuoAttention(input, diagnostics);
  const before = diagnostics.errorCount;
  const document = readJson(input.text, input.file, diagnostics);
  if (document === undefined) return undefined;
  const report = new Report(document, diagnostics);
  const { options = {} } = input;
  const format = input.format ?? formatOf(document, report);
  if (format === undefined || format === 'duo-attention' || !checkFormatOptions(format, options, report)) return undefined;
  const plan = readDocument(format, document, options, report, diagnostics, assumePlain);
  return diagnostics.errorCount > before ? undefined : plan;
}

function readDocument(format: Exclude<InputFormat, 'duo-attention'>, document: JsonDocument, options: FormatOptions, report: Report, diagnostics: DiagnosticList, assumePlain: boolean): ParsedPlan | UnplacedPlan | undefined {
  if (format === 'moa' || format === 'moa-plan') return planOf(document, diagnostics, format);
  const { root } = document;
  if (root.kind !== 'object') {
    report.error('MOA1101', root.offset, '', `an input of the format ${format} is an object, this is ${describeKind(root.kind)}`);
    return undefined;
  }
  return format === 'hf-config' ? readHfConfig(document, root, report, diagnostics, assumePlain) : readStreamingLlm(document, root, options, report);
}
