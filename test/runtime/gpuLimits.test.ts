/** Every kernel of a package is compared with the GPU before `load` returns, with a driver that claims what it is told to. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import type { KernelDefinition, PlanDefinition, PlannerDefinition } from '../../src/ir/planDefinition.ts';
import { Device, Kernel, loadAddon } from '../../src/runtime/index.ts';
import { Plan } from '../../src/runtime/plan.ts';
import { compileSpec } from '../properties/plans.ts';
import { FakeCuda, fakeCubin } from './fakes/fakes.ts';

const fake = new FakeCuda(['-DOLD_DRIVER']);
const addon = loadAddon();
addon.setCudaLibrary(fake.library);
const folder = mkdtempSync(join(tmpdir(), 'moa-gpu-limits-'));
mkdirSync(join(folder, 'cubin'));
afterAll(() => {
  addon.setCudaLibrary();
  fake.remove();
  rmSync(folder, { recursive: true });
});
let device: Device | undefined;
afterEach(() => {
  fake.control({});
  device?.dispose();
});

const code = (number: string, message: RegExp) => expect.objectContaining({ code: number, message: expect.stringMatching(message) });
const base = compileSpec({ shape: 'bf16_d128_3x1', rules: [[[128, 0, 1], [0, 1, 1], [0, 1, 1]]], rope: false }).definition;

/** A package of these architectures, whose decode needs so many bytes; every file of machine code is one that the fake driver takes. */
function packageOf(needs: Readonly<Record<string, number>>, ptx: readonly string[] = []): PlanDefinition {
  const names = Object.keys(needs);
  const kernels = base.kernels.flatMap((kernel): KernelDefinition[] =>
    kernel.role === 'decode' ? names.map((name) => ({ ...kernel, name: `${kernel.name}_${name}`, architectures: [name], sharedBytes: needs[name]! })) : [{ ...kernel, architectures: names, sharedBytes: 16 }],
  );
  const paths = [...names.map((name) => `cubin/${name}.cubin`), 'cubin/all.fatbin'];
  for (const path of paths) writeFileSync(join(folder, path), fakeCubin());
  const sha256 = createHash('sha256').update(fakeCubin()).digest('hex');
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ files: Object.fromEntries(paths.map((path) => [path, { sha256 }])) }));
  return { ...base, kernels, cubins: Object.fromEntries(names.map((name) => [name, `cubin/${name}.cubin`])), ...(ptx.length === 0 ? {} : { ptx: { path: 'cubin/all.fatbin', architectures: ptx } }) };
}

async function loadOn([computeMajor, computeMinor]: readonly [number, number], sharedBytes: number, definition: PlanDefinition): Promise<Plan> {
  fake.control({ anyKernel: 1, computeMajor, computeMinor, sharedBytes });
  device = await Device.open('cuda');
  return Plan.load(device, definition, pathToFileURL(`${folder}/`));
}

/** Which decode kernel was taken: a session's lookup asks for the first that was loaded. */
const decodeOf = (plan: Plan): string[] => {
  const { kernels } = plan.definition;
  using session = plan.createSession({ batch: 1, lengthBound: 100 });
  expect(session.batch).toBe(1);
  return kernels.filter(({ role }) => role === 'decode').map(({ name }) => name);
};

const small = 99 * 1024;
const large = 163 * 1024;

