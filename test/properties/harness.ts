/**
 * Loads compiled specs on a device. On the emulator kernels are rendered to a folder and built there; on a GPU they come from cubins that
 * were built before, one for each shape, since kernels do not depend on rules.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { kernelContext, plannerContext } from '../../src/emit/kernelContext.ts';
import { kernelSourcePath } from '../../src/emit/planDefinition.ts';
import { renderKernel, renderPlanner } from '../../src/emit/templateEngine.ts';
import { plannerEntries } from '../../src/kernels/planners.ts';
import { Device, type DeviceOptions } from '../../src/runtime/device.ts';
import type { Module } from '../../src/runtime/kernel.ts';
import { Plan } from '../../src/runtime/plan.ts';
import { compileSpec, testArchitectures, type CompiledSpec, type PlanSpec } from './plans.ts';

/** Where cases run. */
export interface Target {
  readonly kind: 'emulator' | 'cuda';
  device(options?: DeviceOptions): Promise<Device>;
  load(device: Device, spec: PlanSpec): Promise<Plan>;
}

const written = new Map<string, string>();

/** The kernels of a spec as sources on disk, under a folder that their text names. */
function writeSources({ module, mask }: CompiledSpec): URL {
  const { kernels, layers } = module;
  const names = `${kernels.map((kernel) => kernel.name).join()} ${layers.map(({ modelWindow }) => modelWindow === null).join()}`;
  let folder = written.get(names);
  if (folder === undefined) {
    const texts = [
      ...kernels.map((kernel) => [kernelSourcePath(kernel.name), renderKernel(kernel, kernelContext(kernel, mask))] as const),
      ...plannerEntries.map(([role, planner]) => [kernelSourcePath(planner.name), renderPlanner(role, plannerContext(planner, module, mask))] as const),
    ];
    const hash = createHash('sha256').update(JSON.stringify(texts)).digest('hex').slice(0, 24);
    folder = join(tmpdir(), `moa-property-tests-${process.getuid?.() ?? 0}`, hash);
    for (const [path, text] of texts) {
      const file = join(folder, path);
      if (existsSync(file)) continue;
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      writeFileSync(`${file}.${process.pid}`, text);
      renameSync(`${file}.${process.pid}`, file);
    }
    written.set(names, folder);
  }
  return pathToFileURL(`${folder}/`);
}

/** The emulator. One device is kept for each set of options and is given the case's seed. */
export function emulatorTarget(): Target {
  const devices = new Map<string, Promise<Device>>();
  return {
    kind: 'emulator',
    async device(options = {}) {
      const key = `${options.multiprocessors ?? 8} ${options.failOnBankConflict ?? false}`;
      let opened = devices.get(key);
      if (opened === undefined) devices.set(key, (opened = Device.open('emulator', options)));
      const device = await opened;
      device.setSeed(options.seed ?? 0);
      return device;
    },
    load(device, spec) {
      const compiled = compileSpec(spec);
      return Plan.load(device, compiled.definition, writeSources(compiled));
    },
  };
}

/** The kernels of a spec, but for its rules: `<shape>.<variant>.<architecture>`. An architecture of the spec is a variant: its tiles, for the GPU that is at hand. */
export function cubinName({ shape, modelWindows = [], family = 'portable', architecture, cacheType = 'element', ablations = [], decodeTokens = 1, softCap = 0, learnedSinks = false }: PlanSpec): string {
  return [shape, ...(cacheType === 'e4m3' ? ['e4m3'] : []), ...ablations, ...(decodeTokens > 1 ? [`t${decodeTokens}`] : []), ...(softCap > 0 ? [`cap${softCap}`] : []), ...(learnedSinks ? ['lsink'] : []), ...(modelWindows.some((window) => window !== null) ? ['windows'] : []), ...(architecture === undefined ? [] : [architecture]), testArchitectures[family]].join('.');
}

/** A GPU. `folder` holds a cubin for every shape, variant and family. Their kernels were built for the tests, without a package around them. */
export function cudaTarget(spec: 'cuda:0', folder: URL): Target {
  let opened: Promise<Device> | undefined;
  const modules = new Map<string, Promise<Module>>();
  return {
    kind: 'cuda',
    device: () => (opened ??= Device.open(spec)),
    async load(device, planSpec) {
      const { definition } = compileSpec(planSpec);
      const unit = cubinName(planSpec);
      let loading = modules.get(unit);
      if (loading === undefined) modules.set(unit, (loading = readFile(new URL(`${unit}.cubin`, folder)).then((image) => device.loadCubin(image))));
      const module = await loading;
      // The modules stay loaded for later plans, so they are not the plan's to dispose.
      return Plan.create(device, definition, [], new Map([...definition.kernels, ...Object.values(definition.planners)].map(({ name }) => [name, module.kernel(name)])));
    },
  };
}
