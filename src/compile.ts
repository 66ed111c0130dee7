/**
 * The compiler in one column: plan text to a package of sources. No disk but the templates, no clock, no environment: the same input gives the
 * same bytes. `compilePackage.ts` adds machine code.
 */
import type { Architecture } from './arch/arch.ts';
import { emitKernels } from './emit/emitKernels.ts';
import { emitRuntime } from './emit/emitRuntime.ts';
import { planDefinition } from './emit/planDefinition.ts';
import { printModule } from './ir/print.ts';
import type { CacheType, ElementType, ScheduledModule } from './ir/nodes.ts';
import type { PlanDefinition, RankDefinition } from './ir/planDefinition.ts';
import { maskShapes } from './mask/registry.ts';
import type { RankAssignment } from './passes/assignRanks.ts';
import { compileOptionProblems } from './passes/compileOptionProblems.ts';
import { pipeline } from './passes/pipeline.ts';
import type { Ablation, PassContext } from './passes/pass.ts';
import { runPasses, type PassEvent } from './passes/runPasses.ts';
import { selectRank } from './passes/selectRank.ts';
import { ropeProblem } from './passes/selectTiles/ropeProblem.ts';
import { readPlan, type PlanInput, type ReadPlan, type SourceText } from './plan/readPlan.ts';
import type { ModelFlags, ResolvedModel } from './plan/resolveModelShape.ts';
import { DiagnosticError, type DiagnosticList } from './util/diagnostics.ts';

export interface CompileOptions {
  /** Rising. */
  readonly architectures: readonly Architecture[];
  /** What the model says by default, or both. */
  readonly elementTypes?: readonly ElementType[];
  /** Emit append and decode kernels that rotate, beside those that do not. True by default. */
  readonly rope?: boolean;
  /** What keys and values are stored as; `element` by default. */
  readonly cacheType?: CacheType;
  /** Tokens that rings keep beyond their spans, for truncation and for several tokens at once in decode: rounded up to whole pages; 0 by default. */
  readonly slack?: number;
  /** The most new tokens of a sequence in one decode, 1 to 16: over 1 kernels for it are emitted, and rings have the slack that it needs. 1 by default. */
  readonly decodeTokens?: number;
  /** What decode kernels go without, for measurements; nothing by default. */
  readonly ablations?: readonly Ablation[];
  readonly model?: ModelFlags;
  /** Called after every pass. */
  readonly observe?: (event: PassEvent) => void;
}

const optionKeys: Readonly<Record<keyof CompileOptions, true>> = Object.freeze({
  architectures: true,
  elementTypes: true,
  rope: true,
  cacheType: true,
  slack: true,
  decodeTokens: true,
  ablations: true,
  model: true,
  observe: true,
});

export interface CompiledPlan {
  readonly module: ScheduledModule;
  readonly model: ResolvedModel;
  readonly elementTypes: readonly ElementType[];
  /** Where the module has a part of the model's heads: which. */
  readonly rank?: RankDefinition;
  /** CUDA sources by path in the package. */
  readonly sources: ReadonlyMap<string, string>;
  /** The last level of the IR as text. */
  readonly ir: string;
  /** What hosts read, for cubins at these paths by architecture, and PTX: the definition, and the files of the module that loads it. */
  readonly runtime: (cubins: Readonly<Record<string, string>>, ptx?: PlanDefinition['ptx']) => { readonly definition: PlanDefinition; readonly files: ReadonlyMap<string, string> };
}

/** What the passes have to know besides the plan. */
export function passContext({ module, model }: ReadPlan, options: CompileOptions): PassContext {
  const elementTypes = options.elementTypes ?? (model.elementType === undefined ? ['bf16', 'fp16'] : [model.elementType]);
  const { architectures, rope = true, cacheType = 'element', slack = 0, decodeTokens = 1, ablations = [] } = options;
  const { page } = module.limits;
  return { architectures, elementTypes, rope, cacheType, slack: Math.ceil(Math.max(slack, decodeTokens - 1) / page) * page, decodeTokens, ablations, mask: maskShapes['sinkWindow']! };
}

/** The part of a plan that one rank runs, as a plan of its own. */
export function readRank({ module, model }: ReadPlan, assignment: RankAssignment, rank: number): ReadPlan & { readonly rank: RankDefinition } {
  const part = selectRank(module, assignment, rank);
  const kvHeads = assignment.layers.map((layer) => layer.kvHeads[rank]!);
  return { module: part, model: { ...model, shape: part.shape }, rank: { rank, ranks: assignment.ranks, kvHeads } };
}

/** Compiles a plan that was read, or the part of one rank: passes, then sources. Throws a DiagnosticError for options that are not legal (MOA2010). */
export function compileModule(read: ReadPlan & { readonly rank?: RankDefinition }, options: CompileOptions): CompiledPlan {
  const problems = compileOptionProblems(options, optionKeys);
  if (problems.length > 0) throw new DiagnosticError(problems, 2);
  const context = passContext(read, options);
  const { elementTypes, mask } = context;
  const module = runPasses(read.module, pipeline, context, options.observe) as ScheduledModule;
  return {
    module,
    model: read.model,
    elementTypes,
    ...(read.rank === undefined ? {} : { rank: read.rank }),
    sources: emitKernels(module, mask),
    ir: printModule(module),
    runtime: (cubins, ptx) => {
      const definition = planDefinition(module, mask, cubins, read.rank, ptx);
      const { javascript, declarations, packageJson } = emitRuntime(definition, titleOf(module, read.rank));
      return { definition, files: new Map([['index.js', javascript], ['index.d.ts', declarations], ['package.json', packageJson]]) };
    },
  };
}

/** Plan text to sources. Undefined when `diagnostics` got an error. */
export function compile(plan: PlanInput, config: SourceText | undefined, options: CompileOptions, diagnostics: DiagnosticList): CompiledPlan | undefined {
  const problems = compileOptionProblems(options, optionKeys);
  for (const problem of problems) diagnostics.add(problem);
  if (problems.length > 0) return undefined;
  const read = readPlan(plan, config, { ...options.model, rope: options.rope ?? true }, diagnostics);
  const unturned = read && options.rope !== false ? ropeProblem(read.module, options.cacheType) : undefined;
  if (unturned !== undefined) diagnostics.add(unturned);
  return read && unturned === undefined ? compileModule(read, options) : undefined;
}

function titleOf({ shape }: ScheduledModule, rank?: RankDefinition): string {
  const part = rank === undefined ? '' : `, rank ${rank.rank} of ${rank.ranks}`;
  return `The runtime of a MoA plan${part}: ${shape.layers} layers, ${shape.queryHeads} query heads on ${shape.kvHeads} KV heads, headDim ${shape.headDim}.`;
}
