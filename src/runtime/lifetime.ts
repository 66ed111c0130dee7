import type { DeviceHandle, NativeAddon } from './native.ts';
import { fromNative, usedAfterDispose } from './runtimeError.ts';

/** What every object of a device holds: the way to the addon as long as the device is open. */
export interface DeviceLink {
  readonly addon: NativeAddon;
  readonly kind: 'cuda' | 'emulator';
  /** Throws MOA6005 after the device's dispose. */
  handle(): DeviceHandle;
  readonly isDisposed: boolean;
  /** Whether launches are recorded now. */
  readonly isCapturing: boolean;
  /** Buffers freed so far: as long as it stays, a buffer that was alive is. */
  freedBuffers: number;
}

/**
 * One native object: its handle while it lives, MOA6005 after. Objects of a disposed device are gone with it, so disposing one of
 * them later does nothing.
 */
export class Lifetime<Handle extends number> {
  readonly link: DeviceLink;
  readonly #what: string;
  readonly #free: (handle: Handle) => void;
  #handle: Handle | undefined;

  /** `what` names the object in messages: `buffer`. */
  constructor(link: DeviceLink, what: string, handle: Handle, free: (handle: Handle) => void) {
    this.link = link;
    this.#what = what;
    this.#handle = handle;
    this.#free = free;
  }

  get handle(): Handle {
    this.link.handle();
    if (this.#handle === undefined) throw usedAfterDispose(this.#what);
    return this.#handle;
  }

  get isDisposed(): boolean {
    return this.#handle === undefined || this.link.isDisposed;
  }

  /** Idempotent. An object that the device refuses to free in the middle of a capture stays alive. */
  dispose(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    if (!this.link.isDisposed) {
      try {
        this.#free(handle);
      } catch (error) {
        const failure = fromNative(error);
        if (failure.code !== 'MOA6011') this.#handle = undefined;
        throw failure;
      }
    }
    this.#handle = undefined;
  }
}
