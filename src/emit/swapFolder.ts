import { basename, dirname, join } from 'node:path';
import { type Diagnostic, DiagnosticError } from '../util/diagnostics.ts';
import { errorCode } from './diskDiagnostics.ts';
import { listFiles, syncFolder, writeDurably, type PackageFileSystem } from './packageFileSystem.ts';
import { claimName } from './packageLeftovers.ts';
import { parentFolders } from './package.ts';

/**
 * Moves `folder` to `target`, in the place of what is there. Synchronous, so that no signal handler runs between the two renames.
 * Throws with the old folder back at its place, if that can be done at all. Returns warnings (MOA5008).
 */
export function swapFolder(fs: PackageFileSystem, folder: string, target: string): readonly Diagnostic[] {
  const parent = dirname(target);
  const replaced: string[] = [];
  const releases: (() => void)[] = [];
  try {
    for (let attempt = 1; ; attempt += 1) {
      const { name, release } = claimName(basename(target), 'old');
      releases.push(release);
      const old = join(parent, name);
      const moved = moveAway(fs, target, old);
      if (moved) replaced.push(old);
      try {
        fs.renameSync(folder, target);
        return finish(fs, parent, target, replaced);
      } catch (error) {
        // Another run put its package there between our two renames: ours replaces it, as it would have a moment later.
        if (['ENOTEMPTY', 'EEXIST'].includes(errorCode(error) ?? '') && attempt < 10) continue;
        if (moved) moveBack(fs, old, target);
        throw error;
      }
    }
  } finally {
    for (const release of releases) release();
  }
}

/** False when there is nothing to move. */
function moveAway(fs: PackageFileSystem, target: string, old: string): boolean {
  try {
    fs.renameSync(target, old);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    if (errorCode(error) !== 'EXDEV') throw error;
  }
  // overlayfs cannot rename a folder that comes from a lower layer, as in a container image: copy it, then remove it.
  copyFolder(fs, target, old);
  fs.rmSync(target, { recursive: true, force: true });
  return true;
}

function copyFolder(fs: PackageFileSystem, from: string, to: string): void {
  try {
    const paths = listFiles(fs, from);
    fs.mkdirSync(to);
    for (const path of new Set(paths.flatMap(parentFolders))) fs.mkdirSync(join(to, path));
    for (const path of paths) writeDurably(fs, join(to, path), fs.readFileSync(join(from, path)));
    syncFolder(fs, to);
  } catch (error) {
    fs.rmSync(to, { recursive: true, force: true });
    throw error;
  }
}

function moveBack(fs: PackageFileSystem, old: string, target: string): void {
  try {
    fs.renameSync(old, target);
  } catch (error) {
    const message = `${target} could not be replaced, nor could the folder from before be moved back (${errorCode(error) ?? 'unknown error'}): it is ${old}`;
    throw new DiagnosticError([{ code: 'MOA5001', severity: 'error', message, help: `the next run moves it back, or: mv ${old} ${target}` }], 1);
  }
}

/** The new package is in place; nothing from here on is a failure. */
function finish(fs: PackageFileSystem, parent: string, target: string, replaced: readonly string[]): readonly Diagnostic[] {
  const warnings: Diagnostic[] = [];
  const attempt = (what: string, action: () => void): void => {
    try {
      action();
    } catch (error) {
      const message = `${target} is written, but ${what} (${errorCode(error) ?? 'unknown error'})`;
      warnings.push({ code: 'MOA5008', severity: 'warning', message, help: 'the next run tries again' });
    }
  };
  attempt('the disk did not confirm its name', () => syncFolder(fs, parent));
  for (const old of replaced) attempt(`${old} could not be removed`, () => fs.rmSync(old, { recursive: true, force: true }));
  return warnings;
}
