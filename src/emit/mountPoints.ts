import { readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Whether something is mounted at the folder `path`, which is absolute and without links: it cannot
 * be renamed.
 */
export function isMountPoint(path: string, table: string | undefined = mountTable()): boolean {
  if (table !== undefined) return mountPoints(table).has(path);
  return statSync(path).dev !== statSync(dirname(path)).dev;
}

/** The mount points of a table in the format of /proc/self/mountinfo, read as Latin-1. */
export function mountPoints(table: string): ReadonlySet<string> {
  const points = table.split('\n').flatMap((line) => line.split(' ')[4] ?? []);
  const unescaped = points.map((text) =>
    text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))),
  );
  return new Set(unescaped.map((text) => Buffer.from(text, 'latin1').toString('utf8')));
}

/** Undefined where there is none, as on macOS. */
function mountTable(): string | undefined {
  try {
    return readFileSync('/proc/self/mountinfo', 'latin1');
  } catch {
    return undefined;
  }
}
