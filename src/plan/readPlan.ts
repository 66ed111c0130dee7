import type { HeadModule } from '../ir/nodes.ts';
import type { DiagnosticList } from '../util/diagnostics.ts';
import { buildModule } from './buildModule.ts';
import type { PlanInput, SourceText } from './formats/inputFormat.ts';
import { placeOnModel } from './formats/placeOnModel.ts';
import { readFormat } from './formats/readFormat.ts';
import { parseModelConfig } from './parseModelConfig.ts';
import { resolveModelShape, type ModelFlags, type ResolvedModel } from './resolveModelShape.ts';

export type { PlanInput, SourceText } from './formats/inputFormat.ts';

/** A plan and its model, read and found legal. */
export interface ReadPlan {
  readonly module: HeadModule;
  readonly model: ResolvedModel;
}

/** Reads `plan`, and the model's shape from flags, `config` or the plan. Undefined when `diagnostics` got an error. */
export function readPlan(plan: PlanInput, config: SourceText | undefined, flags: ModelFlags, diagnostics: DiagnosticList): ReadPlan | undefined {
  const read = readFormat(plan, diagnostics);
  const modelConfig = config && parseModelConfig(config.text, config.file, diagnostics);
  if (read === undefined || (config !== undefined && modelConfig === undefined)) return undefined;
  const parsed = read.kind === 'parsedPlan' ? read : placeOnModel(read, modelConfig, flags, diagnostics);
  if (parsed === undefined) return undefined;
  if (flags.rope !== false) {
    const { ropeProblems = [] } = modelConfig ?? parsed.model ?? {};
    ropeProblems.forEach((problem) => diagnostics.add(problem));
    if (ropeProblems.some(({ severity }) => severity === 'error')) return undefined;
  }
  const model = resolveModelShape(parsed, modelConfig, flags, diagnostics);
  return model && { module: buildModule(parsed, model.shape, model.attention, model.rope), model };
}
