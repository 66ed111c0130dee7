/** A compiled plan on a device: what a package's `load` returns. */
import { fileURLToPath } from 'node:url';
import { bestFor } from '../arch/registry.ts';
import type { ElementType } from '../ir/nodes.ts';
import { definitionFormat, type KernelDefinition, type PlanDefinition } from '../ir/planDefinition.ts';
import type { Device } from './device.ts';
import { buildEmulatorLibrary } from './emulatorLibrary.ts';
import type { Kernel, Module } from './kernel.ts';
import { readImage } from './readImage.ts';
import { RuntimeError } from './runtimeError.ts';
import { Session } from './session.ts';
import type { KernelLookup } from './sessionBuffers.ts';
import { sessionError } from './sessionChecks.ts';
import { sessionMemory, type SessionMemory, type SessionShape } from './sessionLayout.ts';
import { describeValue } from '../util/describeValue.ts';
import { checkSessionOptions, checkSessionShape } from './sessionOptions.ts';
import type { SessionOptions } from './sessionTypes.ts';

export class Plan<Element extends ElementType = ElementType> implements Disposable {
  readonly device: Device;
  readonly definition: PlanDefinition;
  readonly #modules: readonly Module[];
  readonly #kernels: ReadonlyMap<string, Kernel>;
  readonly #usable: readonly KernelDefinition[];

  private constructor(device: Device, definition: PlanDefinition, modules: readonly Module[], kernels: ReadonlyMap<string, Kernel>) {
    this.device = device;
    this.definition = definition;
    this.#modules = modules;
    this.#kernels = kernels;
    this.#usable = definition.kernels.filter((kernel) => kernels.has(kernel.name));
  }

  /**
   * Loads the kernels of a package: on CUDA the cubin for the device's compute capability, on the emulator the sources, built by the
   * host's compiler once and cached.
   * @param folder the package's folder, as a URL that ends in a slash
   * @param elementTypes load these only; all of the package's by default
   */
  static async load(device: Device, definition: PlanDefinition, folder: URL, elementTypes?: readonly ElementType[]): Promise<Plan> {
    if (definition.format !== definitionFormat) {
      throw new RuntimeError('packageFormat', `the package has format ${definition.format}; this runtime reads format ${definitionFormat}`, 'compile the plan again with the moa-compile that is installed');
    }
    const wanted = definition.kernels.filter((kernel) => elementTypes === undefined || elementTypes.includes(kernel.elementType));
    return device.kind === 'cuda' ? loadCubin(device, definition, folder, wanted) : loadSources(device, definition, folder, wanted);
  }

  /** @internal */
  static create(device: Device, definition: PlanDefinition, modules: readonly Module[], kernels: ReadonlyMap<string, Kernel>): Plan {
    return new Plan(device, definition, modules, kernels);
  }

  /** The element types that sessions may have, in the order of the package. */
  get elementTypes(): readonly ElementType[] {
    return [...new Set(this.#usable.map((kernel) => kernel.elementType))];
  }

  /** Bytes of the KV cache of a session, by layer and head group, before anything is allocated. Tables and workspace are not counted. */
  memory(shape: SessionShape): SessionMemory {
    checkSessionShape(this.definition.shape.layers, shape);
    return sessionMemory(this.definition, shape, 0, 0);
  }

  createSession(options: SessionOptions & { readonly elementType?: Element }): Session {
    if (this.device.recording !== undefined) throw sessionError('capture', 'createSession writes tables on the device and cannot be captured');
    checkSessionOptions(this.definition, this.#usable, options);
    const elementType = options.elementType ?? this.elementTypes[0];
    if (elementType === undefined || !this.elementTypes.includes(elementType)) {
      throw sessionError('badOptions', `elementType is ${describeValue(elementType)}; the package was loaded for ${this.elementTypes.join(' and ')}`);
    }
    return new Session(this.device, this.definition, this.#lookup(), options, elementType);
  }

  /** Unloads the kernels. Idempotent. */
  dispose(): void {
    for (const module of this.#modules) module.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #lookup(): KernelLookup {
    return (choose) => {
      const definition = this.#usable.find(choose);
      if (definition === undefined) {
        throw new RuntimeError('packageKernel', 'the package has no kernel for these options', 'a session with rope needs a package compiled with RoPE (the default), and an element type of the package');
      }
      return { definition, kernel: this.#kernels.get(definition.name)! };
    };
  }
}

async function loadCubin(device: Device, definition: PlanDefinition, folder: URL, wanted: readonly KernelDefinition[]): Promise<Plan> {
  const names = Object.keys(definition.cubins);
  const best = bestFor(names, device.computeCapability);
  if (best === undefined) {
    const capability = device.computeCapability.join('.');
    const made = names.length === 0 ? 'it holds sources only' : `it was compiled for ${names.join(', ')}`;
    throw new RuntimeError('packageArchitecture', `the package has no cubin for ${device.name} (compute capability ${capability}): ${made}`, `compile the plan again with --arch ${capability}`);
  }
  const module = device.loadCubin(await readImage(folder, definition.cubins[best]!));
  const kernels = new Map<string, Kernel>();
  for (const { name, architectures } of wanted) {
    if (architectures.includes(best)) kernels.set(name, module.kernel(name));
  }
  return Plan.create(device, definition, [module], kernels);
}

async function loadSources(device: Device, definition: PlanDefinition, folder: URL, wanted: readonly KernelDefinition[]): Promise<Plan> {
  // One architecture's choice of tiles is enough: the emulator has the shared memory of the largest.
  const architecture = wanted[0]?.architectures[0];
  const modules: Module[] = [];
  const kernels = new Map<string, Kernel>();
  for (const { name, source, architectures } of wanted) {
    if (architecture === undefined || !architectures.includes(architecture)) continue;
    const module = device.loadLibrary(await buildEmulatorLibrary(fileURLToPath(new URL(source, folder)), name));
    modules.push(module);
    kernels.set(name, module.kernel(name));
  }
  return Plan.create(device, definition, modules, kernels);
}
