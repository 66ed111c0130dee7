import { Lifetime, type DeviceLink } from './lifetime.ts';
import type { EventHandle } from './native.ts';
import { fromNative } from './runtimeError.ts';

/** A point in the order of a device's work. */
export class Event implements Disposable {
  readonly #lifetime: Lifetime<EventHandle>;

  /** For `Device.recordEvent`. @internal */
  constructor(link: DeviceLink, handle: EventHandle) {
    this.#lifetime = new Lifetime(link, 'event', handle, (event) => link.addon.freeEvent(event));
  }

  /** Milliseconds from `earlier` to this one, on the device's clock. Waits for both; they must be of one device. */
  millisecondsSince(earlier: Event): number {
    const { handle, link } = this.#lifetime;
    const from = earlier.#lifetime.handle;
    try {
      return link.addon.elapsedMilliseconds(from, handle);
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
