import { basename, dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type Diagnostic, DiagnosticError } from '../util/diagnostics.ts';
import { onInterrupt } from './cleanupOnSignal.ts';
import { comparePackage } from './comparePackage.ts';
import { diskDiagnostic } from './diskDiagnostics.ts';
import { locateOutput, refuseForeign } from './outputFolder.ts';
import { fileBytes, parentFolders, type PackageFiles } from './package.ts';
import { diskFileSystem, folderState, syncFolder, writeDurably, type PackageFileSystem } from './packageFileSystem.ts';
import { claimName, recoverPackage } from './packageLeftovers.ts';
import { swapFolder } from './swapFolder.ts';

export interface WriteOptions {
  /** Replace the folder whatever it holds. A folder with `.git`, the current one and the root are never replaced. */
  readonly force?: boolean;
  readonly fs?: PackageFileSystem;
}

export interface WriteResult {
  /** False: the folder held exactly this package and was not touched. */
  readonly changed: boolean;
  readonly warnings: readonly Diagnostic[];
}

/**
 * Puts the package on disk as the folder `outputDir`, whole or not at all: it is written beside the target, waited for until it is
 * on the disk, and swapped in by two renames. Whatever fails or interrupts, the folder from before stays complete, at its place or
 * (killed between the two renames) where the next run restores it from.
 *
 * Throws a DiagnosticError, MOA5001 to MOA5007.
 */
export async function writePackage(files: PackageFiles, outputDir: string, options: WriteOptions = {}): Promise<WriteResult> {
  const fs = options.fs ?? diskFileSystem;
  try {
    const target = locateOutput(fs, outputDir);
    const warnings = [...recoverPackage(fs, dirname(target), basename(target))];
    const state = folderState(fs, target);
    if (state === 'full') {
      refuseForeign(fs, target, options.force === true);
      if (comparePackage(files, target, { fs }).length === 0) return { changed: false, warnings };
    }
    warnings.push(...(await replace(fs, files, target)));
    return { changed: true, warnings };
  } catch (error) {
    if (error instanceof DiagnosticError) throw error;
    throw new DiagnosticError([diskDiagnostic(error, outputDir)], 1);
  }
}

async function replace(fs: PackageFileSystem, { files }: PackageFiles, target: string): Promise<readonly Diagnostic[]> {
  const parent = dirname(target);
  const temporary = claimName(basename(target), 'tmp');
  const folder = join(parent, temporary.name);
  const remove = (): void => fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(parent, { recursive: true });
  const stopListening = onInterrupt(remove);
  try {
    fs.mkdirSync(folder);
    const folders = [...new Set([...files.keys()].flatMap(parentFolders))];
    for (const path of folders) fs.mkdirSync(join(folder, path));
    for (const [path, content] of files) {
      writeDurably(fs, join(folder, path), fileBytes(content));
      // Everything else is synchronous, so a signal finds the disk in a state that its cleanup understands.
      await setImmediate();
    }
    for (const path of ['.', ...folders]) syncFolder(fs, join(folder, path));
    return swapFolder(fs, folder, target);
  } catch (error) {
    try {
      remove();
    } catch {
      // The first error says more; the next run removes the folder.
    }
    throw error;
  } finally {
    stopListening();
    temporary.release();
  }
}

export { cleanupOnSignal } from './cleanupOnSignal.ts';
