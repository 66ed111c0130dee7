import { lstatSync, mkdirSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { errorCode } from '../emit/diskDiagnostics.ts';
import type { Variables } from './compilerEnvironment.ts';

/** `${XDG_CACHE_HOME:-~/.cache}/moa-compile`. A relative XDG_CACHE_HOME is ignored, as its specification demands. */
export function cacheFolder(variables: Variables): string {
  const xdg = variables['XDG_CACHE_HOME'];
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, 'moa-compile');
  return join(variables['HOME'] || userInfo().homedir, '.cache', 'moa-compile');
}

/** Makes `folder` if it is absent, with mode 0700, and says why it must not be trusted, if so. Undefined: it is ours alone. */
export function folderProblem(folder: string): string | undefined {
  try {
    mkdirSync(dirname(folder), { recursive: true });
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
    }
    return untrusted(folder) ?? untrustedParent(dirname(folder));
  } catch (error) {
    const code = errorCode(error);
    if (code === undefined) throw error;
    return `it cannot be used (${code})`;
  }
}

function untrusted(folder: string): string | undefined {
  const status = lstatSync(folder);
  if (status.isSymbolicLink()) return 'it is a link';
  if (!status.isDirectory()) return 'it is not a folder';
  if (status.uid !== ownId()) return 'it belongs to another user';
  if ((status.mode & 0o022) !== 0) return 'others may write to it';
  return undefined;
}

/** Whoever may rename our folder away may put another in its place. */
function untrustedParent(parent: string): string | undefined {
  const status = statSync(parent);
  const [sticky, othersWrite] = [0o1000, 0o002];
  return (status.mode & othersWrite) !== 0 && (status.mode & sticky) === 0 ? `anyone may rename it: ${parent} is writable for all` : undefined;
}

/** The user whose permissions count. */
export function ownId(): number {
  return process.geteuid?.() ?? userInfo().uid;
}
