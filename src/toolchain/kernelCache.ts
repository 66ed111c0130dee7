import fs from 'node:fs';
import { join } from 'node:path';
import { errorCode } from '../emit/diskDiagnostics.ts';
import { syncFolder, writeDurably } from '../emit/packageFileSystem.ts';
import type { Diagnostic } from '../util/diagnostics.ts';
import { invariant } from '../util/invariant.ts';
import { markedName, parseMarkedName } from '../util/processMark.ts';
import { removeStale } from '../util/removeStale.ts';
import { decodeEntry, encodeEntry, type EntryParts } from './cacheEntry.ts';
import { folderProblem, ownId } from './cacheFolder.ts';

export interface CacheItem {
  /** 64 hexadecimal digits. */
  readonly key: string;
  readonly bytes: number;
  /** When it was written. */
  readonly modified: Date;
}

export interface CacheReport {
  readonly folder: string;
  /** By key. */
  readonly items: readonly CacheItem[];
  readonly bytes: number;
}

const hourMs = 60 * 60 * 1000;
const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;

/**
 * A cache on disk: bytes in, the same bytes out or nothing. An entry is named by the hash of all that went into it and is one file,
 * renamed into place whole; so writers need no lock, and the last of two equal ones wins. Every load checks every byte. Nothing
 * here fails a compilation: what goes wrong is a warning, each kind once.
 */
export class KernelCache {
  /** Undefined: there is no cache. Loads find nothing and stores do nothing. */
  readonly folder: string | undefined;
  readonly #warnings = new Map<string, Diagnostic>();

  private constructor(folder: string | undefined) {
    this.folder = folder;
  }

  /** The cache in `folder`, which `cacheFolder` names. A folder that others could write to is not used (warning MOA5101). */
  static open(folder: string): KernelCache {
    const problem = folderProblem(folder) ?? folderProblem(join(folder, 'v1'));
    const cache = new KernelCache(problem === undefined ? join(folder, 'v1') : undefined);
    if (problem === undefined) cache.#removeLeftovers();
    else cache.#warn('MOA5101', `the kernel cache ${folder} is not used: ${problem}`, 'correct that (the folder must be yours, mode 0700), set XDG_CACHE_HOME, or pass --no-cache');
    return cache;
  }

  /** No cache (`--no-cache`). */
  static none(): KernelCache {
    return new KernelCache(undefined);
  }

  /** What did not work so far. */
  get warnings(): readonly Diagnostic[] {
    return [...this.#warnings.values()];
  }

  /** The parts stored under `key`. A damaged entry is removed and counts as absent. */
  load(key: string): EntryParts | undefined {
    if (this.folder === undefined) return undefined;
    const path = join(this.folder, key);
    const bytes = readOwnFile(path);
    if (bytes === undefined) return undefined;
    const parts = decodeEntry(key, bytes);
    if (parts !== undefined) return parts;
    try {
      fs.rmSync(path, { force: true });
      this.#warn('MOA5103', `a damaged entry of the kernel cache was removed: ${path}`);
    } catch {
      this.#warn('MOA5103', `a damaged entry of the kernel cache is ignored: ${path}`, 'remove it');
    }
    return undefined;
  }

  /** Keeps `parts` under `key`. False, and a warning, when the disk does not take them. */
  store(key: string, parts: EntryParts): boolean {
    if (this.folder === undefined) return false;
    invariant(/^[0-9a-f]{64}$/.test(key), 'a cache key is a SHA-256');
    const temporary = join(this.folder, `.tmp-${markedName()}`);
    try {
      writeDurably(fs, temporary, encodeEntry(key, parts));
      fs.renameSync(temporary, join(this.folder, key));
      syncFolder(fs, this.folder);
      return true;
    } catch (error) {
      const code = errorCode(error);
      if (code === undefined) throw error;
      try {
        fs.rmSync(temporary, { force: true });
      } catch {
        // Removed when the cache is next opened.
      }
      this.#warn('MOA5102', `the kernel cache ${this.folder} could not be written (${code}); this run goes on without it`, 'free some space, or pass --no-cache');
      return false;
    }
  }

  #warn(code: 'MOA5101' | 'MOA5102' | 'MOA5103', message: string, help?: string): void {
    if (!this.#warnings.has(code)) this.#warnings.set(code, { code, severity: 'warning', message, ...(help === undefined ? {} : { help }) });
  }

  /** Temporary files of writers that were killed, here and beside among the libraries of the emulator. */
  #removeLeftovers(): void {
    if (this.folder === undefined) return;
    for (const folder of [this.folder, join(this.folder, '..', 'libraries')]) {
      removeStale(folder, { prefix: '.tmp-', elsewhereMs: hourMs });
      removeUnmarked(folder);
    }
  }
}

/** Temporary files without a mark of their process, as older versions made them. One that is an hour old has no writer. */
function removeUnmarked(folder: string): void {
  for (const name of listNames(folder).filter((entry) => entry.startsWith('.tmp-') && parseMarkedName(entry.slice('.tmp-'.length)) === undefined)) {
    try {
      const path = join(folder, name);
      if (Date.now() - fs.lstatSync(path).mtimeMs > hourMs) fs.rmSync(path, { force: true });
    } catch {
      // Someone else removed it, or it stays.
    }
  }
}

/** What the cache in `folder` holds. Empty when there is none. */
export function listCache(folder: string): CacheReport {
  const items = listNames(join(folder, 'v1')).flatMap((name): CacheItem[] => {
    if (!/^[0-9a-f]{64}$/.test(name)) return [];
    const status = fs.lstatSync(join(folder, 'v1', name), { throwIfNoEntry: false });
    return status?.isFile() === true ? [{ key: name, bytes: status.size, modified: status.mtime }] : [];
  });
  items.sort((a, b) => (a.key < b.key ? -1 : 1));
  return { folder, items, bytes: items.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/**
 * Removes everything that the cache in `folder` holds, the libraries of the emulator too, and returns what its entries were.
 * Touches only what this program makes, and throws the file system's error when something cannot be removed.
 */
export function clearCache(folder: string): CacheReport {
  const report = listCache(folder);
  const isLink = fs.lstatSync(folder, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  if (!isLink) for (const name of ['v1', 'libraries']) fs.rmSync(join(folder, name), { recursive: true, force: true });
  return report;
}

function listNames(folder: string | undefined): readonly string[] {
  if (folder === undefined) return [];
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
}

/** The bytes of a regular file that is ours; a link is never followed. */
export function readOwnFile(path: string): Uint8Array | undefined {
  let file: number;
  try {
    file = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const status = fs.fstatSync(file);
    return status.isFile() && status.uid === ownId() ? fs.readFileSync(file) : undefined;
  } catch {
    return undefined;
  } finally {
    fs.closeSync(file);
  }
}
