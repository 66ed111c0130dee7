/** One CUDA source for each test shape: all of its kernels, with and without age mask and RoPE. nvcc makes `<shape>.cubin` of it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kernelContext } from '../../src/emit/kernelContext.ts';
import { renderKernel } from '../../src/emit/templateEngine.ts';
import { compileSpec, type RuleSpec } from '../properties/plans.ts';
import { shapeOf } from '../properties/shapes.ts';

/** What a GPU tests: every group size class, both types and head dimensions, odd sinks, and real models. */
export const gpuShapes = [
  'bf16_d64_2x2', 'bf16_d64_2x1', 'bf16_d64_4x2', 'fp16_d64_6x2', 'bf16_d64_12x1', 'bf16_d128_3x1', 'fp16_d128_2x2', 'fp16_d128_16x1',
  'bf16_d64_2x1_sink4', 'bf16_d64_2x2_sink0', 'fp16_d128_2x1_sink100', 'vicuna', 'llama3',
] as const;

export function writeSources(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const shape of gpuShapes) {
    const { queryHeads } = shapeOf(shape);
    const heads = (rule: (head: number) => RuleSpec): RuleSpec[] => Array.from({ length: queryHeads }, (_, head) => rule(head));
    const { kernels, mask } = compileSpec({ shape, rules: [heads((head) => [128 + 64 * head, 0, 1]), heads(() => [0, 1, 1])], rope: true });
    writeFileSync(join(folder, `${shape}.cu`), kernels.map((kernel) => renderKernel(kernel.role, kernelContext(kernel, mask))).join('\n'));
  }
}
