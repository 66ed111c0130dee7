import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { PackageDifference } from '../emit/comparePackage.ts';
import { cubinPath, fatbinPath } from '../emit/emitKernels.ts';
import { diskFileSystem, listFiles } from '../emit/packageFileSystem.ts';
import { rankFolder } from '../emit/tensorParallelFile.ts';
import { readManifest } from '../emit/verifyPackage.ts';
import type { Target } from '../toolchain/architectures.ts';
import { checkPackage } from '../toolchain/checkPackage.ts';
import { needsFatbin } from '../toolchain/linkFatbin.ts';
import { isMachineCode } from '../toolchain/verifyImages.ts';
import { DiagnosticError } from '../util/diagnostics.ts';

export interface MachineCodeCheck {
  /** Machine code that is missing, damaged, or not what the folder's own manifest lists. */
  readonly differences: readonly PackageDifference[];
  /** Machine code that is whole. Whether nvcc would make the same again is not known. */
  readonly notCompared: readonly string[];
}

/** What can be said without nvcc of the machine code in `folder`; `expected` has to be there. */
export function checkMachineCode(folder: string, expected: readonly string[]): MachineCodeCheck {
  const listed = listedImages(folder);
  const onDisk = existsSync(folder) ? listFiles(diskFileSystem, folder).filter(isMachineCode) : [];
  const paths = [...new Set([...expected, ...onDisk, ...listed])];
  const problems = new Set(checkPackage(folder).problems.map(({ path }) => path));
  const kindOf = (path: string): PackageDifference['kind'] | undefined => {
    if (!existsSync(join(folder, path))) return 'missing';
    if (!problems.has(path)) return undefined;
    return expected.includes(path) || listed.includes(path) ? 'changed' : 'extra';
  };
  const kinds = paths.map((path) => ({ path, kind: kindOf(path) }));
  return {
    differences: kinds.flatMap(({ path, kind }) => (kind === undefined ? [] : [{ path, kind }])),
    notCompared: kinds
      .filter(({ kind }) => kind === undefined)
      .map(({ path }) => path)
      .sort(),
  };
}

/**
 * The machine code in the folder's own manifest; none where that cannot be read, which is a
 * difference of its own.
 */
function listedImages(folder: string): readonly string[] {
  try {
    return Object.keys(readManifest(folder).files).filter(isMachineCode);
  } catch (error) {
    if (error instanceof DiagnosticError) return [];
    throw error;
  }
}

/** The paths of the machine code that a compile for `targets` writes. */
export function machineCodePaths(
  targets: readonly Target[],
  ranks: number | undefined,
): readonly string[] {
  const paths = [
    ...targets.map(({ name }) => cubinPath(name)),
    ...(needsFatbin(targets) ? [fatbinPath] : []),
  ];
  if (ranks === undefined) return paths;
  return Array.from({ length: ranks }, (_, rank) =>
    paths.map((path) => `${rankFolder(rank)}/${path}`),
  ).flat();
}