describe('a package', () => {
  test.each<[readonly [number, number], string]>([
    [[8, 6], 'sm_86'],
    [[8, 9], 'sm_89'],
  ])('for sm_80 is refused on %j, where blocks are small, with what to compile', async (capability, architecture) => {
    await expect(loadOn(capability, small, packageOf({ sm_80: 102_016 }))).rejects.toThrow(code('MOA6207', /decode.* needs 10\d{4} bytes of shared memory a block; a block may have 101376 on Fake GPU, of compute capability 8\.\d/));
    await expect(loadOn(capability, small, packageOf({ sm_80: 102_016 }))).rejects.toThrow(`--arch ${architecture}`);
    // Nothing was left on the device.
    expect(fake.calls().get('cuModuleLoadDataEx') ?? 0).toBe(fake.calls().get('cuModuleUnload') ?? 0);
  });

  test('is taken where its blocks fit, to the byte with what the kernel has of its own', async () => {
    const own = 128; // static shared memory of the fake driver's kernels
    decodeOf(await loadOn([8, 0], large, packageOf({ sm_80: 140_544 })));
    decodeOf(await loadOn([8, 6], small, packageOf({ sm_80: small - own })));
    fake.forgetCalls();
    await expect(loadOn([8, 6], small, packageOf({ sm_80: small - own + 1 }))).rejects.toThrow(code('MOA6207', new RegExp(`needs ${small + 1} bytes`)));
    expect(fake.calls().get('cuModuleUnload')).toBe(1);
  });

  test('has what fits before what is newer, and is refused only where nothing fits', async () => {
    const definition = packageOf({ sm_80: 60_000, sm_86: 120_000 });
    await loadOn([8, 9], small, definition);
    await expect(loadOn([8, 9], small, packageOf({ sm_80: 110_000, sm_86: 120_000 }))).rejects.toThrow(code('MOA6207', /--arch sm_89/));
  });

  test('with PTX of sm_80 is taken on 9.0 and refused on 12.0', async () => {
    const definition = packageOf({ sm_80: 102_016 }, ['sm_80']);
    await loadOn([9, 0], 227 * 1024, definition);
    await expect(loadOn([12, 0], small, definition)).rejects.toThrow(code('MOA6207', /\(sm_80, PTX\) needs .*--arch sm_120/s));
    await expect(loadOn([12, 0], small, packageOf({ sm_80: 102_016 }))).rejects.toThrow(code('MOA6203', /it was compiled for sm_80.*--arch sm_120/s));
  });

  test('launches kernels of older PTX one after the other: they do not wait themselves', async () => {
    const launchesOf = async (definition: PlanDefinition): Promise<readonly (readonly [string, boolean])[]> => {
      using plan = await loadOn([9, 0], 227 * 1024, definition);
      using session = plan.createSession({ batch: 1, lengthBound: 100 });
      const seen: [string, boolean][] = [];
      using _ = vi.spyOn(Kernel.prototype, 'launch').mockImplementation(function (this: Kernel, { programmatic }) {
        seen.push([this.name, programmatic === true]);
      });
      using buffer = device!.alloc(1 << 12);
      session.decode(0, { q: buffer, k: buffer, v: buffer, out: buffer });
      return seen;
    };
    const decode = base.kernels.find(({ role }) => role === 'decode')!.name;
    // What plans does not wait itself: it begins when all before it has ended.
    const step = ['moa_step', false];
    expect(await launchesOf(packageOf({ sm_80: 60_000 }, ['sm_80']))).toEqual([step, [`${decode}_sm_80`, false]]);
    expect(await launchesOf(packageOf({ sm_90: 60_000 }))).toEqual([step, [`${decode}_sm_90`, true]]);
  });

  test('of which a kernel needs more threads or registers than there are is refused', async () => {
    const definition = packageOf({ sm_80: 100 });
    const wide = { ...definition, kernels: definition.kernels.map((kernel) => (kernel.role === 'prefill' ? { ...kernel, threads: 1056 } : kernel)) };
    await expect(loadOn([8, 0], large, wide)).rejects.toThrow(code('MOA6207', /has blocks of 1056 threads/));
    // 96 registers of a thread, as the fake driver says.
    const many = { ...definition, kernels: definition.kernels.map((kernel) => (kernel.role === 'prefill' ? { ...kernel, threads: 1024 } : kernel)) };
    await expect(loadOn([8, 0], large, many)).rejects.toThrow(code('MOA6207', /needs 98304 registers a block/));
  });

  const roles = ['changeSequence', 'step', 'planPrefill'] as const;
  test.each(roles)('of which the kernel %s does not fit is refused too', async (role) => {
    const definition = packageOf({ sm_80: 100 });
    const { name } = definition.planners[role];
    const own = 128; // static shared memory of the fake driver's kernels
    const load = async (change: Partial<PlannerDefinition>): Promise<void> => {
      const planners = { ...definition.planners, [role]: { ...definition.planners[role], ...change } };
      using _ = await loadOn([8, 6], small, { ...definition, planners });
    };
    await load({ sharedBytes: small - own });
    fake.forgetCalls();
    const refused = async (change: Partial<PlannerDefinition>, what: string): Promise<void> =>
      await expect(load(change)).rejects.toThrow(code('MOA6207', new RegExp(`kernel ${name} .* ${what}`)));
    await refused({ sharedBytes: small - own + 1 }, `needs ${small + 1} bytes`);
    await refused({ threads: 1056 }, 'has blocks of 1056 threads');
    await refused({ threads: 1024 }, 'needs 98304 registers');
    expect(fake.calls().get('cuModuleUnload')).toBe(fake.calls().get('cuModuleLoadDataEx'));
  });
});
