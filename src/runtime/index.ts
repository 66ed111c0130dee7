export { DeviceBuffer } from './buffer.ts';
export { Device, type DeviceOptions, type DeviceSpec } from './device.ts';
export { decodeElements, encodeElements, roundToElement } from './elements.ts';
export { Event } from './event.ts';
export { Graph } from './graph.ts';
export { Kernel, Module, type LaunchConfig } from './kernel.ts';
export { loadAddon } from './loadAddon.ts';
export type { CudaStatus, DeviceProperties, EmulatorCounters, EmulatorFinding, KernelAttributes } from './native.ts';
export { EmulatorFindingError, RuntimeError, runtimeErrorCodes, type RuntimeErrorCode } from './runtimeError.ts';
