import type { ElementType } from '../ir/nodes.ts';
import type { ModelFlags } from '../plan/resolveModelShape.ts';
import { parseModelConfig } from '../plan/parseModelConfig.ts';
import { parsePlan } from '../plan/parsePlan.ts';
import { readInputFile } from '../plan/readInput.ts';
import type { SourceText } from '../plan/readPlan.ts';
import type { DiagnosticList } from '../util/diagnostics.ts';

/** Options that every command which reads a plan has. */
export interface InputOptions {
  /** Path of a Hugging Face config. */
  readonly model?: string;
  readonly layers?: number;
  readonly queryHeads?: number;
  readonly kvHeads?: number;
  readonly headDim?: number;
  readonly dtype?: readonly ElementType[];
  readonly softcap?: number;
  readonly learnedSinks?: boolean;
}

/** Both files, so that problems of both are said at once. Both or neither: undefined when one cannot be read. */
export async function readInputs(
  planPath: string,
  options: InputOptions,
  diagnostics: DiagnosticList,
): Promise<{ readonly plan: SourceText | undefined; readonly config: SourceText | undefined }> {
  const plan = await readInputFile(planPath, { diagnostics });
  const config = options.model === undefined ? undefined : await readInputFile(options.model, { diagnostics });
  if (plan === undefined || (options.model !== undefined && config === undefined)) {
    // The one that can be read is looked into all the same.
    if (plan !== undefined) parsePlan(plan.bytes, plan.file, diagnostics);
    if (config !== undefined) parseModelConfig(config.bytes, config.file, diagnostics);
    return { plan: undefined, config: undefined };
  }
  return { plan: { text: plan.bytes, file: plan.file }, config: config && { text: config.bytes, file: config.file } };
}

/** What the command line says of the model. One element type decides; several are a choice of kernels, not a fact of the model. */
export function modelFlags({ layers, queryHeads, kvHeads, headDim, dtype, softcap: softCap, learnedSinks }: InputOptions): ModelFlags {
  return { layers, queryHeads, kvHeads, headDim, softCap, learnedSinks, ...(dtype?.length === 1 ? { elementType: dtype[0] } : {}) };
}
