import { resolve } from 'node:path';
import { describeValue } from '../util/describeValue.ts';
import { bytesOf, DeviceBuffer, tensorBytes, type TensorFacts, type TensorMapShape } from './buffer.ts';
import { Event } from './event.ts';
import { Graph } from './graph.ts';
import { Module } from './kernel.ts';
import { readDeviceOptions, seedOf, type DeviceOptions } from './deviceOptions.ts';
import type { DeviceLink } from './lifetime.ts';
import { loadAddon } from './loadAddon.ts';
import type { DeviceHandle, DeviceProperties, EmulatorCounters, NativeAddon } from './native.ts';
import { Recording } from './recording.ts';
import { fromNative, RuntimeError, usedAfterDispose } from './runtimeError.ts';

export type { DeviceOptions } from './deviceOptions.ts';

/** `cuda` is `cuda:0`. */
export type DeviceSpec = 'cuda' | `cuda:${number}` | 'emulator';

/**
 * A GPU, or the emulator. Its work runs in the order in which it was started. Everything made by a device ends with it. A device
 * belongs to the thread that opened it; each worker opens its own.
 */
export class Device implements Disposable {
  readonly kind: 'cuda' | 'emulator';
  /** Of the emulator: whose kernels of a package it runs, where it was opened for one. */
  readonly emulatedArchitecture: string | undefined;
  readonly #addon: NativeAddon;
  readonly #properties: DeviceProperties;
  readonly #link: DeviceLink;
  #handle: DeviceHandle | undefined;
  #recording: Recording | undefined;

