import { Lifetime, type DeviceLink } from './lifetime.ts';
import type { KernelAttributes, KernelHandle, ModuleHandle } from './native.ts';
import { fromNative } from './runtimeError.ts';

export interface LaunchConfig {
  /** Blocks; the grid is one-dimensional. */
  readonly grid: number;
  /** Threads of a block, at most 1024. */
  readonly threads: number;
  /** Dynamic shared memory of a block, in bytes. */
  readonly sharedBytes: number;
  /** The kernel's parameter struct. Copied during the call. */
  readonly params: Uint8Array;
  /**
   * May start before the launch before it has ended: the kernel itself waits (PTX `griddepcontrol`). A GPU below compute capability 9.0
   * runs the two one after the other. Default false.
   */
  readonly programmatic?: boolean;
}

/** A cubin on a GPU, or a kernel library on the emulator. Graphs that captured its kernels stay usable after `dispose`. */
export class Module implements Disposable {
  readonly #lifetime: Lifetime<ModuleHandle>;

  /** For `Device.loadCubin` and `Device.loadLibrary`. @internal */
  constructor(link: DeviceLink, handle: ModuleHandle) {
    this.#lifetime = new Lifetime(link, 'module', handle, (module) => link.addon.unloadModule(module));
  }

  /** Throws MOA6009 when the module has no kernel of this name. */
  kernel(name: string): Kernel {
    const { handle, link } = this.#lifetime;
    try {
      return new Kernel(this.#lifetime, link.addon.kernel(handle, name), name);
    } catch (error) {
      throw fromNative(error);
    }
  }

  get isDisposed(): boolean {
    return this.#lifetime.isDisposed;
  }

  /** Idempotent. Ends the module's kernels, after the launches before have finished. */
  dispose(): void {
    this.#lifetime.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** An entry point of a module. It lives as long as the module does. */
export class Kernel {
  readonly name: string;
  readonly #module: Lifetime<ModuleHandle>;
  readonly #handle: KernelHandle;
  #attributes: KernelAttributes | undefined;

  /** For `Module.kernel`. @internal */
  constructor(module: Lifetime<ModuleHandle>, handle: KernelHandle, name: string) {
    this.#module = module;
    this.#handle = handle;
    this.name = name;
  }

  /**
   * Starts the kernel after all that was started before on the device, and does not wait for it: a GPU's error may appear in any
   * later call. The emulator runs it now and throws `EmulatorFindingError`. While a graph is captured the launch is recorded only.
   */
  launch(config: LaunchConfig): void {
    const addon = this.#addon();
    try {
      addon.launch(this.#handle, config.grid, config.threads, config.sharedBytes, config.params, config.programmatic ?? false);
    } catch (error) {
      throw fromNative(error);
    }
  }

  get attributes(): KernelAttributes {
    const addon = this.#addon();
    try {
      this.#attributes ??= addon.attributes(this.#handle);
      return this.#attributes;
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** How many blocks of this shape fit on one multiprocessor at once; 1 on the emulator. */
  occupancy(threads: number, sharedBytes: number): number {
    const addon = this.#addon();
    try {
      return addon.occupancy(this.#handle, threads, sharedBytes);
    } catch (error) {
      throw fromNative(error);
    }
  }

  #addon() {
    // Reading the module's handle is the check that it lives.
    void this.#module.handle;
    return this.#module.link.addon;
  }
}
