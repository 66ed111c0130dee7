import type { SourceText } from '../compile.ts';
import type { ElementType } from '../ir/nodes.ts';
import type { ModelFlags } from '../plan/resolveModelShape.ts';
import { readInputFile } from '../plan/readInput.ts';
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
}

/** Both files, so that problems of both are said at once. */
export async function readInputs(
  planPath: string,
  options: InputOptions,
  diagnostics: DiagnosticList,
): Promise<{ readonly plan: SourceText | undefined; readonly config: SourceText | undefined }> {
  const plan = await readInputFile(planPath, { diagnostics });
  const config = options.model === undefined ? undefined : await readInputFile(options.model, { diagnostics });
  if (options.model !== undefined && config === undefined) return { plan: undefined, config: undefined };
  return { plan: plan && { text: plan.bytes, file: plan.file }, config: config && { text: config.bytes, file: config.file } };
}

/** What the command line says of the model. One element type decides; several are a choice of kernels, not a fact of the model. */
export function modelFlags({ layers, queryHeads, kvHeads, headDim, dtype }: InputOptions): ModelFlags {
  return { layers, queryHeads, kvHeads, headDim, ...(dtype?.length === 1 ? { elementType: dtype[0] } : {}) };
}
