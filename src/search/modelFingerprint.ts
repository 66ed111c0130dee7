/**
 * Which model a folder holds: the contents of its weights, config and tokenizer. The same number as python/moa_compile/search/fingerprint.py: SHA-256 of a line
 * `<sha256 of the file>  <name>\n` for each file, by name. Size, times and inode only say whether contents need to be read again.
 */
import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hashOfFile } from './workFolder.ts';

const FILES = /\.(bin|jinja|json|model|pt|pth|py|safetensors|tiktoken|txt)$/;

export interface ModelFingerprint {
  readonly sha256: string;
  /** What changes with every write, by name: a copy that keeps the time of modification still has another time of change. */
  readonly states: ReadonlyMap<string, string>;
}

/** The fingerprint of `folder`, all of it read. Throws what the file system throws. */
export async function modelFingerprint(folder: string): Promise<ModelFingerprint> {
  for (;;) {
    const states = statesOf(folder);
    const all = createHash('sha256');
    for (const name of states.keys()) all.update(`${await hashOfFile(join(folder, name))}  ${name}\n`);
    // A file that changed meanwhile is read again.
    if (sameStates(statesOf(folder), states)) return { sha256: all.digest('hex'), states };
  }
}

/** Whether `folder` still holds the model of `known`. Contents are only read where files look otherwise. */
export async function holdsSameModel(folder: string, known: ModelFingerprint): Promise<boolean> {
  return sameStates(statesOf(folder), known.states) || (await modelFingerprint(folder)).sha256 === known.sha256;
}

function statesOf(folder: string): ReadonlyMap<string, string> {
  const names = readdirSync(folder).filter((name) => FILES.test(name));
  const sorted = names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return new Map(
    sorted.flatMap((name) => {
      const { size, mtimeNs, ctimeNs, ino, dev, isFile } = stateOf(join(folder, name));
      return isFile ? [[name, [size, mtimeNs, ctimeNs, ino, dev].join()] as const] : [];
    }),
  );
}

function stateOf(path: string): { readonly size: bigint; readonly mtimeNs: bigint; readonly ctimeNs: bigint; readonly ino: bigint; readonly dev: bigint; readonly isFile: boolean } {
  const stats = statSync(path, { bigint: true });
  const { size, mtimeNs, ctimeNs, ino, dev } = stats;
  return { size, mtimeNs, ctimeNs, ino, dev, isFile: stats.isFile() };
}

const sameStates = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean =>
  a.size === b.size && [...a].every(([name, state]) => b.get(name) === state);
