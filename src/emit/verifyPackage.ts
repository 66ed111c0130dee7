import { join } from 'node:path';
import { type Diagnostic, DiagnosticError } from '../util/diagnostics.ts';
import { isRecord } from '../util/isRecord.ts';
import { quote } from '../util/quote.ts';
import { errorCode } from './diskDiagnostics.ts';
import { describeFile, isPackagePath, manifestPath, packageFormat, type ManifestFile, type PackageManifest } from './package.ts';
import { diskFileSystem, listFiles, readRegularFile, type PackageFileSystem } from './packageFileSystem.ts';

/** The manifest of the package in `folder`. Throws a DiagnosticError, MOA5010, when there is none of our format. */
export function readManifest(folder: string, fs: PackageFileSystem = diskFileSystem): PackageManifest {
  const bytes = readRegularFile(fs, join(folder, manifestPath));
  const manifest = bytes === undefined ? undefined : parseManifest(Buffer.from(bytes).toString('utf8'));
  if (manifest !== undefined) return manifest;
  const message = `${folder} is not a package of moa-compile: ${manifestPath} ${bytes === undefined ? 'is missing' : `is not of the format ${packageFormat}`}`;
  throw new DiagnosticError([{ code: 'MOA5010', severity: 'error', message, help: 'compile the plan again' }], 1);
}

/** A manifest of our format, or undefined for any other text. */
export function parseManifest(text: string): PackageManifest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value) || value['format'] !== packageFormat || !isRecord(value['files'])) return undefined;
  const valid = Object.entries(value['files']).every(([path, file]) => isPackagePath(path) && isManifestFile(file));
  return valid ? (value as unknown as PackageManifest) : undefined;
}

/**
 * Checks every file of the package in `folder` against its manifest. Errors (MOA5010, MOA5011) for files that are missing or
 * changed, warnings for files that the manifest does not list. An empty list: all is well.
 */
export function verifyPackage(folder: string, fs: PackageFileSystem = diskFileSystem): readonly Diagnostic[] {
  let manifest: PackageManifest;
  try {
    manifest = readManifest(folder, fs);
  } catch (error) {
    if (error instanceof DiagnosticError) return error.diagnostics;
    throw error;
  }
  const problems: Diagnostic[] = [];
  for (const [path, expected] of Object.entries(manifest.files)) {
    const what = fileProblem(fs, join(folder, path), expected);
    if (what === undefined) continue;
    problems.push({ code: 'MOA5011', severity: 'error', message: `${path} of the package ${folder} ${what}`, path, help: 'compile the plan again' });
  }
  for (const path of foreignFiles(folder, manifest, fs)) {
    problems.push({ code: 'MOA5011', severity: 'warning', message: `${printable(path)} in the package ${folder} was not written by moa-compile`, path });
  }
  return problems;
}

/** What is wrong with a file of the manifest; undefined: nothing. */
function fileProblem(fs: PackageFileSystem, path: string, expected: ManifestFile): string | undefined {
  let bytes: Uint8Array | undefined;
  try {
    bytes = readRegularFile(fs, path);
  } catch (error) {
    const code = errorCode(error);
    if (code === undefined) throw error;
    return `cannot be read (${code})`;
  }
  if (bytes === undefined) return fs.lstatSync(path, { throwIfNoEntry: false }) === undefined ? 'is missing' : 'is no regular file';
  const actual = describeFile(bytes);
  if (actual.sha256 === expected.sha256 && actual.bytes === expected.bytes) return undefined;
  return actual.bytes === expected.bytes ? 'has been changed' : `has ${actual.bytes} bytes, but was written with ${expected.bytes}`;
}

/** A name that others chose, safe to print. */
export const printable = (path: string): string => (/^[\x20-\x7e]+$/.test(path) ? path : quote(path));

/** The files below `folder` that `manifest` does not list, without those that Python and macOS leave on their own. */
export function foreignFiles(folder: string, manifest: PackageManifest, fs: PackageFileSystem): string[] {
  return listFiles(fs, folder).filter((path) => {
    const segments = path.split('/');
    return path !== manifestPath && !Object.hasOwn(manifest.files, path) && !segments.includes('__pycache__') && segments.at(-1) !== '.DS_Store';
  });
}


const isManifestFile = (value: unknown): value is ManifestFile =>
  isRecord(value) && Number.isSafeInteger(value['bytes']) && typeof value['sha256'] === 'string' && /^[0-9a-f]{64}$/.test(value['sha256']);
