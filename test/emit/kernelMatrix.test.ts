/** Emitted kernels over the space of specialisations: all as text, and a dozen that differ in every respect through the host's compiler. */
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { CacheType, ElementType, KernelName, KernelNode, KernelRole } from '../../src/ir/nodes.ts';
import { variantOf } from '../../src/kernels/variants.ts';
import type { Ablation } from '../../src/passes/pass.ts';
import type { ModelFlags } from '../../src/plan/resolveModelShape.ts';
import { findHostCompiler } from '../../src/toolchain/findHostCompiler.ts';
import { buildHostKernel } from '../../src/toolchain/hostKernel.ts';
import { KernelCache } from '../../src/toolchain/kernelCache.ts';
import { repositoryPath } from '../cli/installed.ts';
import { compileText, planText, targetsOf } from '../compile/support.ts';

interface Spec {
  readonly elementType: ElementType;
  readonly headDim: 64 | 128 | 256;
  readonly groupSize: number;
  readonly sink: number;
  readonly mixed: boolean;
  readonly rope: boolean;
  readonly cacheType?: CacheType;
  readonly ablations?: readonly Ablation[];
  readonly model?: ModelFlags;
}

const { architectures } = targetsOf('sm_80', 'sm_86', 'sm_90a');

interface Emitted {
  readonly kernel: KernelNode;
  readonly text: string;
}

function emit({ elementType, headDim, groupSize, sink, mixed, rope, cacheType = 'element', ablations = [], model = {} }: Spec, on = architectures): Emitted[] {
  const text = planText({ queryHeads: 2 * groupSize, kvHeads: 2, headDim, sink, mixed });
  const { module, sources } = compileText(text, { architectures: on, elementTypes: [elementType], rope, cacheType, ablations, model });
  return module.kernels.map((kernel) => ({ kernel, text: sources.get(`kernels/${kernel.name}.cu`)! }));
}

const choices = <T>(...values: T[]): T[] => values;
const unspecialised: Spec = { elementType: 'bf16', headDim: 64, groupSize: 4, sink: 64, mixed: true, rope: true, ablations: ['unspecialised'] };
const space: Spec[] = choices<ElementType>('bf16', 'fp16').flatMap((elementType) =>
  choices<64 | 128 | 256>(64, 128, 256).flatMap((headDim) =>
    [1, 2, 4, 8].flatMap((groupSize) =>
      [0, 64, 100].flatMap((sink) => [false, true].flatMap((mixed) => [false, true].map((rope) => ({ elementType, headDim, groupSize, sink, mixed, rope })))),
    ),
  ),
).concat(
  choices<ModelFlags>({ softCap: 50 }, { softCap: 0.5 }, { learnedSinks: true }, { softCap: 50, learnedSinks: true }).flatMap((model) => [false, true].map((rope) => ({ ...unspecialised, ablations: [], rope, model }))),
).concat(
  choices<CacheType>('element', 'e4m3').flatMap((cacheType) =>
    choices<readonly Ablation[]>([], ['unspecialised'], ['cuda-cores'], ['unspecialised', 'cuda-cores']).map((ablations) => ({ ...unspecialised, cacheType, ablations })),
  ),
);

