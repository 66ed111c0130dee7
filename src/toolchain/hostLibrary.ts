/**
 * Where the libraries of the emulator lie while they are loaded. `dlopen` wants a path, and what lies there must be what was
 * checked: the name is the SHA-256 of the content, in a folder that only this user can write to.
 */
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onInterrupt } from '../emit/cleanupOnSignal.ts';
import { errorCode } from '../emit/diskDiagnostics.ts';
import { sha256 } from '../emit/package.ts';
import { writeDurably } from '../emit/packageFileSystem.ts';
import { markedName } from '../util/processMark.ts';
import { folderProblem } from './cacheFolder.ts';
import { readOwnFile, type KernelCache } from './kernelCache.ts';
import { makeTemporaryFolder } from './temporaryFolder.ts';
import { toolchainFailure } from './toolchainCodes.ts';

/** The path of a file with exactly these bytes: below the cache, or without one in a folder of this process, removed when it ends. */
export function placeLibrary(cache: KernelCache, library: Uint8Array, temporaryRoot: string = tmpdir()): string {
  const hash = sha256(library);
  const beside = cache.folder === undefined ? undefined : join(dirname(cache.folder), 'libraries');
  if (beside !== undefined && folderProblem(beside) === undefined) {
    try {
      return place(beside, hash, library);
    } catch (error) {
      // A full or read-only cache is no reason to fail.
      if (errorCode(error) === undefined) throw error;
    }
  }
  try {
    return place(processFolder(temporaryRoot), hash, library);
  } catch (error) {
    const code = errorCode(error);
    if (code === undefined) throw error;
    throw toolchainFailure('MOA4203', `the library of an emulated kernel could not be written below ${temporaryRoot} (${code})`, 'free some space there, or set TMPDIR to another folder');
  }
}

function place(folder: string, hash: string, library: Uint8Array): string {
  const path = join(folder, `${hash}.so`);
  const existing = readOwnFile(path);
  if (existing !== undefined && sha256(existing) === hash) return path;
  const temporary = join(folder, `.tmp-${markedName()}`);
  try {
    writeDurably(fs, temporary, library);
    fs.renameSync(temporary, path);
  } catch (error) {
    try {
      fs.rmSync(temporary, { force: true });
    } catch {
      // The first error says more.
    }
    throw error;
  }
  return path;
}

/** By the folder they are in. */
const privateFolders = new Map<string, string>();

function processFolder(temporaryRoot: string): string {
  const known = privateFolders.get(temporaryRoot);
  if (known !== undefined) return known;
  const folder = makeTemporaryFolder('libraries', temporaryRoot);
  privateFolders.set(temporaryRoot, folder);
  const remove = (): void => fs.rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  onInterrupt(remove);
  return folder;
}

/** What is wrong with a shared object: not one, or cut off. Undefined: nothing. */
export function libraryProblem(library: Uint8Array): string | undefined {
  const view = new DataView(library.buffer, library.byteOffset, library.byteLength);
  if (library.byteLength < 64) return `it has only ${library.byteLength} bytes`;
  const magic = view.getUint32(0, true);
  // macOS has another format; its linker notices a full disk.
  if (magic === 0xfeedfacf) return undefined;
  if (magic !== 0x464c457f) return 'it is not a shared object';
  const end = Number(view.getBigUint64(40, true)) + view.getUint16(58, true) * view.getUint16(60, true);
  return end <= library.byteLength ? undefined : `it is cut off: it has ${library.byteLength} bytes, but its headers name ${end}`;
}
