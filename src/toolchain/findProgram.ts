import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';

/** The files that `name` may be, in the order of `PATH`. Empty entries, which mean the current folder, are left out on purpose. */
export function pathCandidates(name: string, path: string | undefined): string[] {
  return (path ?? '').split(':').filter((folder) => folder.startsWith('/')).map((folder) => join(folder, name));
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Size and time of change of a file, or that it is absent: cheap, and different whenever a tool was replaced. */
export function fileIdentity(path: string): string {
  const status = statSync(path, { throwIfNoEntry: false });
  return status === undefined ? 'absent' : `${status.size}:${Math.trunc(status.mtimeMs)}`;
}
