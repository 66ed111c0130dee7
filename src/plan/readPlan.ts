import type { HeadModule } from '../ir/nodes.ts';
import type { DiagnosticList } from '../util/diagnostics.ts';
import { buildModule } from './buildModule.ts';
import { parseModelConfig } from './parseModelConfig.ts';
import { parsePlan } from './parsePlan.ts';
import { resolveModelShape, type ModelFlags, type ResolvedModel } from './resolveModelShape.ts';

export interface SourceText {
  readonly text: Uint8Array | string;
  /** For messages. */
  readonly file: string;
}

/** A plan and its model, read and found legal. */
export interface ReadPlan {
  readonly module: HeadModule;
  readonly model: ResolvedModel;
}

/** Reads `plan`, and the model's shape from flags, `config` or the plan. Undefined when `diagnostics` got an error. */
export function readPlan(plan: SourceText, config: SourceText | undefined, flags: ModelFlags, diagnostics: DiagnosticList): ReadPlan | undefined {
  const parsed = parsePlan(plan.text, plan.file, diagnostics);
  const modelConfig = config && parseModelConfig(config.text, config.file, diagnostics);
  if (parsed === undefined || (config !== undefined && modelConfig === undefined)) return undefined;
  const model = resolveModelShape(parsed, modelConfig, flags, diagnostics);
  return model && { module: buildModule(parsed, model.shape, model.attention), model };
}
