import type { Diagnostic } from '../util/diagnostics.ts';

/** The diagnostics of writing and checking packages (50xx) and of the cache on disk (51xx). */
export const DISK_CODES = {
  MOA5001: 'The output could not be written for a reason not listed here.',
  MOA5002: 'The output folder holds something that is not a package of moa-compile.',
  MOA5003: 'The output folder is a package, with files in it that moa-compile did not write.',
  MOA5004: 'The output path is no folder, or lies below a file.',
  MOA5005: 'The output may not be written: permission denied or read-only.',
  MOA5006: 'The disk is full, or a quota is used up.',
  MOA5007: 'The output folder is a mount point, the root or the current folder, which cannot be swapped.',
  MOA5008: 'The new package is in place, but something temporary beside it could not be removed.',
  MOA5009: 'A package that an earlier run was replacing when it was killed has been restored.',
  MOA5010: 'The folder is not a package: manifest.json is missing or cannot be read.',
  MOA5011: 'A file of the package is missing, changed or not listed.',
  MOA5012: 'Standard output could not be written.',
  MOA5013: 'The name of the output is not UTF-8, or it is too long.',
  MOA5014: 'The output would replace one of the inputs.',
  MOA5015: 'The machine code of a package is damaged, or lacks a kernel.',
  MOA5016: 'A file of a package is whole, and does not fit the others: a definition, or the table of the ranks.',
  MOA5017: 'The system refused a file or a folder, for a reason not listed here.',
  MOA5101: 'The kernel cache cannot be used; kernels are compiled without it.',
  MOA5102: 'An entry could not be written to the kernel cache.',
  MOA5103: 'A damaged entry of the kernel cache was removed.',
} as const;

export type DiskCode = keyof typeof DISK_CODES;

/** The `code` of a failed file-system call, as `ENOSPC`; undefined for any other thrown value. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** What to tell the user when writing the package `target` failed with `error`. Errors that no file-system call made are thrown again. */
export function diskDiagnostic(error: unknown, target: string): Diagnostic {
  const code = errorCode(error);
  if (code === undefined) throw error;
  const failed = (number: DiskCode, why: string, help: string): Diagnostic => ({
    code: number,
    severity: 'error',
    message: `cannot write ${target}: ${why} (${code})`,
    help,
  });
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return failed('MOA5005', 'permission denied', 'choose a folder you may write to; its parent folder must be writable too');
    case 'EROFS':
      return failed('MOA5005', 'the file system is read-only', 'choose a folder on another file system');
    case 'ENOSPC':
    case 'EDQUOT':
      return failed('MOA5006', 'no space is left', 'free some space, or choose a folder on another disk; what was there before is unchanged');
    case 'ENOTDIR':
      return failed('MOA5004', 'part of the path is a file', 'choose a path whose parents are all folders');
    case 'ELOOP':
      return failed('MOA5004', 'a link in the path leads to itself', 'choose a path whose parents are all folders');
    case 'ENAMETOOLONG':
      return failed('MOA5013', 'the name is too long', 'choose a shorter name');
    case 'EBUSY':
    case 'EXDEV':
      return failed('MOA5007', 'it is a mount point', `write to a folder inside it, as ${target}/package`);
    default:
      return failed('MOA5001', error instanceof Error ? error.message : String(error), 'what was there before is unchanged; try again, or choose another folder');
  }
}

/** What to tell the user when the package in `folder` could not be looked at (MOA5010). */
export function unreadablePackage(folder: string, error: unknown): Diagnostic {
  const code = errorCode(error) ?? 'unknown error';
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such folder',
    ENOTDIR: 'it is no folder',
    ELOOP: 'it is a link that leads nowhere',
    EACCES: 'it may not be read',
  };
  const message = `${folder} is not a package of moa-compile: ${reasons[code] ?? 'it cannot be read'} (${code})`;
  return { code: 'MOA5010', severity: 'error', message, help: 'name the folder that moa-compile wrote, or compile the plan again' };
}
