import nodeFs from 'node:fs';
import { join } from 'node:path';
import { errorCode } from './diskDiagnostics.ts';

/** The calls through which packages reach the disk; tests pass one that fails. */
export type PackageFileSystem = Pick<
  typeof nodeFs,
  'openSync' | 'writeSync' | 'fsyncSync' | 'closeSync' | 'mkdirSync' | 'renameSync' | 'rmSync' | 'readdirSync' | 'readFileSync' | 'lstatSync' | 'realpathSync'
>;

export const diskFileSystem: PackageFileSystem = nodeFs;

/** Writes a file that must not exist yet, and waits until it is on the disk. */
export function writeDurably(fs: PackageFileSystem, path: string, bytes: Uint8Array): void {
  const file = fs.openSync(path, 'wx', 0o666);
  try {
    for (let at = 0; at < bytes.byteLength; ) at += fs.writeSync(file, bytes, at, bytes.byteLength - at);
    fs.fsyncSync(file);
  } finally {
    fs.closeSync(file);
  }
}

/** Waits until the entries of `folder` are on the disk. File systems that cannot do that for folders are taken as they are. */
export function syncFolder(fs: PackageFileSystem, folder: string): void {
  const handle = fs.openSync(folder, 'r');
  try {
    fs.fsyncSync(handle);
  } catch (error) {
    if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(errorCode(error) ?? '')) throw error;
  } finally {
    fs.closeSync(handle);
  }
}

export type FolderState = 'absent' | 'empty' | 'full';

/** Throws ENOTDIR when `path` is no folder. */
export function folderState(fs: PackageFileSystem, path: string): FolderState {
  try {
    return fs.readdirSync(path).length === 0 ? 'empty' : 'full';
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return 'absent';
    throw error;
  }
}

/** Relative POSIX paths of all that lies below `folder` and is not a folder, sorted. Links are not followed. */
export function listFiles(fs: PackageFileSystem, folder: string, prefix = ''): string[] {
  return fs
    .readdirSync(join(folder, prefix), { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? listFiles(fs, folder, `${prefix}${entry.name}/`) : [`${prefix}${entry.name}`]))
    .sort();
}

/** The content of a regular file; undefined when it is missing or something else. */
export function readRegularFile(fs: PackageFileSystem, path: string): Uint8Array | undefined {
  try {
    return fs.lstatSync(path).isFile() ? fs.readFileSync(path) : undefined;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined;
    throw error;
  }
}
