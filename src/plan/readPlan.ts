import type { HeadModule } from '../ir/nodes.ts';
import type { DiagnosticList } from '../util/diagnostics.ts';
import { buildModule } from './buildModule.ts';
import type { PlanInput, SourceText } from './formats/inputFormat.ts';
import { placeOnModel } from './formats/placeOnModel.ts';
import { readFormat } from './formats/readFormat.ts';
import { parseModelConfig } from './parseModelConfig.ts';
import { resolveModelShape, type ModelFlags, type ResolvedModel } from './resolveModelShape.ts';
import { resolveWindows } from './resolveWindows.ts';

export type { PlanInput, SourceText } from './formats/inputFormat.ts';

/** A plan and its model, read and found legal. */
export interface ReadPlan {
  readonly module: HeadModule;
  readonly model: ResolvedModel;
}

/** Reads `plan`, and the model's shape from flags, `config` or the plan. Undefined when `diagnostics` got an error. */
export function readPlan(plan: PlanInput, config: SourceText | undefined, flags: ModelFlags, diagnostics: DiagnosticList): ReadPlan | undefined {
  const { assumePlain = false } = flags;
  const read = readFormat(plan, diagnostics, assumePlain);
  const modelConfig = config && parseModelConfig(config.text, config.file, diagnostics, { assumePlain });
  if (read === undefined || (config !== undefined && modelConfig === undefined)) return undefined;
  const parsed = read.kind === 'parsedPlan' ? read : placeOnModel(read, modelConfig, flags, diagnostics);
  if (parsed === undefined) return undefined;
  if (flags.rope !== false) {
    const { ropeProblems = [] } = modelConfig ?? parsed.model ?? {};
    ropeProblems.forEach((problem) => diagnostics.add(problem));
    if (ropeProblems.some(({ severity }) => severity === 'error')) return undefined;
  }
  const model = resolveModelShape(parsed, modelConfig, flags, diagnostics);
  const windows = resolveWindows(parsed, modelConfig, plan.options ?? {}, diagnostics);
  if (model === undefined || windows === undefined) return undefined;
  return { module: buildModule(parsed, model.shape, model.attention, windows, model.rope), model };
}
