import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { readProblem } from '../../plan/readInput.ts';
import { DiagnosticError, type Diagnostic, type DiagnosticList } from '../../util/diagnostics.ts';
import { LENGTH_BYTES, MAX_HEADER_BYTES, readSafetensorsHeader, type SafetensorsHeader, type TensorInfo } from './safetensorsHeader.ts';

/** What says whether a file is still the one that it was. */
export interface FileState {
  readonly device: bigint;
  readonly inode: bigint;
  readonly size: bigint;
  readonly modified: bigint;
}

/** An open safetensors file, read by position. Reads throw a `DiagnosticError` when the file is no longer what it was. */
export interface Safetensors extends SafetensorsHeader {
  readonly file: string;
  /** All bytes before the first tensor. */
  readonly head: Uint8Array;
  readonly state: FileState;
  /** Fills `target` with the bytes from `position` of the file on. */
  readonly read: (position: number, target: Uint8Array) => Promise<void>;
}

/**
 * Opens the safetensors file at `path`, reads its header, and gives what `read` makes of it; the file is closed then. Undefined when an error was reported: it cannot
 * be read (MOA10xx), is not what the format asks for (MOA71xx), or changed meanwhile (MOA7104); also what `read` throws as a `DiagnosticError`.
 */
export async function withSafetensors<Result>(path: string, diagnostics: DiagnosticList, read: (source: Safetensors) => Promise<Result>): Promise<Result | undefined> {
  let handle: FileHandle | undefined;
  try {
    // Without O_NONBLOCK, opening a named pipe would wait for its writer.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const source = await readOpened(handle, path, diagnostics);
    if (source === undefined) return undefined;
    const result = await read(source);
    if (!sameState(source.state, await stateOf(handle))) throw changed(path);
    return result;
  } catch (error) {
    const found = readFailure(error, path);
    if (found === undefined) throw error;
    found.forEach((diagnostic) => diagnostics.add(diagnostic));
    return undefined;
  } finally {
    await handle?.close();
  }
}

/** The diagnostics of an error that reading a file may throw; undefined for all others. */
function readFailure(error: unknown, file: string): readonly Diagnostic[] | undefined {
  if (error instanceof DiagnosticError) return error.diagnostics;
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  const [code, message, help] = readProblem(error.code);
  return [{ code, severity: 'error', message, help, location: { file, line: 1, column: 1 } }];
}

async function readOpened(handle: FileHandle, file: string, diagnostics: DiagnosticList): Promise<Safetensors | undefined> {
  const fail = (code: 'MOA1003' | 'MOA7101' | 'MOA7103', message: string, help: string): undefined => {
    diagnostics.add({ code, severity: 'error', message, help, location: { file, line: 1, column: 1 } });
  };
  const stat = await handle.stat();
  if (!stat.isFile()) return fail('MOA1003', stat.isDirectory() ? 'this is a folder' : 'this is not a plain file', 'give a safetensors file');
  const state = await stateOf(handle);
  const size = Number(state.size);
  const help = 'give a safetensors file, or make it again';
  if (size < LENGTH_BYTES + 2) return fail('MOA7101', `the file has ${size} bytes, too few for a safetensors file`, help);
  const read = (position: number, target: Uint8Array): Promise<void> => readFully(handle, file, position, target);
  const prefix = new Uint8Array(LENGTH_BYTES);
  await read(0, prefix);
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) return fail('MOA7101', `the header would have ${length} bytes; no more than ${MAX_HEADER_BYTES} are read`, help);
  const headBytes = LENGTH_BYTES + Number(length);
  if (headBytes > size) return fail('MOA7103', `the file is truncated: its header ends at byte ${headBytes}, and it has ${size}`, 'make or copy it again');
  const head = new Uint8Array(headBytes);
  await read(0, head);
  const header = readSafetensorsHeader(head.subarray(LENGTH_BYTES), file, size, diagnostics);
  return header && { ...header, file, head, state, read };
}

async function readFully(handle: FileHandle, file: string, position: number, target: Uint8Array): Promise<void> {
  for (let done = 0; done < target.byteLength; ) {
    const { bytesRead } = await handle.read(target, done, target.byteLength - done, position + done);
    if (bytesRead === 0) throw changed(file);
    done += bytesRead;
  }
}

async function stateOf(handle: FileHandle): Promise<FileState> {
  const { dev, ino, size, mtimeNs } = await handle.stat({ bigint: true });
  return { device: dev, inode: ino, size, modified: mtimeNs };
}

export const sameState = (a: FileState, b: FileState): boolean => a.device === b.device && a.inode === b.inode && a.size === b.size && a.modified === b.modified;

export const changed = (file: string): DiagnosticError =>
  new DiagnosticError([{ code: 'MOA7104', severity: 'error', message: 'the file changed while it was read', help: 'wait until it is written, and try again', location: { file, line: 1, column: 1 } }], 2);

/** Bytes that are read at once. */
const SLAB_BYTES = 4 * 1024 * 1024;

/**
 * The F32 values of `tensor`, `count` at a time, in the order of the file. `visit` gets each part with its index, and `onBytes` what was
 * read, in order; neither may keep what it is given.
 */
export async function visitFloats(
  source: Pick<Safetensors, 'read'>,
  tensor: TensorInfo,
  count: number,
  visit: (values: Float32Array, index: number) => void,
  onBytes?: (bytes: Uint8Array) => void,
): Promise<void> {
  const parts = tensor.bytes / (count * 4);
  const perSlab = Math.max(1, Math.floor(SLAB_BYTES / (count * 4)));
  const slab = new Float32Array(Math.min(perSlab, parts) * count);
  for (let first = 0; first < parts; first += perSlab) {
    const present = Math.min(perSlab, parts - first);
    const bytes = new Uint8Array(slab.buffer, 0, present * count * 4);
    // NOTE: the file is little-endian, as every machine that Node runs on but s390x.
    await source.read(tensor.offset + first * count * 4, bytes);
    onBytes?.(bytes);
    for (let part = 0; part < present; part += 1) visit(slab.subarray(part * count, (part + 1) * count), first + part);
  }
}
