import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { markedName } from '../util/processMark.ts';
import { removeStale } from '../util/removeStale.ts';

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

/** Removes the folders that killed processes left in `root`. */
export function removeStaleTemporaryFolders(root: string = tmpdir()): void {
  tidied.add(root);
  // A compiler ends within its limit of time. A process with libraries may live, in a container,
  // for as long as it likes.
  removeStale(root, { prefix: `${prefix}build-`, elsewhereMs: dayMs });
  removeStale(root, { prefix: `${prefix}libraries-` });
}
