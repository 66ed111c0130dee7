import { Lifetime, type DeviceLink } from './lifetime.ts';
import type { BufferHandle } from './native.ts';
import { fromNative, RuntimeError, usedAfterDispose } from './runtimeError.ts';

/** A row-major matrix of 2-byte elements, and the part of it that one instruction copies. */
export interface TensorMapShape {
  /** 1 to 2^32 - 1. */
  readonly rows: number;
  /** A multiple of 64; a row begins `2 * columns` bytes after the one before it. */
  readonly columns: number;
  /** Rows of a box, 1 to 256; a box is 64 columns wide. */
  readonly boxRows: number;
}

/** What a buffer from `Device.tensor` holds: a contiguous row-major tensor. Calls that take tensors compare it with what they need. */
export interface TensorFacts {
  readonly shape: readonly number[];
  readonly elementType: 'bf16' | 'fp16' | 'fp32';
}

/** Bytes of a tensor. */
export const tensorBytes = ({ shape, elementType }: TensorFacts): number => product(shape) * (elementType === 'fp32' ? 4 : 2);

/** Of sizes; 1 of none. */
export const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);

/**
 * Bytes in a device's memory. A buffer from `Device.alloc` owns them until `dispose`; one from `slice` is a view that keeps its
 * parent reachable and frees nothing. Offsets and sizes are in bytes.
 */
export class DeviceBuffer implements Disposable {
  readonly bytes: number;
  /** Of a buffer from `Device.tensor`; other buffers are bytes, and hold whatever the caller says. */
  readonly tensor: TensorFacts | undefined;
  readonly #memory: Lifetime<BufferHandle>;
  readonly #offset: number;
  readonly #isView: boolean;
  #viewDisposed = false;
  #address: bigint | undefined;

  private constructor(memory: Lifetime<BufferHandle>, offset: number, bytes: number, isView: boolean, tensor?: TensorFacts) {
    this.#memory = memory;
    this.#offset = offset;
    this.bytes = bytes;
    this.tensor = tensor;
    this.#isView = isView;
  }

