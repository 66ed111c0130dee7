/** Which folder a package replaces, and what is never replaced. */
import { resolve, sep } from 'node:path';
import { DiagnosticError } from '../util/diagnostics.ts';
import { errorCode, type DiskCode } from './diskDiagnostics.ts';
import { manifestPath } from './package.ts';
import type { PackageFileSystem } from './packageFileSystem.ts';
import { foreignFiles, printable, readManifest } from './verifyPackage.ts';

/** The absolute path of the folder to replace, links resolved. Throws MOA5004 and MOA5007. */
export function locateOutput(fs: PackageFileSystem, outputDir: string): string {
  const absolute = resolve(outputDir);
  const target = followLink(fs, absolute, outputDir);
  const inside = `${process.cwd()}${sep}`.startsWith(
    target.endsWith(sep) ? target : `${target}${sep}`,
  );
  if (!inside) return target;
  throw refusal(
    'MOA5007',
    `${outputDir} is the current folder or holds it, so it cannot be replaced`,
    'name a folder inside it, or start from elsewhere',
  );
}

function followLink(fs: PackageFileSystem, path: string, outputDir: string): string {
  if (fs.lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return path;
  try {
    return fs.realpathSync(path);
  } catch (error) {
    if (!['ENOENT', 'ELOOP'].includes(errorCode(error) ?? '')) throw error;
    throw refusal(
      'MOA5004',
      `${outputDir} is a link that leads nowhere`,
      'remove the link, or make the folder that it names',
    );
  }
}

/**
 * Refuses to delete what moa-compile did not write: MOA5002, MOA5003. `target` is a folder that is
 * not empty.
 */
export function refuseForeign(fs: PackageFileSystem, target: string, force: boolean): void {
  const names = fs.readdirSync(target);
  if (names.includes('.git'))
    throw refusal('MOA5002', `${target} is a git repository`, 'use another folder');
  if (force) return;
  const advice = 'use another folder, or --force to replace all that is in it';
  if (!names.includes(manifestPath))
    throw refusal('MOA5002', `${target} is not empty and not a package of moa-compile`, advice);
  let foreign: readonly string[];
  try {
    foreign = foreignFiles(target, readManifest(target, fs), fs);
  } catch (error) {
    if (!(error instanceof DiagnosticError)) throw error;
    throw refusal('MOA5002', `the ${manifestPath} in ${target} is not one of moa-compile`, advice);
  }
  if (foreign.length === 0) return;
  const more = foreign.length > 3 ? ` and ${foreign.length - 3} more` : '';
  const shown = `${foreign.slice(0, 3).map(printable).join(', ')}${more}`;
  throw refusal(
    'MOA5003',
    `${target} holds files that moa-compile did not write: ${shown}`,
    'move them away, or use --force to delete them',
  );
}

/** A problem of the output that the user can settle. */
export function refusal(code: DiskCode, message: string, help: string): DiagnosticError {
  return new DiagnosticError([{ code, severity: 'error', message, help }], 1);
}
