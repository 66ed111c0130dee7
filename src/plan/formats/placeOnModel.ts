import type { DiagnosticList } from '../../util/diagnostics.ts';
import type { PlanCode } from '../codes.ts';
import type { ModelConfig } from '../parseModelConfig.ts';
import type { ParsedPlan } from '../planSchema.ts';
import { checkFlags, MODEL_FLAG_NAMES, type ModelFlags } from '../resolveModelShape.ts';
import type { UnplacedPlan } from './unplacedPlan.ts';

/**
 * A rule for every query head, which has that of its KV head. Layers and query heads come from the plan, else from `flags`, else from
 * `config`; reports those that nothing says (MOA1304), and query heads that KV heads cannot share (MOA1205).
 */
export function placeOnModel(plan: UnplacedPlan, config: ModelConfig | undefined, flags: ModelFlags, diagnostics: DiagnosticList): ParsedPlan | undefined {
  const before = diagnostics.errorCount;
  checkFlags(flags, diagnostics);
  const error = (code: PlanCode, message: string, help: string): void => diagnostics.add({ code, severity: 'error', message, help, ...plan.place });
  const given = (field: 'layers' | 'queryHeads', what: string): number | undefined => {
    const value = flags[field] ?? config?.shape[field];
    if (value === undefined) error('MOA1304', `nothing says how many ${what} the model has`, `pass --model config.json, or ${MODEL_FLAG_NAMES[field]}`);
    return value;
  };
  const layers = plan.layers ?? given('layers', 'layers');
  const queryHeads = given('queryHeads', 'query heads');
  if (layers === undefined || queryHeads === undefined || diagnostics.errorCount > before) return undefined;

  const { kvHeads = queryHeads } = plan;
  const groupSize = queryHeads / kvHeads;
  if (!Number.isInteger(groupSize)) {
    error('MOA1205', `${queryHeads} query heads cannot be shared out evenly among ${kvHeads} KV heads`, 'use the file that was made for this model');
    return undefined;
  }
  const kvHeadOf = (queryHead: number): number => Math.floor(queryHead / groupSize);
  return {
    kind: 'parsedPlan',
    format: plan.format,
    file: plan.file,
    layers,
    queryHeads,
    ...(plan.kvHeads === undefined ? {} : { kvHeads }),
    limits: plan.limits,
    rules: Array.from({ length: layers }, (_, layer) => Array.from({ length: queryHeads }, (_head, head) => plan.ruleOf(layer, kvHeadOf(head)))),
    alphasPlace: plan.place,
    originOf: (layer, head) => plan.originOf(layer, kvHeadOf(head)),
  };
}
