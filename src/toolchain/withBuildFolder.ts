import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onInterrupt } from '../emit/cleanupOnSignal.ts';
import { isPackagePath } from '../emit/package.ts';
import { invariant } from '../util/invariant.ts';
import { makeTemporaryFolder, temporaryFailure } from './temporaryFolder.ts';

/**
 * Makes a private folder (mode 0700) with `files` in it, runs `work` there and removes it, whatever happened. A killed nvcc leaves
 * files behind; this is where it does. Throws MOA4108 when the folder cannot be made or filled.
 */
export async function withBuildFolder<Result>(
  files: ReadonlyMap<string, string | Uint8Array>,
  work: (folder: string) => Promise<Result>,
  temporaryRoot: string = tmpdir(),
): Promise<Result> {
  let folder: string | undefined;
  const remove = (): void => {
    if (folder !== undefined)
      rmSync(folder, { recursive: true, force: true, maxRetries: 3, retryDelay: 20 });
  };
  const stopListening = onInterrupt(remove);
  try {
    try {
      folder = makeTemporaryFolder('build', temporaryRoot);
      for (const [path, text] of files) {
        invariant(isPackagePath(path), `${JSON.stringify(path)} is not a path of a source`);
        mkdirSync(dirname(join(folder, path)), { recursive: true });
        writeFileSync(join(folder, path), text, { flag: 'wx' });
      }
    } catch (error) {
      throw temporaryFailure(temporaryRoot, error);
    }
    return await work(folder);
  } finally {
    stopListening();
    try {
      remove();
    } catch {
      // A child that is still dying may be writing there; nothing depends on it.
    }
  }
}
