import { join } from 'node:path';
import { stableJson } from '../util/stableJson.ts';
import { fileBytes, manifestPath, type FileContent, type PackageFiles } from './package.ts';
import { diskFileSystem, folderState, listFiles, readRegularFile, type PackageFileSystem } from './packageFileSystem.ts';
import { parseManifest } from './verifyPackage.ts';

export interface PackageDifference {
  readonly path: string;
  /** `missing` on disk, `extra` on disk, or other bytes. */
  readonly kind: 'missing' | 'extra' | 'changed';
}

export interface CompareOptions {
  /** Leave out cubins, fatbins and PTX, also in the manifest: for a comparison without nvcc. */
  readonly ignoreMachineCode?: boolean;
  readonly fs?: PackageFileSystem;
}

/** Of the package, or of a package inside it. */
const isManifest = (path: string): boolean => path === manifestPath || path.endsWith(`/${manifestPath}`);
const isMachineCode = (path: string): boolean => /\.(cubin|fatbin|ptx)$/.test(path);

/** How the folder differs from the package, by path. Empty: they are the same. A folder that is absent has everything missing. */
export function comparePackage({ files }: PackageFiles, folder: string, options: CompareOptions = {}): readonly PackageDifference[] {
  const fs = options.fs ?? diskFileSystem;
  const ignore = options.ignoreMachineCode === true;
  const onDisk = new Set(folderState(fs, folder) === 'absent' ? [] : listFiles(fs, folder));
  const differences: PackageDifference[] = [];
  for (const path of [...new Set([...files.keys(), ...onDisk])].sort()) {
    if (ignore && isMachineCode(path)) continue;
    const wanted = files.get(path);
    if (wanted === undefined) differences.push({ path, kind: 'extra' });
    else if (!onDisk.has(path)) differences.push({ path, kind: 'missing' });
    else if (!sameContent(path, wanted, readRegularFile(fs, join(folder, path)), ignore)) differences.push({ path, kind: 'changed' });
  }
  return differences;
}

function sameContent(path: string, wanted: FileContent, found: Uint8Array | undefined, ignore: boolean): boolean {
  if (found === undefined) return false;
  if (Buffer.compare(fileBytes(wanted), found) === 0) return true;
  if (!ignore || !isManifest(path)) return false;
  const [left, right] = [fileBytes(wanted), found].map((bytes) => manifestOfSources(Buffer.from(bytes).toString('utf8')));
  return left !== undefined && left === right;
}

function manifestOfSources(text: string): string | undefined {
  const manifest = parseManifest(text);
  if (manifest === undefined) return undefined;
  // The manifests of packages inside have hashes of machine code in them; they are compared as files of their own.
  return stableJson({ ...manifest, files: Object.fromEntries(Object.entries(manifest.files).filter(([path]) => !isMachineCode(path) && !isManifest(path))) });
}
