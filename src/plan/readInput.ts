import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { TOO_LARGE_HELP, tooLargeMessage } from '../util/decodeText.ts';
import type { DiagnosticList } from '../util/diagnostics.ts';
import type { InputCode } from '../util/inputCodes.ts';
import { DEFAULT_JSON_LIMITS } from '../util/jsonReader.ts';

export interface InputFile {
  /** What diagnostics call it: the path as given, or `<stdin>`. */
  readonly file: string;
  readonly bytes: Uint8Array;
}

export interface ReadInputOptions {
  /** 4 MiB by default. */
  readonly maxBytes?: number;
  readonly diagnostics: DiagnosticList;
  /** What `-` reads; the process's standard input by default. */
  readonly stdin?: AsyncIterable<Uint8Array>;
}

const PROBLEMS: ReadonlyMap<string, readonly [code: InputCode, message: string, help: string]> = new Map([
  ['ENOENT', ['MOA1001', 'the file does not exist', 'check the path; "-" reads standard input']],
  ['ENOTDIR', ['MOA1001', 'the file does not exist: a part of its path is no folder', 'check the path']],
  ['EACCES', ['MOA1002', 'the file may not be read', 'check its permissions']],
  ['EPERM', ['MOA1002', 'the file may not be read', 'check its permissions']],
  ['EISDIR', ['MOA1003', 'this is a folder', 'give a file']],
]);

/** What to say of a file that an error of the operating system, such as `ENOENT`, keeps from being read. */
export const readProblem = (code: string): readonly [code: InputCode, message: string, help: string] =>
  PROBLEMS.get(code) ?? ['MOA1005', `the file cannot be read (${code})`, 'check the path and the disk'];

/**
 * Reads a file, or standard input for `-`. The size is asked for before anything is read, and no more than `maxBytes` are held even if
 * the file grows or is a pipe. Undefined when a problem was reported (MOA1001 to MOA1005).
 */
export async function readInputFile(path: string, options: ReadInputOptions): Promise<InputFile | undefined> {
  const { diagnostics, maxBytes = DEFAULT_JSON_LIMITS.maxBytes, stdin = process.stdin } = options;
  const file = path === '-' ? '<stdin>' : path;
  const fail = (code: InputCode, message: string, help: string): undefined => {
    diagnostics.add({ code, severity: 'error', message, help, location: { file, line: 1, column: 1 } });
  };
  let handle: FileHandle | undefined;
  try {
    let chunks: AsyncIterable<Uint8Array> = stdin;
    if (path !== '-') {
      handle = await open(path, constants.O_RDONLY);
      const stat = await handle.stat();
      if (stat.isDirectory()) return fail(...PROBLEMS.get('EISDIR')!);
      if (stat.isFile() && stat.size > maxBytes) return fail('MOA1004', tooLargeMessage(stat.size, maxBytes), TOO_LARGE_HELP);
      chunks = chunksOf(handle);
    }
    const bytes = await collect(chunks, maxBytes);
    return bytes === undefined ? fail('MOA1004', `the input has more than ${maxBytes} bytes, the limit`, TOO_LARGE_HELP) : { file, bytes };
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined) throw error;
    return fail(...readProblem(code));
  } finally {
    await handle?.close();
  }
}

const CHUNK_BYTES = 64 * 1024;

async function* chunksOf(handle: FileHandle): AsyncIterable<Uint8Array> {
  for (;;) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, null);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

/** All chunks as one array; undefined when they exceed `maxBytes`. */
async function collect(chunks: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Uint8Array | undefined> {
  const parts: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of chunks) {
    total += chunk.byteLength;
    if (total > maxBytes) return undefined;
    parts.push(chunk);
  }
  return Buffer.concat(parts, total);
}

/** The code of an error of the operating system or of Node's argument checks, such as `ENOENT`; undefined for all others. */
function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
