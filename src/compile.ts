/**
 * The compiler in one column: plan text to a package of sources. No disk but the templates, no clock, no environment: the same input gives the
 * same bytes. `compilePackage.ts` adds machine code.
 */
import type { Architecture } from './arch/arch.ts';
import { emitKernels } from './emit/emitKernels.ts';
import { emitRuntime } from './emit/emitRuntime.ts';
import { planDefinition } from './emit/planDefinition.ts';
import { printModule } from './ir/print.ts';
import type { ElementType, ScheduledModule } from './ir/nodes.ts';
import type { PlanDefinition } from './ir/planDefinition.ts';
import { maskShapes } from './mask/registry.ts';
import { pipeline } from './passes/pipeline.ts';
import { runPasses, type PassEvent } from './passes/runPasses.ts';
import { buildModule } from './plan/buildModule.ts';
import { parseModelConfig } from './plan/parseModelConfig.ts';
import { parsePlan } from './plan/parsePlan.ts';
import { resolveModelShape, type ModelFlags, type ResolvedModel } from './plan/resolveModelShape.ts';
import type { DiagnosticList } from './util/diagnostics.ts';

export interface SourceText {
  readonly text: Uint8Array | string;
  /** For messages. */
  readonly file: string;
}

export interface CompileOptions {
  /** Rising. */
  readonly architectures: readonly Architecture[];
  /** What the model says by default, or both. */
  readonly elementTypes?: readonly ElementType[];
  /** Emit append kernels that rotate, beside those that do not. True by default. */
  readonly rope?: boolean;
  readonly model?: ModelFlags;
  /** Called after every pass. */
  readonly observe?: (event: PassEvent) => void;
}

export interface CompiledPlan {
  readonly module: ScheduledModule;
  readonly model: ResolvedModel;
  readonly elementTypes: readonly ElementType[];
  /** CUDA sources by path in the package. */
  readonly sources: ReadonlyMap<string, string>;
  /** `index.js` and `index.d.ts`, for cubins at these paths by architecture. */
  readonly runtime: (cubins: Readonly<Record<string, string>>) => { readonly definition: PlanDefinition; readonly files: ReadonlyMap<string, string> };
}

/** Compiles `plan` to sources. Undefined when `diagnostics` got an error. */
export function compile(plan: SourceText, config: SourceText | undefined, options: CompileOptions, diagnostics: DiagnosticList): CompiledPlan | undefined {
  const parsed = parsePlan(plan.text, plan.file, diagnostics);
  const modelConfig = config && parseModelConfig(config.text, config.file, diagnostics);
  if (parsed === undefined || (config !== undefined && modelConfig === undefined)) return undefined;
  const model = resolveModelShape(parsed, modelConfig, options.model ?? {}, diagnostics);
  if (model === undefined) return undefined;

  const elementTypes = options.elementTypes ?? (model.elementType === undefined ? ['bf16', 'fp16'] : [model.elementType]);
  const mask = maskShapes['sinkWindow']!(parsed.limits.sink);
  const context = { architectures: options.architectures, elementTypes, rope: options.rope ?? true, mask };
  const module = runPasses(buildModule(parsed, model.shape), pipeline, context, options.observe) as ScheduledModule;

  return {
    module,
    model,
    elementTypes,
    sources: new Map([...emitKernels(module, mask), ['module.ir', printModule(module)]]),
    runtime: (cubins) => {
      const definition = planDefinition(module, mask, cubins);
      const { javascript, declarations } = emitRuntime(definition, titleOf(module));
      return { definition, files: new Map([['index.js', javascript], ['index.d.ts', declarations]]) };
    },
  };
}

function titleOf({ shape }: ScheduledModule): string {
  return `The runtime of a MoA plan: ${shape.layers} layers, ${shape.queryHeads} query heads on ${shape.kvHeads} KV heads, headDim ${shape.headDim}.`;
}
