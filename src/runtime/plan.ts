/** A compiled plan on a device: what a package's `load` returns. */
import { layerNumberBound } from '../ir/layerNumbers.ts';
import type { ElementType } from '../ir/nodes.ts';
import type { KernelDefinition, PlanDefinition, PlannerDefinition } from '../ir/planDefinition.ts';
import type { Device } from './device.ts';
import type { Kernel, Module } from './kernel.ts';
import { loadMachineCode, loadSources } from './loadKernels.ts';
import { kernelsToLoad, type LoadOptions } from './loadOptions.ts';
import { checkFormat } from './readDefinition.ts';
import { RuntimeError } from './runtimeError.ts';
import { Session } from './session.ts';
import type { FoundKernel, KernelLookup } from './sessionBuffers.ts';
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
  readonly #waitThemselves: boolean;
  readonly #usable: readonly KernelDefinition[];

  private constructor(device: Device, definition: PlanDefinition, modules: readonly Module[], kernels: ReadonlyMap<string, Kernel>, waitThemselves: boolean) {
    this.device = device;
    this.definition = definition;
    this.#modules = modules;
    this.#kernels = kernels;
    this.#waitThemselves = waitThemselves;
    this.#usable = definition.kernels.filter((kernel) => kernels.has(kernel.name));
  }

  /**
   * Loads the kernels of a package: on CUDA machine code that the device runs and has room for, on the emulator the sources, built by the
   * host's compiler once and cached.
   * @param folder the package's folder, as a URL that ends in a slash
   * @param options or its list of element types alone
   */
  static async load(device: Device, definition: PlanDefinition, folder: URL, options?: LoadOptions | readonly ElementType[]): Promise<Plan> {
    checkFormat(definition.format);
    const wanted = kernelsToLoad(definition, options);
    const { modules, kernels, waitThemselves } = await (device.kind === 'cuda' ? loadMachineCode(device, definition, folder, wanted) : loadSources(device, definition, folder, wanted));
    return Plan.create(device, definition, modules, kernels, waitThemselves);
  }

  /** @internal */
  static create(device: Device, definition: PlanDefinition, modules: readonly Module[], kernels: ReadonlyMap<string, Kernel>, waitThemselves = true): Plan {
    return new Plan(device, definition, modules, kernels, waitThemselves);
  }

  /** The element types that sessions may have, in the order of the package. */
  get elementTypes(): readonly ElementType[] {
    return [...new Set(this.#usable.map((kernel) => kernel.elementType))];
  }

  /** Bytes of the KV cache of a session, by layer and head group, before anything is allocated. Tables and workspace are not counted. */
  memory(shape: SessionShape): SessionMemory {
    checkSessionShape(layerNumberBound(this.definition.shape), shape);
    return sessionMemory(this.definition, shape, 0, 0);
  }

  createSession(options: SessionOptions & { readonly elementType?: Element }): Session {
    if (this.device.recording !== undefined) throw sessionError('capture', 'createSession writes tables on the device and cannot be captured');
    checkSessionOptions(this.definition, this.#usable, options);
    const elementType = options.elementType === undefined ? this.elementTypes[0] : options.elementType;
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
    const found = <Definition extends PlannerDefinition>(definition: Definition, waitsItself: boolean): FoundKernel<Definition> =>
      ({ definition, params: this.definition.params[definition.params]!, kernel: this.#kernels.get(definition.name)!, waitsItself });
    const find: KernelLookup['find'] = (choose) => {
      const definition = this.#usable.find(choose);
      if (definition === undefined) {
        throw new RuntimeError('packageKernel', 'the package has no kernel for these options', 'a session with rope needs a package compiled with RoPE (the default), and an element type of the package');
      }
      return found(definition, this.#waitThemselves && definition.role === 'decode');
    };
    return { find, planner: (role) => found(this.definition.planners[role], false) };
  }
}
