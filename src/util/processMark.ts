/**
 * A mark in the names of temporary files and folders that says which process made them,
 * `<host>-<pid>-<start>`, so that what a killed process left can be told from what a living one
 * uses. Process ids are used again; an id with the time its process started is not.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

export interface ProcessMark {
  readonly host: string;
  readonly pid: number;
  /**
   * When it started, in ticks since the system did; 0 where the system does not say, undefined in
   * names without it.
   */
  readonly start?: number | undefined;
}

/**
 * `own`: this process. `elsewhere`: of another host or container, whose processes cannot be seen
 * from here.
 */
export type MarkState = 'own' | 'alive' | 'dead' | 'elsewhere';

let ownMark: ProcessMark | undefined;

/** The mark of this process. */
export function processMark(): ProcessMark {
  if (ownMark !== undefined) return ownMark;
  const start = startOf(process.pid);
  return (ownMark = {
    host: hostMark(),
    pid: process.pid,
    start: typeof start === 'number' ? start : 0,
  });
}

/** `<host>-<pid>-<start>-<random>`: no two are equal. */
export function markedName(): string {
  const { host, pid, start } = processMark();
  return `${host}-${pid}-${start}-${randomBytes(6).toString('hex')}`;
}

/** The mark in what `markedName` returned, or undefined for any other text. */
export function parseMarkedName(text: string): ProcessMark | undefined {
  const match = /^([0-9a-f]{8})-(\d{1,10})-(?:(\d{1,20})-)?[0-9a-f]{12}$/.exec(text);
  if (match === null) return undefined;
  const [, host = '', pid, start] = match;
  return { host, pid: Number(pid), start: start === undefined ? undefined : Number(start) };
}

/** Whether the process of a mark is alive. Where that is not certain it counts as alive. */
export function stateOf({ host, pid, start }: ProcessMark): MarkState {
  const own = processMark();
  if (host !== own.host) return 'elsewhere';
  // A name without a start is from before names had one: not of this process, whose names have.
  if (pid === own.pid) return start === own.start ? 'own' : 'dead';
  if (!isAlive(pid)) return 'dead';
  const found = startOf(pid);
  if (found === 'ended') return 'dead';
  return found === undefined || !start || found === start ? 'alive' : 'dead';
}

/** Process ids mean nothing to another host, nor to a container that counts its own. */
function hostMark(): string {
  let namespace = '';
  try {
    namespace = readlinkSync('/proc/self/ns/pid');
  } catch {
    // Not Linux, or a kernel without namespaces.
  }
  return createHash('sha256').update(`${hostname()} ${namespace}`).digest('hex').slice(0, 8);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/**
 * When a process started. `ended`: it is a zombie, which its parent has not asked for yet.
 * Undefined where the system does not say.
 */
function startOf(pid: number): number | 'ended' | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The name of the program, in parentheses, may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return 'ended';
  const start = Number(fields[19]);
  return Number.isSafeInteger(start) ? start : undefined;
}
