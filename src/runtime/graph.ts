import { Lifetime, type DeviceLink } from './lifetime.ts';
import type { GraphHandle } from './native.ts';
import { fromNative } from './runtimeError.ts';

/**
 * Launches that were recorded once and run again as a whole. The parameters are those of the recording, so the buffers they name
 * must stay alive; what changes from run to run is read from device memory.
 */
export class Graph implements Disposable {
  readonly #lifetime: Lifetime<GraphHandle>;

  /** For `Device.capture`. @internal */
  constructor(link: DeviceLink, handle: GraphHandle) {
    this.#lifetime = new Lifetime(link, 'graph', handle, (graph) => link.addon.freeGraph(graph));
  }

  /** Starts all launches in order and does not wait. */
  launch(): void {
    const { handle, link } = this.#lifetime;
    try {
      link.addon.launchGraph(handle);
    } catch (error) {
      throw fromNative(error);
    }
  }

  get isDisposed(): boolean {
    return this.#lifetime.isDisposed;
  }

  /** Idempotent. */
  dispose(): void {
    this.#lifetime.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
