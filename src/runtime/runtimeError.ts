import { assertNever } from '../util/invariant.ts';
import type { EmulatorFinding } from './native.ts';

/** Every code of the runtime. A number is never given to another meaning: 6105 was a limit that is gone. */
export const runtimeErrorCodes = {
  noDriver: 'MOA6001',
  addonMissing: 'MOA6002',
  noSuchDevice: 'MOA6003',
  badArgument: 'MOA6004',
  usedAfterDispose: 'MOA6005',
  outOfMemory: 'MOA6006',
  outOfRange: 'MOA6007',
  badModule: 'MOA6008',
  kernelNotFound: 'MOA6009',
  wrongParams: 'MOA6010',
  capture: 'MOA6011',
  wrongDeviceKind: 'MOA6012',
  emulatorFinding: 'MOA6013',
  deviceLost: 'MOA6014',
  driverFailure: 'MOA6015',
  sequenceFull: 'MOA6101',
  noSuchLayer: 'MOA6102',
  badTensor: 'MOA6103',
  badCuSeqlens: 'MOA6104',
  badOptions: 'MOA6106',
  noSuchSequence: 'MOA6107',
  noFreeSlot: 'MOA6108',
  poolFull: 'MOA6109',
  cannotTruncate: 'MOA6110',
  tooManyTokens: 'MOA6111',
  badCall: 'MOA6112',
  badCounts: 'MOA6113',
  inStep: 'MOA6114',
  packageFormat: 'MOA6201',
  packageKernel: 'MOA6202',
  packageArchitecture: 'MOA6203',
  packageDamaged: 'MOA6204',
  emulatorBuild: 'MOA6205',
  packageSources: 'MOA6206',
  packageLimits: 'MOA6207',
} as const;

export type RuntimeErrorName = keyof typeof runtimeErrorCodes;
export type RuntimeErrorCode = (typeof runtimeErrorCodes)[RuntimeErrorName];

/** What the runtime throws: nothing else leaves its public functions but errors of the caller's own callbacks. */
export class RuntimeError extends Error {
  readonly code: RuntimeErrorCode;
  /** What to do about it; also the end of the message. */
  readonly help: string;

  constructor(name: RuntimeErrorName, message: string, help = '', cause?: unknown) {
    const code = runtimeErrorCodes[name];
    super(`${code}: ${message}${help === '' ? '' : `\n    help: ${help}`}`, cause === undefined ? undefined : { cause });
    this.name = 'RuntimeError';
    this.code = code;
    this.help = help;
  }
}

/** The emulator found a mistake in a kernel. */
export class EmulatorFindingError extends RuntimeError {
  /** The first 64. */
  readonly findings: readonly EmulatorFinding[];

  constructor(message: string, findings: readonly EmulatorFinding[], cause: unknown) {
    super('emulatorFinding', message, 'the same seed gives the same run; see the line that each finding names', cause);
    this.name = 'EmulatorFindingError';
    this.findings = findings;
  }
}

/** `device` of `device was used after dispose`. */
export function usedAfterDispose(what: string): RuntimeError {
  return new RuntimeError('usedAfterDispose', `this ${what} was used after dispose`, `keep the ${what} until its last use is over`);
}

/** The error of the addon in the runtime's terms. */
export function fromNative(error: unknown): RuntimeError {
  if (error instanceof RuntimeError) return error;
  if (!(error instanceof Error)) return new RuntimeError('driverFailure', String(error), '', error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code === 'MOA_EMULATOR_FINDING') return new EmulatorFindingError(error.message, findingsOf(error), error);
  const name = nameOfNative(code, error);
  return new RuntimeError(name, error.message, helpFor(name), error);
}

function findingsOf(error: Error): readonly EmulatorFinding[] {
  return 'findings' in error && Array.isArray(error.findings) ? (error.findings as readonly EmulatorFinding[]) : [];
}