describe('as text', () => {
  const all = space.flatMap((of) => emit(of));

  test('a name says all that its text depends on', () => {
    const texts = new Map<string, string>();
    for (const { kernel, text } of all) {
      expect(texts.get(kernel.name) ?? text, kernel.name).toBe(text);
      texts.set(kernel.name, text);
    }
    expect(new Set(texts.values()).size).toBe(texts.size);
    expect([...texts.keys()].every((name) => /^[a-z][a-z0-9_]*$/.test(name))).toBe(true);
  });

  test('the constants are those of the specialisation, and one entry has the name', () => {
    for (const { kernel, text } of all) {
      const { headDim, queryHeads, threads, minBlocksPerSm, name } = kernel;
      const has = (line: string): void => expect(text, name).toContain(line);
      has(`kHeadDim = ${headDim};`);
      if (kernel.role === 'append') has(`kQueryHeads = ${queryHeads};`);
      else if (kernel.role === 'expand') has(`kKvHeads = ${kernel.kvHeads};`);
      else has(`queryHeads([[maybe_unused]] const Params& p) { return ${kernel.specialised ? queryHeads : 'p.queryHeads'}; }`);
      has(`using Element = moa::${kernel.elementType === 'bf16' ? 'Bfloat16' : 'Half'};`);
      has(`kSharedBytes == ${kernel.sharedBytes},`);
      if (kernel.role === 'decode') {
        has(`kAgeMask = ${kernel.ageMask};`);
        has(`kProducer = ${variantOf(kernel).features.producerWarp};`);
        has(`kThreads == ${threads},`);
      }
      if (kernel.role === 'expand') has(`kThreads == ${threads},`);
      if ('rope' in kernel) has(`kRope = ${kernel.rope};`);
      if (kernel.role === 'prefill' && kernel.variant === 'hopper') has(`kGroups = ${kernel.groups};`);
      if ('softCap' in kernel) has(`return moa::minimum(i + 1, ${kernel.sink});`);
      expect(text.match(/^MOA_KERNEL\(.*$/gm), name).toEqual([`MOA_KERNEL(${name}, Params, ${threads}, ${minBlocksPerSm}) {`]);
      expect(text, name).not.toMatch(/undefined|\[object|NaN|\{\{/);
    }
  });

  test('what is not specialised names the fields of the launch', () => {
    for (const { kernel, text } of emit(unspecialised)) {
      if (kernel.role !== 'decode') continue;
      for (const field of ['groupSize', 'queryHeads', 'kvHeads', 'sink']) expect(text, kernel.name).toMatch(new RegExp(`(return|\\{) p\\.${field}[; ]`));
      expect(text, kernel.name).toContain('kMaxGroup = 16;');
    }
  });

  test('nothing in a kernel names an architecture: only units do', () => {
    for (const { kernel, text } of all) expect(text, kernel.name).not.toMatch(/sm_\d|__CUDA_ARCH__/);
  });
});

/** An architecture that runs each variant. */
const architectureOf: Readonly<Record<KernelName['variant'], string>> = { portable: 'sm_80', hopper: 'sm_90a' };
type Variant = keyof typeof architectureOf;

const specOf = (variants: readonly Variant[]) =>
  (role: KernelRole, elementType: ElementType, headDim: 64 | 128 | 256, groupSize: number, sink: number, flag = false): { readonly role: KernelRole; readonly of: Spec; readonly variants: readonly Variant[] } => ({
    role,
    of: { elementType, headDim, groupSize, sink, mixed: role === 'decode' && flag, rope: role !== 'prefill' && flag, ...(role === 'expand' ? { cacheType: 'e4m3' } : {}) },
    variants,
  });
const [spec, hopper, both] = [specOf(['portable']), specOf(['hopper']), specOf(['portable', 'hopper'])];
/** The last is the rotation, and decode's age mask. */
const dozen = [
  spec('prefill', 'bf16', 64, 1, 0),
  spec('prefill', 'fp16', 128, 4, 64),
  spec('prefill', 'bf16', 128, 8, 100),
  spec('prefill', 'fp16', 64, 2, 100),
  hopper('prefill', 'bf16', 64, 2, 0),
  hopper('prefill', 'fp16', 128, 4, 64),
  hopper('prefill', 'bf16', 256, 2, 0),
  both('decode', 'fp16', 64, 1, 64),
  both('decode', 'bf16', 128, 4, 64, true),
  both('decode', 'fp16', 128, 8, 100, true),
  both('decode', 'bf16', 64, 8, 0),
  both('decode', 'bf16', 64, 2, 0, true),
  spec('append', 'bf16', 64, 1, 0),
  spec('append', 'fp16', 128, 8, 100, true),
  spec('append', 'fp16', 64, 4, 64, true),
  spec('expand', 'bf16', 64, 1, 0),
  spec('expand', 'fp16', 256, 4, 64),
];

const compiler = await findHostCompiler(process.env).catch(() => undefined);

describe.skipIf(compiler === undefined)("on the emulator's primitives (skipped where there is no C++20 compiler)", () => {
  const cache = KernelCache.open(join(tmpdir(), `moa-emit-tests-${process.getuid?.() ?? 0}`));
  const includeFolders = ['templates/include', 'native/emulator/include'].map(repositoryPath);
  const furtherInputs = [repositoryPath('native/emulator/abi.h')];
  const engineText = readFileSync(repositoryPath('native/emulator/engine.cpp'), 'utf8');
  const engine = { name: 'engine', text: engineText, includeFolders: includeFolders.slice(1), furtherInputs };

  const emitted = dozen.flatMap(({ role, of, variants }) => variants.map((variant) => [`${role} ${variant} ${JSON.stringify(of)}`, role, of, variant] as const));

  test.each(emitted)('%s compiles', async (_, role, of, variant) => {
    const { kernel, text } = emit(of, targetsOf(architectureOf[variant]).architectures).findLast((emittedKernel) => emittedKernel.kernel.role === role)!;
    expect(kernel.variant).toBe(variant);
    if (kernel.role === 'decode') expect(kernel.ageMask).toBe(of.mixed);
    if ('rope' in kernel) expect(kernel.rope).toBe(of.rope);
    await buildHostKernel(compiler!, { name: kernel.name, text, includeFolders, furtherInputs, engine }, cache, { variables: process.env });
    expect(cache.warnings).toEqual([]);
  });
});
