/**
 * The folders that exist beside a package while it is replaced, `.<name>.tmp-<mark>` (the new one,
 * unfinished) and `.<name>.old-...` (the one before), and what to do with those of a run that was
 * killed. A mark says whose they are: `util/processMark.ts`.
 */
import { join } from 'node:path';
import type { Diagnostic } from '../util/diagnostics.ts';
import { markedName, parseMarkedName, stateOf, type MarkState } from '../util/processMark.ts';
import { errorCode } from './diskDiagnostics.ts';
import { folderState, type PackageFileSystem } from './packageFileSystem.ts';
import { verifyPackage } from './verifyPackage.ts';

const dayMs = 24 * 60 * 60 * 1000;
/** Names that this process used and could not remove. */
const released = new Set<string>();

export interface Leftover {
  readonly name: string;
  /** Ends the claim: from now on the folder counts as left over. */
  readonly release: () => void;
}

/** A new name for a folder beside the package `base`. */
export function claimName(base: string, kind: 'tmp' | 'old'): Leftover {
  const name = `.${base}.${kind}-${markedName()}`;
  return { name, release: () => released.add(name) };
}

/** Bytes of the longest name that `claimName` gives for `base`. */
export const temporaryNameBytes = (base: string): number =>
  Buffer.byteLength(`.${base}.tmp-${markedName()}`);

/**
 * Tidies up beside the package `base` after runs that were killed: restores a package that was
 * moved away and not replaced (MOA5009), removes the rest. Folders of runs that may still be alive
 * stay. Failing to remove is no error.
 */
export function recoverPackage(
  fs: PackageFileSystem,
  parent: string,
  base: string,
): readonly Diagnostic[] {
  const stale = staleFolders(fs, parent, base);
  const warnings: Diagnostic[] = [];
  const target = join(parent, base);
  const lost = lostPackage(fs, parent, base, stale);
  if (lost !== undefined) {
    fs.rmSync(target, { recursive: true, force: true });
    fs.renameSync(lost, target);
    warnings.push({
      code: 'MOA5009',
      severity: 'warning',
      message: `${target} was being replaced when an earlier run was killed; the package from before has been restored`,
    });
  }
  for (const { name } of stale) {
    try {
      fs.rmSync(join(parent, name), { recursive: true, force: true });
    } catch {
      // The next run tries again.
    }
  }
  removeUnfinished(fs, parent);
  return warnings;
}

/** The folder that `recoverPackage` would move back to `base`, if there is one. */
export function lostPackage(
  fs: PackageFileSystem,
  parent: string,
  base: string,
  stale = staleFolders(fs, parent, base),
): string | undefined {
  const [newest] = stale
    .filter((folder) => folder.kind === 'old')
    .sort((a, b) => b.modifiedMs - a.modifiedMs);
  const folder = newest && join(parent, newest.name);
  return folder !== undefined && isLost(fs, join(parent, base), folder) ? folder : undefined;
}

/**
 * Removes the unfinished packages of other names. Those that were moved away stay: a run of that
 * name restores them.
 */
function removeUnfinished(fs: PackageFileSystem, parent: string): void {
  try {
    for (const name of fs.readdirSync(parent)) {
      const mark = parseMarkedName(/^\..+\.tmp-([-0-9a-f]+)$/.exec(name)?.[1] ?? '');
      if (mark?.start === undefined || stateOf(mark) !== 'dead') continue;
      const path = join(parent, name);
      const status = fs.lstatSync(path);
      if (status.isDirectory() && isOurs(status.uid))
        fs.rmSync(path, { recursive: true, force: true });
    }
  } catch {
    // The next run tries again.
  }
}

const isOurs = (uid: number): boolean => process.geteuid === undefined || uid === process.geteuid();

/** Whether the package at `target` is gone, or damaged where `old` is whole. */
function isLost(fs: PackageFileSystem, target: string, old: string): boolean {
  if (folderState(fs, target) !== 'full') return true;
  const isWhole = (folder: string): boolean =>
    verifyPackage(folder, fs).every((problem) => problem.severity !== 'error');
  return !isWhole(target) && isWhole(old);
}

interface StaleFolder {
  readonly name: string;
  readonly kind: string;
  readonly modifiedMs: number;
}

/** Of this user: those of others are theirs to remove. */
function staleFolders(fs: PackageFileSystem, parent: string, base: string): StaleFolder[] {
  let names: readonly string[];
  try {
    names = fs.readdirSync(parent);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
  return names.flatMap((name) => {
    if (!name.startsWith(`.${base}.`)) return [];
    const rest = name.slice(base.length + 2);
    const kind = rest.slice(0, 3);
    const mark = ['tmp-', 'old-'].includes(rest.slice(0, 4))
      ? parseMarkedName(rest.slice(4))
      : undefined;
    if (mark === undefined) return [];
    const status = fs.lstatSync(join(parent, name), { throwIfNoEntry: false });
    if (status === undefined || !status.isDirectory()) return [];
    const isStale: Readonly<Record<MarkState, boolean>> = {
      own: released.has(name),
      alive: false,
      dead: true,
      elsewhere: Date.now() - status.mtimeMs > dayMs,
    };
    return isOurs(status.uid) && isStale[stateOf(mark)]
      ? [{ name, kind, modifiedMs: status.mtimeMs }]
      : [];
  });
}
