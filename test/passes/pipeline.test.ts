/** What holds of every pass for every module: it is pure, repeatable, and leaves a legal module. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { DecodeKernel, KernelNode, Module, ScheduledModule } from '../../src/ir/nodes.ts';
import { printModule } from '../../src/ir/print.ts';
import { verifyModule } from '../../src/ir/verify.ts';
import { familyVariants } from '../../src/arch/families.ts';
import { findArchitecture } from '../../src/arch/registry.ts';
import { pipeline } from '../../src/passes/pipeline.ts';
import { runPasses, type PassEvent } from '../../src/passes/runPasses.ts';
import { arbitraryContext, arbitraryModule, deepFreeze } from './arbitraryModule.ts';

test('passes do not write to their input, give the same output twice, and leave a legal module', () => {
  fc.assert(
    fc.property(arbitraryModule, arbitraryContext, (input, context) => {
      deepFreeze(context);
      let module: Module = deepFreeze(input);
      for (const pass of pipeline) {
        const once = pass.run(module, context);
        verifyModule(once);
        expect(pass.run(module, context)).toStrictEqual(once);
        expect(JSON.parse(JSON.stringify(once)), 'nodes are JSON-safe').toStrictEqual(once);
        module = deepFreeze(once);
      }
      expect(module.kind).toBe('scheduledModule');
    }),
    { numRuns: 100 },
  );
});

test('the printer does not depend on object identity', () => {
  fc.assert(
    fc.property(arbitraryModule, arbitraryContext, (input, context) => {
      const module = runPasses(input, pipeline, context);
      expect(printModule(JSON.parse(JSON.stringify(module)) as Module)).toBe(printModule(module));
    }),
    { numRuns: 50 },
  );
});

test('every layer has each kernel it needs once, for each element type and architecture', () => {
  fc.assert(
    fc.property(arbitraryModule, arbitraryContext, (input, context) => {
      const { kernels, shape, layers } = runPasses(input, pipeline, context) as ScheduledModule;
      const variants = (kernel: KernelNode): boolean => !('rope' in kernel) || !kernel.rope || context.rope;
      expect(kernels.every(variants)).toBe(true);
      const roles = (role: string): string[] => (context.rope ? [role, role] : [role]);
      for (let layer = 0; layer < shape.layers; layer += 1) {
        for (const elementType of context.elementTypes) {
          for (const { name, family } of context.architectures) {
            const mine = kernels.filter((kernel) => kernel.layers.includes(layer) && kernel.elementType === elementType && kernel.architectures.includes(name));
            expect(mine.map(({ role }) => role)).toEqual([...roles('append'), ...roles('decode'), ...(context.decodeTokens > 1 ? ['decode'] : []), ...(context.cacheType === 'e4m3' ? ['expand'] : []), 'prefill']);
            for (const { role, variant } of mine) expect(variant).toBe(familyVariants[family][role]);
            const all = mine.filter((kernel): kernel is DecodeKernel => kernel.role === 'decode');
            const decodes = all.filter(({ tokens }) => tokens === 1);
            for (const many of all.filter(({ tokens }) => tokens > 1)) expect(many).toMatchObject({ tokens: context.decodeTokens, ageMask: true, rope: false, compute: 'tensorCores' });
            const specialised = !context.ablations.includes('unspecialised');
            const masked = !specialised || layers[layer]!.ringGroups.some(({ group }) => group.ageMask);
            for (const decode of decodes) expect(decode).toMatchObject({ ageMask: masked, specialised, cacheType: context.cacheType });
            // Kernels on CUDA cores exist for these alone.
            const cores = specialised && context.cacheType === 'element' && shape.queryHeads / shape.kvHeads <= 8;
            if (context.ablations.includes('cuda-cores') && cores) expect(decodes.map(({ compute }) => compute)).not.toContain('tensorCores');
            if (context.ablations.includes('tensor-cores') || !cores) expect(decodes.map(({ compute }) => compute)).not.toContain('cudaCores');
          }
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('no block asks for more shared memory than its architectures have, and decode finds the room that it counts on', () => {
  fc.assert(
    fc.property(arbitraryModule, arbitraryContext, (input, context) => {
      for (const kernel of (runPasses(input, pipeline, context) as ScheduledModule).kernels) {
        for (const { sharedBytesPerBlock, sharedBytesPerSm } of kernel.architectures.map((name) => findArchitecture(name)!)) {
          expect(kernel.sharedBytes).toBeLessThanOrEqual(sharedBytesPerBlock);
          // CUDA keeps a KiB of each block's.
          if (kernel.role === 'decode') expect(kernel.minBlocksPerSm * (kernel.sharedBytes + 1024)).toBeLessThanOrEqual(sharedBytesPerSm);
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('kernel names are unique and rising', () => {
  fc.assert(
    fc.property(arbitraryModule, arbitraryContext, (input, context) => {
      const names = (runPasses(input, pipeline, context) as ScheduledModule).kernels.map(({ name }) => name);
      expect(names).toEqual([...new Set(names)].sort());
    }),
    { numRuns: 60 },
  );
});

test('runPasses tells of every pass, and ends after stopAfter', () => {
  fc.assert(
    fc.property(arbitraryModule, arbitraryContext, fc.nat(pipeline.length - 1), (input, context, last) => {
      const events: PassEvent[] = [];
      const stop = pipeline[last]!.name;
      const result = runPasses(input, pipeline, context, (event) => events.push(event), stop);
      expect(events.map(({ pass }) => pass)).toEqual(pipeline.slice(0, last + 1).map(({ name }) => name));
      expect(events.at(-1)!.module).toBe(result);
    }),
    { numRuns: 30 },
  );
});
