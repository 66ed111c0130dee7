import type { Diagnostic } from '../util/diagnostics.ts';
import { DiagnosticList } from '../util/diagnostics.ts';
import { readJson } from '../util/jsonReader.ts';
import type { PlanCode } from './codes.ts';
import type { SourceText } from './formats/inputFormat.ts';
import { AUTHORS_KEYS } from './planSchema.ts';

/** Keys of which the config of a Hugging Face model has at least one. */
const MODEL_MARKS: readonly string[] = ['model_type', 'num_hidden_layers', 'num_attention_heads', 'architectures', 'text_config'];

/** Whether a text is the config of a model, by its keys. Nothing is reported of one that is not. */
export function describesModel({ text, file }: SourceText): boolean {
  const root = readJson(text, file, new DiagnosticList())?.root;
  if (root?.kind !== 'object') return false;
  const has = (key: string): boolean => root.members.has(key);
  return MODEL_MARKS.some(has) && !AUTHORS_KEYS.some(has);
}

/** Says that the config beside a plan is taken as that of its model (MOA1337). */
export function besideNote(file: string): Diagnostic {
  const code: PlanCode = 'MOA1337';
  const help = 'pass --model to use another, or --no-model for none';
  return { code, severity: 'note', message: "it describes the plan's model: it is beside the plan", help, location: { file, line: 1, column: 1 } };
}
