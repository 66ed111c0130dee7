/** From a package's files to kernels on a device: machine code that the GPU runs, or sources that the emulator builds. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findArchitecture } from '../arch/registry.ts';
import { architectureFor, capabilityText, choicesFor, packagedCodes, type Choice } from '../arch/serves.ts';
import type { KernelDefinition, PlanDefinition, PlannerDefinition } from '../ir/planDefinition.ts';
import type { Device } from './device.ts';
import { buildEmulatorLibrary } from './emulatorLibrary.ts';
import type { Kernel, Module } from './kernel.ts';
import type { KernelAttributes } from './native.ts';
import { readImage } from './readImage.ts';
import { RuntimeError } from './runtimeError.ts';

export interface LoadedKernels {
  readonly modules: readonly Module[];
  readonly kernels: ReadonlyMap<string, Kernel>;
  /** Whether they wait themselves for the launch before them (PTX griddepcontrol), which may not have ended then. */
  readonly waitThemselves: boolean;
}

/** Takes of a package's machine code what the GPU runs best, and compares every kernel with what the GPU has. */
export async function loadMachineCode(device: Device, definition: PlanDefinition, folder: URL, wanted: readonly KernelDefinition[]): Promise<LoadedKernels> {
  const choice = chooseCode(device, definition, wanted);
  const { architecture } = choice.code;
  const chosen = wanted.filter(({ architectures }) => architectures.includes(architecture));
  for (const kernel of [...chosen, ...Object.values(definition.planners)]) checkLimits(device, kernel, choice);
  const path = choice.as === 'cubin' ? definition.cubins[architecture]! : definition.ptx!.path;
  const module = device.loadCubin(await readImage(folder, path));
  try {
    const planners = Object.values(definition.planners);
    const kernels = new Map([...chosen, ...planners].map(({ name }) => [name, module.kernel(name)]));
    for (const kernel of [...chosen, ...planners]) checkLimits(device, kernel, choice, (kernels.get(kernel.name) as Partial<Kernel>).attributes);
    return { modules: [module], kernels, waitThemselves: findArchitecture(architecture)?.dependentLaunch ?? false };
  } catch (error) {
    module.dispose();
    throw error;
  }
}

function chooseCode(device: Device, { cubins, ptx }: PlanDefinition, wanted: readonly KernelDefinition[]): Choice {
  const names = Object.keys(cubins);
  const [best] = choicesFor(packagedCodes(wanted, names, ptx?.architectures), device.computeCapability, device.sharedBytesPerBlock);
  if (best !== undefined) return best;
  const capability = capabilityText(device.computeCapability);
  const made = names.length === 0 ? 'it holds sources only' : `it was compiled for ${names.join(', ')}`;
  throw new RuntimeError('packageArchitecture', `the package has no cubin for ${device.name} (compute capability ${capability}): ${made}`, `compile the plan again with --arch ${architectureFor(device.computeCapability) ?? capability}`);
}

/** Registers of one SM, of every GPU that kernels are compiled for. */
const registersOfBlock = 65536;

/** Throws MOA6207 where a block of the kernel does not fit the GPU. Its own attributes are known once it is loaded. */
function checkLimits(device: Device, { name, sharedBytes, threads }: PlannerDefinition, { code, as }: Choice, attributes?: KernelAttributes): void {
  const ofKernel = sharedBytes + (attributes?.staticSharedBytes ?? 0);
  const capability = capabilityText(device.computeCapability);
  const fail = (needs: string): never => {
    const own = architectureFor(device.computeCapability);
    const advice = own === undefined || own === code.architecture ? 'compile the plan again with the moa-compile that is installed' : `compile the plan again with --arch ${own}`;
    throw new RuntimeError('packageLimits', `kernel ${name} of the package (${code.architecture}, ${as === 'ptx' ? 'PTX' : 'machine code'}) ${needs} on ${device.name}, of compute capability ${capability}`, advice);
  };
  if (ofKernel > device.sharedBytesPerBlock) fail(`needs ${ofKernel} bytes of shared memory a block; a block may have ${device.sharedBytesPerBlock}`);
  if (attributes === undefined) return;
  if (threads > attributes.maxThreads) fail(`has blocks of ${threads} threads; of this kernel a block may have ${attributes.maxThreads}`);
  if (threads * attributes.registers > registersOfBlock) fail(`needs ${threads * attributes.registers} registers a block; a multiprocessor has ${registersOfBlock}`);
}

/** Builds the kernels of one architecture: the one that the device was opened for, else the package's first. The emulator has the shared memory of the largest. */
export async function loadSources(device: Device, definition: PlanDefinition, folder: URL, wanted: readonly KernelDefinition[]): Promise<LoadedKernels> {
  const names = [...new Set(wanted.flatMap(({ architectures }) => architectures))];
  const asked = device.emulatedArchitecture;
  if (asked !== undefined && !names.includes(asked)) {
    throw new RuntimeError('packageArchitecture', `the emulator was opened for the kernels of ${asked}, and the package has those of ${names.join(', ')}`, `compile the plan again with --arch ${asked}, or open the emulator for another architecture`);
  }
  const architecture = asked ?? wanted[0]?.architectures[0];
  const ofArchitecture = wanted.filter(({ architectures }) => architecture !== undefined && architectures.includes(architecture));
  const chosen: readonly PlannerDefinition[] = [...ofArchitecture, ...Object.values(definition.planners)];
  const pathOf = ({ source }: PlannerDefinition): string => fileURLToPath(new URL(source, folder));
  const missing = chosen.filter((kernel) => !existsSync(pathOf(kernel)));
  if (missing.length > 0 && missing.length === chosen.length) {
    throw new RuntimeError('packageSources', 'the package holds no sources, and the emulator runs those', 'compile the plan again with cuda in --emit (which is the default), or open a GPU');
  }
  if (missing[0] !== undefined) throw new RuntimeError('packageDamaged', `${missing[0].source} of the package cannot be read`, 'compile the plan again and replace the whole package');
  const modules: Module[] = [];
  const kernels = new Map<string, Kernel>();
  for (const kernel of chosen) {
    const module = device.loadLibrary(await buildEmulatorLibrary(pathOf(kernel), kernel.name));
    modules.push(module);
    kernels.set(kernel.name, module.kernel(kernel.name));
  }
  return { modules, kernels, waitThemselves: true };
}
