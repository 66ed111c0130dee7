import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { sha256 } from '../emit/package.ts';
import type { ElementType } from '../ir/nodes.ts';
import { besideNote, describesModel } from '../plan/besideConfig.ts';
import { CONFIG_FILE, FORMAT_OPTIONS, INPUT_FORMATS, type FormatOptions, type InputFormat, type PlanInput, type SourceText } from '../plan/formats/inputFormat.ts';
import { readFormat } from '../plan/formats/readFormat.ts';
import type { ModelFlags } from '../plan/resolveModelShape.ts';
import { parseModelConfig } from '../plan/parseModelConfig.ts';
import { readInputFile } from '../plan/readInput.ts';
import { DiagnosticList } from '../util/diagnostics.ts';
import type { JsonValue } from '../util/jsonReader.ts';
import { findPlan, isFolder } from './findPlan.ts';

/** Options that every command which reads a plan has. */
export interface InputOptions extends FormatOptions {
  readonly inputFormat?: InputFormat | 'auto';
  /** Path of a Hugging Face config, or of the folder that holds it; false: none, not even one beside the plan. */
  readonly model?: string | false;
  readonly layers?: number;
  readonly queryHeads?: number;
  readonly kvHeads?: number;
  readonly headDim?: number;
  readonly dtype?: readonly ElementType[];
  readonly softcap?: number;
  readonly learnedSinks?: boolean;
  readonly assumePlainAttention?: boolean;
  /** Every warning is an error. */
  readonly strict?: boolean;
}

/** What `--input-format` takes. */
export const inputFormats: readonly (InputFormat | 'auto')[] = ['auto', ...INPUT_FORMATS];

/** All files, so that problems of all are said at once. All or none: undefined when one cannot be read. */
export async function readInputs(
  planPath: string,
  options: InputOptions,
  diagnostics: DiagnosticList,
): Promise<{ readonly plan: PlanInput | undefined; readonly config: SourceText | undefined }> {
  const format = options.inputFormat === 'auto' ? undefined : options.inputFormat;
  const files = findPlan(planPath, format, diagnostics);
  const text = files && (await readSource(files.path, diagnostics));
  const beside = files?.beside === undefined ? undefined : await readSource(files.beside, diagnostics);
  const modelPath = options.model === undefined || options.model === false ? undefined : configPath(options.model);
  const given = modelPath === undefined ? undefined : await readSource(modelPath, diagnostics);
  const plan = text && { ...text, format, beside, options: formatOptions(options) };
  const { assumePlainAttention: assumePlain = false } = options;
  if (plan === undefined || (files?.beside !== undefined && beside === undefined) || (modelPath !== undefined && given === undefined)) {
    // What can be read is looked into all the same.
    if (plan !== undefined && (files?.beside === undefined || beside !== undefined)) readFormat(plan, diagnostics, assumePlain);
    if (given !== undefined) parseModelConfig(given.text, given.file, diagnostics, { assumePlain });
    return { plan: undefined, config: undefined };
  }
  return { plan, config: given ?? (options.model === undefined && beside === undefined ? await configBeside(files!.path, plan, diagnostics) : undefined) };
}

/** The config of a model, where a folder holds it. */
export const configPath = (path: string): string => (isFolder(path) ? join(path, CONFIG_FILE) : path);

/** The `config.json` beside a plan that is not a config itself, if it describes a model; said with a note. */
async function configBeside(path: string, plan: SourceText, diagnostics: DiagnosticList): Promise<SourceText | undefined> {
  const beside = join(dirname(path), CONFIG_FILE);
  if (path === '-' || resolve(beside) === resolve(path) || !existsSync(beside) || describesModel(plan)) return undefined;
  const config = await readSource(beside, new DiagnosticList());
  if (config === undefined || !describesModel(config)) return undefined;
  diagnostics.add(besideNote(config.file));
  return config;
}

async function readSource(path: string, diagnostics: DiagnosticList): Promise<SourceText | undefined> {
  const input = await readInputFile(path, { diagnostics });
  return input && { text: input.bytes, file: input.file };
}

function formatOptions(options: InputOptions): FormatOptions {
  const names = Object.keys(FORMAT_OPTIONS) as (keyof FormatOptions)[];
  return Object.fromEntries(names.map((name) => [name, options[name]]));
}

/** What the rules of a plan come from beside its text, for the manifest. */
export function planFacts({ beside, options = {} }: PlanInput): Readonly<Record<string, JsonValue>> {
  const given = Object.entries(options).flatMap(([name, value]): [string, JsonValue][] => (value === undefined ? [] : [[name, value as JsonValue]]));
  return {
    ...(given.length === 0 ? {} : { options: Object.fromEntries(given) }),
    ...(beside === undefined ? {} : { configSha256: sha256(beside.text) }),
  };
}

/** What the command line says of the model. One element type decides; several are a choice of kernels, not a fact of the model. */
export function modelFlags({ layers, queryHeads, kvHeads, headDim, dtype, softcap: softCap, learnedSinks, assumePlainAttention: assumePlain }: InputOptions): ModelFlags {
  return { layers, queryHeads, kvHeads, headDim, softCap, learnedSinks, assumePlain, ...(dtype?.length === 1 ? { elementType: dtype[0] } : {}) };
}
