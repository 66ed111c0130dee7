/**
 * One CUDA source for each test shape and kernel family: all of its kernels, with and without age mask and RoPE. nvcc makes
 * a cubin of it, which `cubinName` names.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kernelContext, plannerContext } from '../../src/emit/kernelContext.ts';
import { renderKernel, renderPlanner } from '../../src/emit/templateEngine.ts';
import { plannerEntries } from '../../src/kernels/planners.ts';
import { stableJson } from '../../src/util/stableJson.ts';
import { cubinName } from '../properties/harness.ts';
import { compileSpec, type PlanSpec, type RuleSpec } from '../properties/plans.ts';
import { shapeOf } from '../properties/shapes.ts';

/** What a GPU tests: every group size class, both types, all head dimensions, odd sinks, and real models. */
export const gpuShapes = [
  'bf16_d64_2x2', 'bf16_d64_2x1', 'bf16_d64_4x2', 'fp16_d64_6x2', 'bf16_d64_12x1', 'bf16_d128_3x1', 'fp16_d128_2x2', 'fp16_d128_16x1',
  'bf16_d64_2x1_sink4', 'bf16_d64_2x2_sink0', 'fp16_d128_2x1_sink100', 'bf16_d256_2x1', 'fp16_d256_2x2', 'bf16_d256_8x1', 'fp16_d256_16x1', 'vicuna', 'llama3',
] as const;

type GpuShape = (typeof gpuShapes)[number];

type Variant = Pick<PlanSpec, 'cacheType' | 'ablations' | 'slack' | 'decodeTokens' | 'softCap' | 'learnedSinks' | 'modelWindows' | 'architecture'>;

/** Kernels beside the usual ones: a cache of 8 bits, several tokens at once, what ablations leave, options of scores, and tiles for little shared memory. */
const variants: readonly { readonly shapes: readonly GpuShape[]; readonly spec: Variant }[] = [
  { shapes: gpuShapes, spec: {} },
  { shapes: ['bf16_d64_2x1', 'bf16_d64_4x2', 'fp16_d64_6x2', 'bf16_d128_3x1', 'fp16_d128_2x2', 'fp16_d128_16x1', 'bf16_d256_2x1', 'bf16_d256_8x1'], spec: { cacheType: 'e4m3' } },
  { shapes: ['bf16_d64_2x1', 'bf16_d64_4x2', 'fp16_d64_6x2', 'bf16_d128_3x1', 'fp16_d128_2x2', 'fp16_d128_16x1', 'bf16_d64_2x1_sink4', 'bf16_d64_2x2_sink0', 'bf16_d256_2x1', 'fp16_d256_16x1', 'llama3'], spec: { slack: 64, decodeTokens: 16 } },
  { shapes: ['bf16_d64_2x1', 'fp16_d64_6x2', 'fp16_d128_2x2', 'bf16_d256_2x1'], spec: { cacheType: 'e4m3', slack: 64, decodeTokens: 16 } },
  { shapes: ['bf16_d64_2x1', 'fp16_d64_6x2', 'bf16_d128_3x1', 'fp16_d128_2x2', 'bf16_d256_2x1'], spec: { ablations: ['unspecialised'] } },
  { shapes: ['bf16_d64_2x1', 'fp16_d64_6x2', 'bf16_d128_3x1', 'fp16_d128_2x2'], spec: { ablations: ['cuda-cores'] } },
  { shapes: ['bf16_d64_4x2', 'bf16_d128_3x1', 'fp16_d128_2x2', 'fp16_d128_16x1', 'bf16_d256_8x1'], spec: { softCap: 2.5, learnedSinks: true } },
  { shapes: ['bf16_d64_4x2', 'fp16_d128_2x2'], spec: { learnedSinks: true } },
  { shapes: ['bf16_d64_4x2'], spec: { cacheType: 'e4m3', softCap: 2.5, learnedSinks: true } },
  { shapes: ['bf16_d256_2x1', 'fp16_d256_2x2'], spec: { architecture: 'sm_86' } },
  { shapes: ['bf16_d64_4x2', 'fp16_d64_6x2', 'bf16_d128_3x1', 'fp16_d128_2x2', 'bf16_d256_2x1'], spec: { modelWindows: [4096, 4096] } },
  { shapes: ['bf16_d64_4x2', 'fp16_d128_2x2'], spec: { cacheType: 'e4m3', modelWindows: [4096, 4096] } },
  { shapes: ['bf16_d64_4x2', 'fp16_d64_6x2'], spec: { slack: 64, decodeTokens: 16, modelWindows: [4096, 4096] } },
];

/** The shapes that a variant is built for. */
export const shapesWith = (wanted: Variant): readonly GpuShape[] => variants.find(({ spec }) => stableJson(spec) === stableJson(wanted))!.shapes;

export function writeSources(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const [shape, variant] of variants.flatMap(({ shapes, spec }) => shapes.map((name) => [name, spec] as const))) {
    const { queryHeads } = shapeOf(shape);
    const heads = (rule: (head: number) => RuleSpec): RuleSpec[] => Array.from({ length: queryHeads }, (_, head) => rule(head));
    // With windows of the model's own in the first two alone: kernels without a sink and with one.
    const layers = [heads((head) => [128 + 64 * head, 0, 1]), heads(() => [0, 1, 1])];
    for (const family of variant.architecture === undefined ? (['portable', 'hopper'] as const) : (['portable'] as const)) {
      const spec: PlanSpec = { shape, rules: [...layers, ...layers], rope: true, family, ...variant };
      // With slack too: decode masks by age then, in groups of one head as well.
      const { module, mask } = compileSpec(spec);
      const kernels = new Map([...module.kernels, ...compileSpec({ ...spec, slack: 64 }).module.kernels].map((kernel) => [kernel.name, kernel]));
      const planners = plannerEntries.map(([role, planner]) => renderPlanner(role, plannerContext(planner, module, mask)));
      writeFileSync(join(folder, `${cubinName(spec)}.cu`), [...[...kernels.values()].map((kernel) => renderKernel(kernel, kernelContext(kernel, mask))), ...planners].join('\n'));
    }
  }
}
