import { join } from 'node:path';
import { type Diagnostic, DiagnosticError } from '../util/diagnostics.ts';
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
    const bytes = readRegularFile(fs, join(folder, path));
    const actual = bytes === undefined ? undefined : describeFile(bytes);
    if (actual?.sha256 === expected.sha256) continue;
    const what = actual === undefined ? 'is missing' : actual.bytes === expected.bytes ? 'has been changed' : `has ${actual.bytes} bytes, but was written with ${expected.bytes}`;
    problems.push({ code: 'MOA5011', severity: 'error', message: `${path} of the package ${folder} ${what}`, help: 'compile the plan again' });
  }
  for (const path of foreignFiles(folder, manifest, fs)) {
    problems.push({ code: 'MOA5011', severity: 'warning', message: `${path} in the package ${folder} was not written by moa-compile` });
  }
  return problems;
}

/** The files below `folder` that `manifest` does not list, without those that Python and macOS leave on their own. */
export function foreignFiles(folder: string, manifest: PackageManifest, fs: PackageFileSystem): string[] {
  return listFiles(fs, folder).filter((path) => {
    const segments = path.split('/');
    return path !== manifestPath && !Object.hasOwn(manifest.files, path) && !segments.includes('__pycache__') && segments.at(-1) !== '.DS_Store';
  });
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

const isManifestFile = (value: unknown): value is ManifestFile =>
  isRecord(value) && Number.isSafeInteger(value['bytes']) && typeof value['sha256'] === 'string' && /^[0-9a-f]{64}$/.test(value['sha256']);
