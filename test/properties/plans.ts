/** Makes a compiled plan in memory from a few numbers: the compiler's own passes, without a plan file. */
import type { KernelFamily } from '../../src/arch/arch.ts';
import { findArchitecture } from '../../src/arch/registry.ts';
import { planDefinition } from '../../src/emit/planDefinition.ts';
import { usualAttention } from '../../src/ir/attention.ts';
import type { CacheType, HeadModule, ScheduledModule } from '../../src/ir/nodes.ts';
import type { PlanDefinition } from '../../src/ir/planDefinition.ts';
import type { ModelRope } from '../../src/ir/rope.ts';
import { maskShapes } from '../../src/mask/registry.ts';
import type { MaskFamily } from '../../src/mask/mask.ts';
import type { Ablation } from '../../src/passes/pass.ts';
import { pipeline } from '../../src/passes/pipeline.ts';
import { runPasses } from '../../src/passes/runPasses.ts';
import type { OracleRule } from '../oracle/mask.ts';
import { limitsOf, shapeOf } from './shapes.ts';

/** `[alpha, numerator, denominator]`. */
export type RuleSpec = readonly [number, number, number];

export interface PlanSpec {
  /** A name in `shapes`. */
  readonly shape: string;
  /** `[layer][query head]`. */
  readonly rules: readonly (readonly RuleSpec[])[];
  /** `[layer]`: the model's own window, or null; none by default. */
  readonly modelWindows?: readonly (number | null)[];
  readonly rope: boolean;
  /** That of the model; not known by default. */
  readonly modelRope?: ModelRope;
  /** Of the kernels; `portable` by default. */
  readonly family?: KernelFamily;
  /** Whose tiles are taken; by default the one of the family in `testArchitectures`. */
  readonly architecture?: string;
  readonly cacheType?: CacheType;
  /** Tokens that rings keep beyond their spans: whole pages. */
  readonly slack?: number;
  /** The most tokens of a sequence in one decode; it needs slack. 1 by default. */
  readonly decodeTokens?: number;
  /** 0, the default: none. */
  readonly softCap?: number;
  readonly learnedSinks?: boolean;
  readonly ablations?: readonly Ablation[];
  /** Items of prefill with more pages than this are cut in two. */
  readonly splitPages?: number;
}

export interface CompiledSpec {
  readonly definition: PlanDefinition;
  readonly module: ScheduledModule;
  readonly mask: MaskFamily;
}

export const ruleOf = ([alpha, numerator, denominator]: RuleSpec): OracleRule => ({ alpha, numerator, denominator });

/** The architectures whose tiles are tested. */
export const testArchitectures: Readonly<Record<KernelFamily, string>> = { portable: 'sm_90', hopper: 'sm_90a' };

/** The first level of a spec. */
export function moduleOf(spec: Pick<PlanSpec, 'shape' | 'rules' | 'modelWindows' | 'softCap' | 'learnedSinks' | 'modelRope'>): HeadModule {
  const { headDim, queryHeads, kvHeads } = shapeOf(spec.shape);
  return {
    kind: 'headModule',
    shape: { layers: spec.rules.length, queryHeads, kvHeads, headDim },
    attention: { ...usualAttention({ headDim }), softCap: spec.softCap ?? 0, learnedSinks: spec.learnedSinks ?? false },
    rope: spec.modelRope ?? null,
    limits: limitsOf(shapeOf(spec.shape)),
    layers: spec.rules.map((heads, layer) => ({
      kind: 'headLayer',
      modelWindow: spec.modelWindows?.[layer] ?? null,
      heads: heads.map((rule, head) => ({ kind: 'head', rule: { kind: 'rule', ...lowestTerms(rule) }, origin: { path: `alphas[${layer}][${head}]` } })),
    })),
  };
}

export function compileSpec(spec: PlanSpec): CompiledSpec {
  const { elementType } = shapeOf(spec.shape);
  const name = spec.architecture ?? testArchitectures[spec.family ?? 'portable'];
  const architecture = findArchitecture(name);
  if (architecture === undefined) throw new Error(`the compiler does not know ${name}`);
  const mask = maskShapes['sinkWindow']!;
  const context = { architectures: [architecture], elementTypes: [elementType], rope: spec.rope, cacheType: spec.cacheType ?? 'element', slack: spec.slack ?? 0, decodeTokens: spec.decodeTokens ?? 1, ablations: spec.ablations ?? [], mask } as const;
  const scheduled = runPasses(moduleOf(spec), pipeline, context) as ScheduledModule;
  const definition = planDefinition(scheduled, mask, {});
  const prefill = spec.splitPages === undefined ? definition.prefill : { ...definition.prefill, splitPages: spec.splitPages, splitShare: [0, 1] as const };
  return { definition: { ...definition, prefill }, module: scheduled, mask };
}

function lowestTerms(spec: RuleSpec): OracleRule {
  const { alpha, numerator, denominator } = ruleOf(spec);
  let [a, b] = [numerator, denominator];
  while (b > 0) [a, b] = [b, a % b];
  return { alpha, numerator: numerator / a, denominator: denominator / a };
}
