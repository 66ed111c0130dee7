import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { markedName } from '../util/processMark.ts';
import { errorCode } from '../emit/diskDiagnostics.ts';
import { removeStale } from '../util/removeStale.ts';
import { toolchainFailure } from './toolchainCodes.ts';

/**
 * `build`: of one run of a compiler. `libraries`: of the emulator, for as long as its process
 * lives.
 */
export type TemporaryKind = 'build' | 'libraries';

const prefix = 'moa-compile-';
const dayMs = 24 * 60 * 60 * 1000;
/** Folders in which this process has looked for what others left. */
const tidied = new Set<string>();

/**
 * Makes a folder that no one else may look into (mode 0700). The first call also removes those of
 * dead processes.
 */
export function makeTemporaryFolder(kind: TemporaryKind, root: string = tmpdir()): string {
  if (!tidied.has(root)) removeStaleTemporaryFolders(root);
  const folder = join(root, `${prefix}${kind}-${markedName()}`);
  mkdirSync(folder, { mode: 0o700 });
  return folder;
}

/** Throws MOA4108 where no folder can be made in `root`, which is found out without making one. */
export function checkTemporaryRoot(root: string = tmpdir()): void {
  try {
    if (!statSync(root).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' });
    accessSync(root, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw temporaryFailure(root, error);
  }
}

/** The diagnostic of a folder that could not be made or filled (MOA4108); other errors as they are. */
export function temporaryFailure(root: string, error: unknown): unknown {
  const code = errorCode(error);
  if (code === undefined) return error;
  return toolchainFailure(
    'MOA4108',
    `the sources could not be written below ${root} (${code})`,
    'free some space there, or set TMPDIR to another folder',
  );
}

/** Removes the folders that killed processes left in `root`. */
export function removeStaleTemporaryFolders(root: string = tmpdir()): void {
  tidied.add(root);
  // A compiler ends within its limit of time. A process with libraries may live, in a container,
  // for as long as it likes.
  removeStale(root, { prefix: `${prefix}build-`, elsewhereMs: dayMs });
  removeStale(root, { prefix: `${prefix}libraries-` });
}
