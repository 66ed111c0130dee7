/** The folder in which a whole search keeps what it has made so far, so that the same command goes on where it stopped. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { diskDiagnostic } from '../emit/diskDiagnostics.ts';
import { diskFileSystem, writeDurably } from '../emit/packageFileSystem.ts';
import { DiagnosticError } from '../util/diagnostics.ts';
import { markedName } from '../util/processMark.ts';
import { removeStale } from '../util/removeStale.ts';
import { stableJson } from '../util/stableJson.ts';

/** Writes a file whole or not at all. Throws a DiagnosticError (50xx). */
export function writeWhole(path: string, text: string): void {
  removeStale(dirname(path), { prefix: `${basename(path)}.`, suffix: '.part' });
  const part = `${path}.${markedName()}.part`;
  try {
    // Of an older version, and of a process that had this number.
    rmSync(`${path}.${process.pid}.part`, { force: true });
    writeDurably(diskFileSystem, part, Buffer.from(text));
    renameSync(part, path);
  } catch (error) {
    try {
      rmSync(part, { force: true });
    } catch {
      // What failed first says more.
    }
    throw new DiagnosticError([diskDiagnostic(error, path)], 1);
  }
}

export function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw new DiagnosticError([diskDiagnostic(error, path)], 1);
  }
}

/** What a step's result depends on, as a hash. */
export const keyOf = (facts: unknown): string => createHash('sha256').update(stableJson(facts)).digest('hex');

/** Whether `result` is there, and was made by a step with this key. */
export function isDone(result: string, key: string): boolean {
  return existsSync(result) && existsSync(`${result}.key`) && readFileSync(`${result}.key`, 'utf8').trim() === key;
}

/**
 * Says which key `result` has, before it is made: whoever makes it writes it whole, so that there is none without its key, whenever the search ends.
 * Nothing may be there with another key.
 */
export const writeKey = (result: string, key: string): void => writeWhole(`${result}.key`, `${key}\n`);

/** `result` counts as not made. */
export const removeKey = (result: string): void => rmSync(`${result}.key`, { force: true });

/** SHA-256 of a file's bytes, in hex. */
export async function hashOfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