  /** For `Device.alloc`. @internal */
  static allocate(link: DeviceLink, bytes: number, tensor?: TensorFacts): DeviceBuffer {
    const device = link.handle();
    try {
      const memory = new Lifetime(link, 'buffer', link.addon.allocate(device, bytes), (handle) => link.addon.freeBuffer(handle));
      return new DeviceBuffer(memory, 0, bytes, false, tensor);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** The device address of the first byte, for kernel parameters. The buffer must outlive every launch and graph that uses it. */
  get address(): bigint {
    const handle = this.#live();
    if (this.#address !== undefined) return this.#address;
    try {
      return (this.#address = this.#memory.link.addon.address(handle) + BigInt(this.#offset));
    } catch (error) {
      throw fromNative(error);
    }
  }

  get isDisposed(): boolean {
    return this.#viewDisposed || this.#memory.isDisposed;
  }

  /** Whether the memory itself is gone; of a view that ended it may still be there. @internal */
  get isFreed(): boolean {
    return this.#memory.isDisposed;
  }

  /** Copies `data` to `byteOffset`. Done when it returns. */
  write(data: ArrayBufferView, byteOffset = 0): this {
    const handle = this.#live();
    const source = bytesOf(data, 'write');
    this.#checkRange('write', byteOffset, source.byteLength);
    try {
      this.#memory.link.addon.write(handle, this.#offset + byteOffset, source);
    } catch (error) {
      throw fromNative(error);
    }
    return this;
  }

  /** All bytes, or as many as `into` takes, from `byteOffset` on. Waits for the kernels before it. */
  read(): Uint8Array<ArrayBuffer>;
  read<View extends ArrayBufferView>(into: View, byteOffset?: number): View;
  read(into: ArrayBufferView = new Uint8Array(this.bytes), byteOffset = 0): ArrayBufferView {
    const handle = this.#live();
    const target = bytesOf(into, 'read');
    this.#checkRange('read', byteOffset, target.byteLength);
    try {
      this.#memory.link.addon.read(handle, this.#offset + byteOffset, target);
    } catch (error) {
      throw fromNative(error);
    }
    return into;
  }

  /** Sets every byte, or `bytes` of them from `byteOffset` on, to `value` (0 to 255). */
  fill(value: number, byteOffset = 0, bytes = this.bytes - byteOffset): this {
    const handle = this.#live();
    this.#checkRange('fill', byteOffset, bytes);
    if (bytes === 0) return this;
    try {
      this.#memory.link.addon.fill(handle, this.#offset + byteOffset, bytes, value);
    } catch (error) {
      throw fromNative(error);
    }
    return this;
  }

  /** Copies `from`, a buffer of the same device, to `byteOffset`. */
  copyFrom(from: DeviceBuffer, byteOffset = 0): this {
    const to = this.#live();
    const source = from.#live();
    this.#checkRange('copyFrom', byteOffset, from.bytes);
    try {
      this.#memory.link.addon.copy(to, this.#offset + byteOffset, source, from.#offset, from.bytes);
    } catch (error) {
      throw fromNative(error);
    }
    return this;
  }

  /** A view of `bytes` bytes from `byteOffset` on. */
  slice(byteOffset: number, bytes = this.bytes - byteOffset): DeviceBuffer {
    this.#live();
    this.#checkRange('slice', byteOffset, bytes);
    return new DeviceBuffer(this.#memory, this.#offset + byteOffset, bytes, true);
  }

  /** For `Device.owns`. @internal */
  isOf(link: DeviceLink): boolean {
    return this.#memory.link === link;
  }

  /** For `Device.tensorMap`. @internal */
  tensorMap(link: DeviceLink, { rows, columns, boxRows }: TensorMapShape): Uint8Array<ArrayBuffer> {
    const handle = this.#live();
    if (this.#memory.link !== link) throw new RuntimeError('badArgument', 'tensorMap: the buffer belongs to another device');
    this.#checkRange('tensorMap', 0, rows * columns * 2);
    try {
      return link.addon.tensorMap(handle, this.#offset, rows, columns, boxRows);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** Idempotent. Frees the memory once the device has finished with it; of a view only the view ends. */
  dispose(): void {
    if (this.#isView) {
      this.#viewDisposed = true;
    } else if (!this.#memory.isDisposed) {
      this.#memory.link.freedBuffers += 1;
      this.#memory.dispose();
    }
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #live(): BufferHandle {
    if (this.#viewDisposed) throw usedAfterDispose('buffer');
    return this.#memory.handle;
  }

  #checkRange(call: string, offset: number, bytes: number): void {
    if (Number.isSafeInteger(offset) && Number.isSafeInteger(bytes) && offset >= 0 && bytes >= 0 && offset <= this.bytes - bytes) return;
    throw new RuntimeError('outOfRange', `${call}: ${bytes} bytes from byte ${offset} on do not lie in a buffer of ${this.bytes} bytes`);
  }
}

/** The bytes of a view without copying. Shared memory is refused: another thread could change it in the middle of a copy. */
export function bytesOf(view: ArrayBufferView, call: string): Uint8Array<ArrayBuffer> {
  if (!ArrayBuffer.isView(view)) throw new RuntimeError('badArgument', `${call}: expected a typed array or DataView`);
  const { buffer, byteOffset, byteLength } = view;
  if (!(buffer instanceof ArrayBuffer)) {
    throw new RuntimeError('badArgument', `${call}: the data lies in shared memory`, 'copy it into an array of its own first');
  }
  if (buffer.byteLength === 0 && isDetached(buffer)) {
    throw new RuntimeError('badArgument', `${call}: the data is gone: its ArrayBuffer was transferred`);
  }
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** `ArrayBuffer.prototype.detached` is newer than Node 20; a view over a detached buffer cannot be made. */
function isDetached(buffer: ArrayBuffer): boolean {
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}
