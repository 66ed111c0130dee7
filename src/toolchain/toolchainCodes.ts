import { type Diagnostic, DiagnosticError } from '../util/diagnostics.ts';

/** The diagnostics of compilers and architectures: 40xx finding them, 41xx compiling for GPUs, 42xx for the emulator. */
export const TOOLCHAIN_CODES = {
  MOA4001: 'nvcc was not found, or what was named is not nvcc.',
  MOA4002: 'nvcc is too old for C++20.',
  MOA4003: 'Variables that change what nvcc does were set; they are not passed on.',
  MOA4004: 'An nvcc that comes first was passed over: it is too old, does not work, or lacks an architecture.',
  MOA4010: 'An architecture is not spelled in any way we know.',
  MOA4011: 'The kernels do not support an architecture.',
  MOA4012: 'This nvcc cannot compile for an architecture.',
  MOA4013: 'Code for one chip or family only (`a`, `f`) for which there are no kernels, or PTX of such code.',
  MOA4014: '`native` was asked for, but this machine\'s GPUs could not be found or are not supported.',
  MOA4015: 'No architecture was given.',
  MOA4101: 'A kernel does not compile.',
  MOA4102: 'nvcc did not finish in time.',
  MOA4103: 'nvcc crashed or could not be started.',
  MOA4104: 'nvcc reported success, but its output is damaged or cut off.',
  MOA4105: 'A kernel spills registers or keeps data in local memory.',
  MOA4106: 'ptxas serialises the matrix instructions of a kernel.',
  MOA4107: 'The report of ptxas lacks a kernel.',
  MOA4108: 'The temporary folder of a build could not be written, or filled up.',
  MOA4109: 'The machine code of several architectures could not be combined.',
  MOA4201: 'No C++20 compiler was found for the emulator.',
  MOA4202: 'A kernel does not compile for the emulator.',
  MOA4203: 'The library of an emulated kernel could not be written.',
} as const;

export type ToolchainCode = keyof typeof TOOLCHAIN_CODES;

export function toolchainError(code: ToolchainCode, message: string, help?: string): Diagnostic {
  return { code, severity: 'error', message, ...(help === undefined ? {} : { help }) };
}

/** Ends the compilation with one diagnostic. Exit code 1 unless it is the user's spelling that is wrong. */
export function toolchainFailure(code: ToolchainCode, message: string, help?: string, exitCode: 1 | 2 = 1): DiagnosticError {
  return new DiagnosticError([toolchainError(code, message, help)], exitCode);
}
