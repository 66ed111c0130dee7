/** What is emitted, through the real nvcc. Cubins are kept by content, so only what changed is compiled. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compilePackage } from '../../src/compilePackage.ts';
import type { ScheduledModule } from '../../src/ir/nodes.ts';
import { plannerEntries } from '../../src/kernels/planners.ts';
import { cubinProblem } from '../../src/toolchain/checkImage.ts';
import { findNvcc } from '../../src/toolchain/findNvcc.ts';
import { KernelCache } from '../../src/toolchain/kernelCache.ts';
import { compileText, planText, targetsOf } from '../compile/support.ts';
import { scratchFolder } from '../toolchain/helpers.ts';

const nvcc = await findNvcc({ variables: process.env }).catch(() => undefined);
if (nvcc === undefined) console.warn('SKIPPED: tests with the real nvcc; put it on PATH to run them');
const { targets, architectures } = targetsOf('sm_80', 'sm_90', 'sm_90a');

const namesFor = ({ kernels }: ScheduledModule, architecture: string): string[] => kernels.filter((kernel) => kernel.architectures.includes(architecture)).map((kernel) => kernel.name);

describe.skipIf(nvcc === undefined)('the real nvcc (skipped where there is none)', () => {
  const cache = KernelCache.open(join(tmpdir(), `moa-emit-tests-${process.getuid?.() ?? 0}`));
  const toolchain = { nvcc: nvcc!, cache, build: { variables: process.env, jobs: 2 } };

  // A spill is an error (MOA4105), so a package that is built has none.
  test.each([
    { headDim: 64, groupSize: 4, elementType: 'fp16', sink: 64 },
    { headDim: 128, groupSize: 4, elementType: 'bf16', sink: 64 },
    { headDim: 128, groupSize: 1, elementType: 'fp16', sink: 100 },
    { headDim: 64, groupSize: 8, elementType: 'bf16', sink: 64, model: { softCap: 50, learnedSinks: true } },
  ] as const)('units of %j for three architectures, without spills', async ({ headDim, groupSize, elementType, sink, ...options }) => {
    const text = planText({ layers: 2, queryHeads: 8 * groupSize, kvHeads: 8, headDim, sink, mixed: true });
    const compiled = compileText(text, { architectures, elementTypes: [elementType], ...options });
    const { files, kernels, units } = await compilePackage(compiled, { emit: new Set(['cubin', 'ts']), targets, toolchain, planText: text, version: '1.2.3' });
    expect(units.total).toBe(3);
    const plannersOfUnits = units.total * plannerEntries.length;
    expect(kernels).toHaveLength(compiled.module.kernels.flatMap((kernel) => kernel.architectures).length + plannersOfUnits);
    for (const { name, registers, threads, sharedBytes, architecture } of kernels) {
      const limits = architectures.find((known) => known.name === architecture)!;
      expect(registers * threads, name).toBeLessThanOrEqual(limits.registersPerSm);
      expect(sharedBytes, name).toBeLessThanOrEqual(limits.sharedBytesPerBlock);
    }
    for (const { name } of targets) expect(cubinProblem(files.files.get(`cubin/${name}.cubin`) as Uint8Array, namesFor(compiled.module, name))).toBeUndefined();
    expect(cache.warnings).toEqual([]);
  });

  test.each(['sm_80', 'sm_90', 'sm_90a'])('a package stands alone: the command in the unit of %s compiles it, without warnings', (architecture) => {
    const folder = scratchFolder();
    const { sources, module } = compileText(planText({ layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64, sink: 0, mixed: true }), { architectures, elementTypes: ['bf16'] });
    for (const [path, text] of sources) {
      mkdirSync(join(folder, dirname(path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    const [program, ...args] = /^\/\/ +(nvcc .*)$/m.exec(sources.get(`kernels/all.${architecture}.cu`)!)![1]!.split(' ');
    expect(program).toBe('nvcc');
    execFileSync(nvcc!.path, [...args, '-Werror', 'all-warnings', '-o', 'all.cubin'], { cwd: folder });
    expect(cubinProblem(readFileSync(join(folder, 'all.cubin')), namesFor(module, architecture))).toBeUndefined();
  });
});
