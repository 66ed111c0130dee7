/**
 * The folders that exist beside a package while it is replaced, `.<name>.tmp-<host>-<pid>-<random>` (the new one, unfinished) and
 * `.<name>.old-...` (the one before), and what to do with those of a run that was killed.
 */
import { createHash, randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Diagnostic } from '../util/diagnostics.ts';
import { errorCode } from './diskDiagnostics.ts';
import { folderState, type PackageFileSystem } from './packageFileSystem.ts';
import { verifyPackage } from './verifyPackage.ts';

const dayMs = 24 * 60 * 60 * 1000;
/** Process ids mean nothing to another host or container. */
const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
/** Names that this process is using now. */
const inUse = new Set<string>();

export interface Leftover {
  readonly name: string;
  /** Ends the claim: from now on the folder counts as left over. */
  readonly release: () => void;
}

/** A new name for a folder beside the package `base`. */
export function claimName(base: string, kind: 'tmp' | 'old'): Leftover {
  const name = `.${base}.${kind}-${host}-${process.pid}-${randomBytes(6).toString('hex')}`;
  inUse.add(name);
  return { name, release: () => inUse.delete(name) };
}

/**
 * Tidies up beside the package `base` after runs that were killed: restores a package that was moved away and not replaced
 * (MOA5009), removes the rest. Folders of runs that may still be alive stay. Failing to remove is no error.
 */
export function recoverPackage(fs: PackageFileSystem, parent: string, base: string): readonly Diagnostic[] {
  const stale = staleFolders(fs, parent, base);
  const warnings: Diagnostic[] = [];
  const target = join(parent, base);
  const [newest] = stale.filter((folder) => folder.kind === 'old' && folder.ours).sort((a, b) => b.modifiedMs - a.modifiedMs);
  if (newest !== undefined && isLost(fs, target, join(parent, newest.name))) {
    fs.rmSync(target, { recursive: true, force: true });
    fs.renameSync(join(parent, newest.name), target);
    warnings.push({ code: 'MOA5009', severity: 'warning', message: `${target} was being replaced when an earlier run was killed; the package from before has been restored` });
  }
  for (const { name } of stale) {
    try {
      fs.rmSync(join(parent, name), { recursive: true, force: true });
    } catch {
      // The next run tries again.
    }
  }
  return warnings;
}

/** Whether the package at `target` is gone, or damaged where `old` is whole. */
function isLost(fs: PackageFileSystem, target: string, old: string): boolean {
  if (folderState(fs, target) !== 'full') return true;
  const isWhole = (folder: string): boolean => verifyPackage(folder, fs).every((problem) => problem.severity !== 'error');
  return !isWhole(target) && isWhole(old);
}

interface StaleFolder {
  readonly name: string;
  readonly kind: string;
  readonly modifiedMs: number;
  /** Owned by this user. */
  readonly ours: boolean;
}

function staleFolders(fs: PackageFileSystem, parent: string, base: string): StaleFolder[] {
  let names: readonly string[];
  try {
    names = fs.readdirSync(parent);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
  return names.flatMap((name) => {
    if (!name.startsWith(`.${base}.`) || inUse.has(name)) return [];
    const match = /^(tmp|old)-([0-9a-f]{8})-(\d+)-[0-9a-f]{12}$/.exec(name.slice(base.length + 2));
    if (match === null) return [];
    const [, kind = '', owner, pid] = match;
    const status = fs.lstatSync(join(parent, name), { throwIfNoEntry: false });
    if (status === undefined || !status.isDirectory()) return [];
    const dead = owner === host ? Number(pid) === process.pid || !isAlive(Number(pid)) : Date.now() - status.mtimeMs > dayMs;
    return dead ? [{ name, kind, modifiedMs: status.mtimeMs, ours: process.getuid === undefined || status.uid === process.getuid() }] : [];
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) !== 'ESRCH';
  }
}
