import { lstatSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseMarkedName, stateOf, type ProcessMark } from './processMark.ts';

export interface StaleOptions {
  /** Stands in names before the mark. */
  readonly prefix: string;
  /** Stands after it. */
  readonly suffix?: string;
  /**
   * How old something of another host is when nobody uses it any more, in milliseconds; without it
   * such things stay.
   */
  readonly elsewhereMs?: number;
  /** Names that this process has given up. */
  readonly released?: ReadonlySet<string>;
}

/**
 * Removes from `folder` the files and folders of dead processes: those whose names are `prefix`,
 * `markedName()` and `suffix`, and that belong to this user. Links are left alone, and so is
 * everything in a folder where others could exchange one for another. Never throws: what cannot be
 * removed is tried again by the next run.
 */
export function removeStale(folder: string, options: StaleOptions): void {
  try {
    if (anyoneMayRename(folder)) return;
    for (const name of readdirSync(folder)) removeIfStale(folder, name, options);
  } catch {
    // There is no such folder, or it may not be read.
  }
}

function removeIfStale(folder: string, name: string, options: StaleOptions): void {
  const { prefix, suffix = '' } = options;
  if (
    !name.startsWith(prefix) ||
    !name.endsWith(suffix) ||
    name.length < prefix.length + suffix.length
  )
    return;
  const mark = parseMarkedName(name.slice(prefix.length, name.length - suffix.length));
  if (mark === undefined) return;
  try {
    const path = join(folder, name);
    const status = lstatSync(path);
    const isOurs = process.geteuid === undefined || status.uid === process.geteuid();
    if (!isOurs || !(status.isFile() || status.isDirectory())) return;
    if (isStale(name, mark, status.mtimeMs, options))
      rmSync(path, { recursive: true, force: true });
  } catch {
    // Another run removed it, or a process of the dead one still writes there.
  }
}

function isStale(
  name: string,
  mark: ProcessMark,
  modifiedMs: number,
  { elsewhereMs, released }: StaleOptions,
): boolean {
  switch (stateOf(mark)) {
    case 'own':
      return released?.has(name) === true;
    case 'alive':
      return false;
    case 'dead':
      return true;
    case 'elsewhere':
      return elsewhereMs !== undefined && Date.now() - modifiedMs > elsewhereMs;
  }
}

/** A folder where all may write, and all may rename what is not theirs. */
function anyoneMayRename(folder: string): boolean {
  const [sticky, othersWrite] = [0o1000, 0o002];
  const { mode } = statSync(folder);
  return (mode & othersWrite) !== 0 && (mode & sticky) === 0;
}