function nameOfNative(code: string, error: Error): RuntimeErrorName {
  switch (code) {
    case 'MOA_NO_DRIVER':
    case 'MOA_DRIVER_TOO_OLD':
    case 'CUDA_ERROR_NO_DEVICE':
    case 'CUDA_ERROR_SYSTEM_DRIVER_MISMATCH':
      return 'noDriver';
    case 'CUDA_ERROR_INVALID_DEVICE':
    case 'CUDA_ERROR_DEVICE_UNAVAILABLE':
      return 'noSuchDevice';
    case 'CUDA_ERROR_OUT_OF_MEMORY':
    case 'MOA_OUT_OF_MEMORY':
    case 'MOA_TOO_MANY_OBJECTS':
      return 'outOfMemory';
    case 'MOA_OUT_OF_RANGE':
      return 'outOfRange';
    case 'CUDA_ERROR_INVALID_IMAGE':
    case 'CUDA_ERROR_NO_BINARY_FOR_GPU':
    case 'CUDA_ERROR_INVALID_PTX':
    case 'CUDA_ERROR_UNSUPPORTED_PTX_VERSION':
    case 'MOA_INVALID_IMAGE':
    case 'MOA_LIBRARY_NOT_LOADED':
      return 'badModule';
    case 'CUDA_ERROR_NOT_FOUND':
    case 'MOA_KERNEL_NOT_FOUND':
      return 'kernelNotFound';
    case 'MOA_WRONG_PARAMS':
      return 'wrongParams';
    case 'MOA_CAPTURE':
      return 'capture';
    case 'MOA_CUDA_ONLY':
    case 'MOA_EMULATOR_ONLY':
      return 'wrongDeviceKind';
    default:
      if (error instanceof TypeError) return 'badArgument';
      return stickyCodes.has(code) ? 'deviceLost' : 'driverFailure';
  }
}

/** The errors after which a GPU's context is gone; the addon fails all later calls with the first of them. */
const stickyCodes: ReadonlySet<string> = new Set([
  'CUDA_ERROR_DEINITIALIZED',
  'CUDA_ERROR_ECC_UNCORRECTABLE',
  'CUDA_ERROR_NVLINK_UNCORRECTABLE',
  'CUDA_ERROR_CONTAINED',
  'CUDA_ERROR_ILLEGAL_ADDRESS',
  'CUDA_ERROR_LAUNCH_TIMEOUT',
  'CUDA_ERROR_CONTEXT_IS_DESTROYED',
  'CUDA_ERROR_ASSERT',
  'CUDA_ERROR_HARDWARE_STACK_ERROR',
  'CUDA_ERROR_ILLEGAL_INSTRUCTION',
  'CUDA_ERROR_MISALIGNED_ADDRESS',
  'CUDA_ERROR_INVALID_ADDRESS_SPACE',
  'CUDA_ERROR_INVALID_PC',
  'CUDA_ERROR_LAUNCH_FAILED',
  'CUDA_ERROR_TENSOR_MEMORY_LEAK',
  'CUDA_ERROR_EXTERNAL_DEVICE',
]);

function helpFor(name: RuntimeErrorName): string {
  switch (name) {
    case 'noDriver':
      return "install the NVIDIA driver and check it with nvidia-smi, or use Device.open('emulator'), which runs the same kernels without a GPU";
    case 'addonMissing':
      return 'build it with: npm run build:native, in the folder of moa-compile';
    case 'noSuchDevice':
      return 'nvidia-smi -L lists the GPUs; CUDA_VISIBLE_DEVICES chooses among them';
    case 'badModule':
      return 'compile the plan for this device with moa-compile';
    case 'kernelNotFound':
    case 'wrongParams':
      return 'the kernels and the runtime of a package belong together: compile the plan again and replace the whole package';
    case 'deviceLost':
      return 'the device is lost: restart the process';
    case 'badArgument':
    case 'usedAfterDispose':
    case 'outOfMemory':
    case 'outOfRange':
    case 'capture':
    case 'wrongDeviceKind':
    case 'emulatorFinding':
    case 'driverFailure':
    case 'sequenceFull':
    case 'noSuchLayer':
    case 'badTensor':
    case 'badCuSeqlens':
    case 'badOptions':
    case 'noSuchSequence':
    case 'noFreeSlot':
    case 'poolFull':
    case 'cannotTruncate':
    case 'tooManyTokens':
    case 'badCall':
    case 'badCounts':
    case 'inStep':
    case 'packageFormat':
    case 'packageKernel':
    case 'packageArchitecture':
    case 'packageDamaged':
    case 'emulatorBuild':
    case 'packageSources':
    case 'packageLimits':
      return '';
    default:
      return assertNever(name);
  }
}
