/**
 * The functions of the native addon, as the runtime sees them. Handles are opaque numbers (index and generation); the addon
 * rejects a handle that was freed, is of another kind or of another thread with a `TypeError`, and a number outside its range with a
 * `RangeError` (`MOA_OUT_OF_RANGE`). Every other failure is an `Error` whose `code` names the driver's error
 * (`CUDA_ERROR_OUT_OF_MEMORY`) or ours (`MOA_EMULATOR_FINDING`).
 */

export type DeviceHandle = number & { readonly brand: 'device' };
export type BufferHandle = number & { readonly brand: 'buffer' };
export type ModuleHandle = number & { readonly brand: 'module' };
export type KernelHandle = number & { readonly brand: 'kernel' };
export type GraphHandle = number & { readonly brand: 'graph' };
export type EventHandle = number & { readonly brand: 'event' };

export interface CudaStatus {
  readonly available: boolean;
  /** Why not, in words for the user: no driver library, driver too old, no device visible. */
  readonly reason: string;
  /** `12040` for CUDA 12.4; 0 where there is no driver. */
  readonly driverVersion: number;
  readonly deviceCount: number;
}

export interface DeviceProperties {
  readonly name: string;
  /** `[9, 0]` on an H200. The emulator says `[0, 0]`. */
  readonly computeCapability: readonly [number, number];
  readonly multiprocessors: number;
  readonly memoryBytes: number;
  readonly l2Bytes: number;
  /** The most dynamic shared memory a block may ask for, in bytes. */
  readonly sharedBytesPerBlock: number;
}

export interface KernelAttributes {
  readonly registers: number;
  /** Local memory of a thread in bytes: more than 0 means spills or a dynamically indexed array. */
  readonly localBytes: number;
  readonly staticSharedBytes: number;
  readonly maxThreads: number;
}

/** Field names are those of `native/emulator/abi.h`. */
export interface EmulatorCounters {
  blocks: number;
  tiles: number;
  pages: number;
  globalLoadBytes: number;
  globalStoreBytes: number;
  asyncCopies: number;
  asyncCopyBytes: number;
  zeroFills: number;
  mma: number;
  ldmatrix: number;
  blockBarriers: number;
  bankConflicts: number;
  atomics: number;
  fiberSwitches: number;
  bulkCopies: number;
  bulkCopyBytes: number;
  /** Warps that waited, whether or not they had to. */
  mbarrierWaits: number;
  /** Meetings. */
  namedBarriers: number;
  /** Products of a warp: four for each of a warpgroup. */
  wgmma: number;
}

/** What the emulator found in a launch. The error's `findings` lists the first 64. */
export interface EmulatorFinding {
  /** A `kind` of `native/emulator/abi.h`, or `guard-band`: memory outside of a buffer was written. */
  readonly kind: string;
  readonly message: string;
}

export interface NativeAddon {
  cudaStatus(): CudaStatus;
  /** Where to look for the driver from now on, in this thread; no argument: the usual places. For tests. */
  setCudaLibrary(path?: string): void;
  openCuda(ordinal: number): DeviceHandle;
  /** `multiprocessors` is what the device claims to have; schedules are made for it. `seed` draws the adversary's order. */
  openEmulator(options: { seed: bigint; multiprocessors: number; failOnBankConflict: boolean }): DeviceHandle;
  properties(device: DeviceHandle): DeviceProperties;
  /** Waits for the device, frees all that was allocated on it, then the device. Drops a capture in progress. Idempotent. */
  closeDevice(device: DeviceHandle): void;

  /** `bytes >= 0`. On the emulator the memory starts as NaN (0xFF) between guard bands. */
  allocate(device: DeviceHandle, bytes: number): BufferHandle;
  /** Waits for the device's stream first, so no kernel loses its memory. The same holds for modules and graphs. */
  freeBuffer(buffer: BufferHandle): void;
  /** The device address, for kernel parameters. */
  address(buffer: BufferHandle): bigint;
  /** Copies to and from JavaScript's memory are done when the call returns; shared and detached memory is refused. */
  write(buffer: BufferHandle, offset: number, data: Uint8Array): void;
  read(buffer: BufferHandle, offset: number, into: Uint8Array): void;
  fill(buffer: BufferHandle, offset: number, bytes: number, value: number): void;
  copy(to: BufferHandle, toOffset: number, from: BufferHandle, fromOffset: number, bytes: number): void;
  /**
   * 128 bytes for kernel parameters: the row-major matrix of 2-byte elements `[rows][columns]` at `offset`, copied in boxes of `boxRows` x 64
   * columns with the 128-byte swizzle. `columns` is a multiple of 64, `boxRows` 1 to 256, the address a multiple of 16. CUDA: a `CUtensorMap`
   * (`cuTensorMapEncodeTiled`, `MOA_DRIVER_TOO_OLD` before CUDA 12.0); emulator: a `TensorMapImage` of `native/emulator/abi.h`.
   */
  tensorMap(buffer: BufferHandle, offset: number, rows: number, columns: number, boxRows: number): Uint8Array<ArrayBuffer>;

  /** CUDA: the bytes of a cubin or fatbin. */
  loadModule(device: DeviceHandle, image: Uint8Array): ModuleHandle;
  /** Emulator: the path of a kernel library built from one `.cu`. */
  loadLibrary(device: DeviceHandle, path: string): ModuleHandle;
  /** Its kernels go too. Graphs that recorded them keep the code until they are freed. */
  unloadModule(module: ModuleHandle): void;
  kernel(module: ModuleHandle, name: string): KernelHandle;
  attributes(kernel: KernelHandle): KernelAttributes;
  /** Blocks of one multiprocessor that fit at once (`cuOccupancyMaxActiveBlocksPerMultiprocessor`; 1 on the emulator). */
  occupancy(kernel: KernelHandle, threads: number, sharedBytes: number): number;
  /** Raises the kernel's dynamic shared memory limit when `sharedBytes` needs it. Asynchronous on CUDA; recorded while capturing. */
  launch(kernel: KernelHandle, grid: number, threads: number, sharedBytes: number, params: Uint8Array, programmatic?: boolean): void;
  synchronize(device: DeviceHandle): void;

  /** Until the capture ends only `launch`, `allocate` and `tensorMap` work; the rest throws `MOA_CAPTURE`. */
  beginCapture(device: DeviceHandle): void;
  endCapture(device: DeviceHandle): GraphHandle;
  /** Forgets what was captured. Does nothing where no capture is in progress. */
  abortCapture(device: DeviceHandle): void;
  launchGraph(graph: GraphHandle): void;
  freeGraph(graph: GraphHandle): void;

  recordEvent(device: DeviceHandle): EventHandle;
  /** Waits for both. */
  elapsedMilliseconds(from: EventHandle, to: EventHandle): number;
  freeEvent(event: EventHandle): void;

  /** Emulator only: what all launches since the last reset did. */
  counters(device: DeviceHandle): EmulatorCounters;
  resetCounters(device: DeviceHandle): void;
  /** Also counts launches from 0 again: a launch's order is drawn from the seed and its number. */
  setSeed(device: DeviceHandle, seed: bigint): void;
}