  private constructor(kind: 'cuda' | 'emulator', addon: NativeAddon, handle: DeviceHandle, architecture?: string) {
    this.kind = kind;
    this.emulatedArchitecture = architecture;
    this.#addon = addon;
    this.#handle = handle;
    this.#properties = addon.properties(handle);
    const isDisposed = () => this.#handle === undefined;
    const isCapturing = () => this.#recording !== undefined;
    this.#link = {
      addon,
      kind,
      handle: () => this.#live(),
      get isDisposed() {
        return isDisposed();
      },
      get isCapturing() {
        return isCapturing();
      },
      freedBuffers: 0,
    };
  }

  /** Rejects with MOA6001 where there is no driver or GPU, MOA6003 where there is none of this number, MOA6004 for a bad spec. */
  static async open(spec: DeviceSpec, options: DeviceOptions = {}): Promise<Device> {
    const ordinal = parseSpec(spec);
    const { seed, multiprocessors, failOnBankConflict, architecture } = readDeviceOptions(options, ordinal === undefined ? 'emulator' : 'cuda');
    const addon = loadAddon();
    try {
      if (ordinal !== undefined) return new Device('cuda', addon, addon.openCuda(ordinal));
      return new Device('emulator', addon, addon.openEmulator({ seed, multiprocessors, failOnBankConflict }), architecture);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** `NVIDIA H200`, or `emulator`. */
  get name(): string {
    return this.properties.name;
  }

  /** `[9, 0]`; `[0, 0]` on the emulator. */
  get computeCapability(): readonly [number, number] {
    return this.properties.computeCapability;
  }

  get multiprocessors(): number {
    return this.properties.multiprocessors;
  }

  get memoryBytes(): number {
    return this.properties.memoryBytes;
  }

  get l2Bytes(): number {
    return this.properties.l2Bytes;
  }

  /** The most dynamic shared memory a block may ask for. */
  get sharedBytesPerBlock(): number {
    return this.properties.sharedBytesPerBlock;
  }

  get properties(): DeviceProperties {
    this.#live();
    return this.#properties;
  }

  get isDisposed(): boolean {
    return this.#handle === undefined;
  }

  /** Memory of `bytes` bytes, 256-byte aligned. The content is undefined on a GPU and NaN on the emulator. */
  alloc(bytes: number): DeviceBuffer {
    return DeviceBuffer.allocate(this.#link, bytes);
  }

  /**
   * A buffer for a contiguous row-major tensor that remembers its shape and element type: a call that needs another refuses it (MOA6103), where it would have to believe bytes.
   */
  tensor(shape: readonly number[], elementType: TensorFacts['elementType']): DeviceBuffer {
    if (!Array.isArray(shape) || shape.some((size: unknown) => !Number.isSafeInteger(size) || (size as number) < 0)) {
      throw new RuntimeError('badArgument', `tensor: ${Array.isArray(shape) ? `[${shape.map(describeValue).join(', ')}]` : describeValue(shape)} is no shape`);
    }
    if (!['bf16', 'fp16', 'fp32'].includes(elementType)) throw new RuntimeError('badArgument', `tensor: ${describeValue(elementType)} is no element type; it is bf16, fp16 or fp32`);
    const facts = { shape: [...shape], elementType };
    return DeviceBuffer.allocate(this.#link, tensorBytes(facts), facts);
  }

  /** Whether `buffer` is memory of this device. */
  owns(buffer: DeviceBuffer): boolean {
    return buffer.isOf(this.#link);
  }

  /** A buffer with a copy of `data`. */
  upload(data: ArrayBufferView): DeviceBuffer {
    this.#live();
    const bytes = bytesOf(data, 'upload');
    const buffer = this.alloc(bytes.byteLength);
    try {
      return buffer.write(bytes);
    } catch (error) {
      buffer.dispose();
      throw error;
    }
  }

  /**
   * The 128 bytes that describe to a kernel the matrix at the start of `buffer` (a slice, for one that begins elsewhere), for PTX
   * `cp.async.bulk.tensor`: 2-byte elements, 128-byte swizzle, zeros outside of the matrix. They belong into `LaunchConfig.params` at a multiple
   * of 64 bytes, and hold the buffer's address: it must outlive every launch and graph that uses them. No work of the device, so possible in
   * `capture` too. On a GPU a `CUtensorMap`, made by `cuTensorMapEncodeTiled`.
   *
   * Throws MOA6007 for a shape out of its range, a matrix that the buffer does not hold or that is not 16-byte aligned, MOA6004 for a buffer of
   * another device, MOA6001 where the driver is older than CUDA 12.0.
   */
  tensorMap(buffer: DeviceBuffer, shape: TensorMapShape): Uint8Array<ArrayBuffer> {
    this.#live();
    return buffer.tensorMap(this.#link, shape);
  }

  /** GPU only: a module from the bytes of a cubin or fatbin. */
  loadCubin(image: Uint8Array): Module {
    this.#live();
    this.#needs('cuda', 'loadCubin', 'the emulator loads kernel libraries with loadLibrary');
    return new Module(
      this.#link,
      this.#call((handle) => this.#addon.loadModule(handle, image)),
    );
  }

  /** Emulator only: a module from a kernel library on disk. */
  loadLibrary(path: string): Module {
    this.#live();
    this.#needs('emulator', 'loadLibrary', 'a GPU loads cubins with loadCubin');
    return new Module(
      this.#link,
      this.#call((handle) => this.#addon.loadLibrary(handle, resolve(path))),
    );
  }

  /** Waits for all that was started. */
  synchronize(): void {
    this.#call((handle) => this.#addon.synchronize(handle));
  }

  /**
   * Records the launches of `record` in a graph instead of running them. Only launches, allocations and tensor maps are possible in it, and decode calls of any sessions of
   * this device: each launch of the graph counts their tokens. When `record` throws, the recording is dropped and the error passed on. A capture inside another is MOA6011,
   * and the outer one goes on.
   */
  capture(record: () => void): Graph {
    this.#live();
    if (typeof record !== 'function') throw new RuntimeError('badArgument', `capture: ${describeValue(record)} is not a function`);
    if (this.#recording !== undefined) throw new RuntimeError('capture', 'capture: a capture is already under way on this device', 'one capture at a time: record all calls in one');
    this.#call((handle) => this.#addon.beginCapture(handle));
    const recording = new Recording();
    this.#recording = recording;
    try {
      const result: unknown = record();
      if (isThenable(result)) {
        result.then(undefined, () => {}); // its failure has nowhere to go but the error below
        throw new RuntimeError('capture', 'capture: the function is asynchronous', 'record all launches before the function returns');
      }
    } catch (error) {
      if (this.#handle !== undefined) this.#addon.abortCapture(this.#handle);
      throw error;
    } finally {
      this.#recording = undefined;
    }
    return new Graph(
      this.#link,
      this.#call((handle) => this.#addon.endCapture(handle)),
      recording.effects,
    );
  }

  /** The capture under way, for sessions, which mirror on the host what launches do. @internal */
  get recording(): Recording | undefined {
    return this.#recording;
  }

  /** Buffers freed so far. @internal */
  get freedBuffers(): number {
    return this.#link.freedBuffers;
  }

  /** A mark after all that was started so far. */
  recordEvent(): Event {
    return new Event(
      this.#link,
      this.#call((handle) => this.#addon.recordEvent(handle)),
    );
  }

  /** Milliseconds of the device's time from before to after what `work` starts. Waits for it. */
  measure(work: () => void): number {
    const before = this.recordEvent();
    try {
      work();
      const after = this.recordEvent();
      try {
        return after.millisecondsSince(before);
      } finally {
        after.dispose();
      }
    } finally {
      before.dispose();
    }
  }

  /** Emulator only: what all launches since the last `resetCounters` did. */
  get counters(): Readonly<EmulatorCounters> {
    this.#live();
    this.#needs('emulator', 'counters');
    return this.#call((handle) => this.#addon.counters(handle));
  }

  resetCounters(): void {
    this.#live();
    this.#needs('emulator', 'resetCounters');
    this.#call((handle) => this.#addon.resetCounters(handle));
  }

  /** Emulator only. Two runs after equal calls are the same, order for order. */
  setSeed(seed: bigint | number): void {
    this.#live();
    this.#needs('emulator', 'setSeed');
    this.#call((handle) => this.#addon.setSeed(handle, seedOf(seed)));
  }

  /** Idempotent. Waits for the device, then frees it and everything made by it. */
  dispose(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    try {
      this.#addon.closeDevice(handle);
    } catch (error) {
      throw fromNative(error);
    }
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #live(): DeviceHandle {
    if (this.#handle === undefined) throw usedAfterDispose('device');
    return this.#handle;
  }

  #call<Result>(run: (handle: DeviceHandle) => Result): Result {
    const handle = this.#live();
    try {
      return run(handle);
    } catch (error) {
      throw fromNative(error);
    }
  }

  #needs(kind: 'cuda' | 'emulator', call: string, help = ''): void {
    if (this.kind === kind) return;
    const needed = kind === 'cuda' ? 'a GPU' : 'the emulator';
    throw new RuntimeError('wrongDeviceKind', `${call}: only ${needed} has this, the device is ${this.kind}`, help);
  }
}

const isThenable = (value: unknown): value is PromiseLike<unknown> => typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === 'function';

/** The GPU's number, or undefined for the emulator. */
function parseSpec(spec: unknown): number | undefined {
  if (spec === 'emulator') return undefined;
  const match = typeof spec === 'string' ? /^cuda(?::(\d{1,4}))?$/.exec(spec) : null;
  if (match === null) {
    throw new RuntimeError('badArgument', `${describeValue(spec)} names no device`, "use 'cuda', 'cuda:0' (or another number) or 'emulator'");
  }
  return Number(match[1] ?? 0);
}
