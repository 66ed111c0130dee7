import type { Diagnostic } from '../util/diagnostics.ts';

/** Environment variables by name, as `process.env`. This folder never reads the process's own: callers pass them. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** What makes nvcc or the host compiler build something else from the same command line. */
const dropped = [
  'NVCC_APPEND_FLAGS',
  'NVCC_PREPEND_FLAGS',
  // Appended to by nvcc.profile, whatever they held before.
  'INCLUDES',
  'SYSTEM_INCLUDES',
  'LIBRARIES',
  'CUDAFE_FLAGS',
  'PTXAS_FLAGS',
  'OPENCC_FLAGS',
  // Include paths and outputs of gcc and clang.
  'CPATH',
  'C_INCLUDE_PATH',
  'CPLUS_INCLUDE_PATH',
  'DEPENDENCIES_OUTPUT',
  'SUNPRO_DEPENDENCIES',
  'CCC_OVERRIDE_OPTIONS',
] as const;

/** The environment for a compiler: without what changes its output silently, in English, with its own temporary folder. */
export function compilerEnvironment(variables: Variables, temporaryFolder?: string): Record<string, string> {
  const kept = Object.entries(variables).filter((entry): entry is [string, string] => entry[1] !== undefined && !dropped.some((name) => name === entry[0]));
  const temporary = temporaryFolder === undefined ? {} : { TMPDIR: temporaryFolder, TMP: temporaryFolder, TEMP: temporaryFolder };
  return { ...Object.fromEntries(kept), LC_ALL: 'C', ...temporary };
}

/** A warning (MOA4003) when the user set flags for nvcc that are dropped. */
export function droppedFlagsWarning(variables: Variables): readonly Diagnostic[] {
  const set = dropped.filter((name) => name.startsWith('NVCC_') && (variables[name] ?? '') !== '');
  if (set.length === 0) return [];
  const message = `${set.join(' and ')} ${set.length === 1 ? 'is' : 'are'} set; moa-compile does not pass ${set.length === 1 ? 'it' : 'them'} to nvcc, so that the same plan gives the same machine code`;
  return [{ code: 'MOA4003', severity: 'warning', message }];
}
