import { Lifetime, type DeviceLink } from './lifetime.ts';
import type { GraphHandle } from './native.ts';
import type { GraphEffect } from './recording.ts';
import { fromNative, RuntimeError } from './runtimeError.ts';

/**
 * Launches that were recorded once and run again as a whole. The parameters are those of the recording, so the buffers they name
 * must stay alive; what changes from run to run is read from device memory.
 */
export class Graph implements Disposable {
  readonly #lifetime: Lifetime<GraphHandle>;
  readonly #effects: readonly GraphEffect[];

  /** For `Device.capture`; `effects`: of the launches on what the host mirrors. @internal */
  constructor(link: DeviceLink, handle: GraphHandle, effects: readonly GraphEffect[] = []) {
    this.#lifetime = new Lifetime(link, 'graph', handle, (graph) => link.addon.freeGraph(graph));
    this.#effects = effects;
  }

  /**
   * Starts all launches in order and does not wait. Every session with a decode in the graph counts its tokens, also those that did not capture it. Throws, and then nothing was launched
   * or counted for any of them: MOA6101 where a sequence would grow past its length bound, MOA6005 where a session or a tensor was disposed, MOA6011 inside a capture.
   */
  launch(): void {
    const { handle, link } = this.#lifetime;
    if (link.isCapturing) throw new RuntimeError('capture', 'launch: a graph cannot be launched inside a capture', 'record its calls in the capture itself');
    for (const effect of this.#effects) effect.checkAlive();
    for (const effect of this.#effects) effect.check();
    for (const effect of this.#effects) effect.prepare();
    try {
      link.addon.launchGraph(handle);
    } catch (error) {
      throw fromNative(error);
    }
    for (const effect of this.#effects) effect.count();
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
