import type { DiagnosticList } from '../../util/diagnostics.ts';
import { readJson, type JsonNode, type JsonObject } from '../../util/jsonReader.ts';
import { joinPath, quote } from '../../util/quote.ts';
import type { SearchCode } from '../codes.ts';

export interface TensorInfo {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Where its bytes begin in the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface SafetensorsHeader {
  /** In the order of their bytes in the file, which they cover from the header to the end. */
  readonly tensors: readonly TensorInfo[];
  readonly metadata: ReadonlyMap<string, string>;
}

export const MAX_HEADER_BYTES = 16 * 1024 * 1024;
/** The header's length, a little-endian integer. */
export const LENGTH_BYTES = 8;

const BYTES_OF = { F64: 8, F32: 4, F16: 2, BF16: 2, F8_E4M3: 1, F8_E5M2: 1, I64: 8, I32: 4, I16: 2, I8: 1, U64: 8, U32: 4, U16: 2, U8: 1, BOOL: 1 } as const;
export type Dtype = keyof typeof BYTES_OF;
const isDtype = (text: string): text is Dtype => Object.hasOwn(BYTES_OF, text);

const METADATA = '__metadata__';

/**
 * Reads the header of a safetensors file of `fileBytes` bytes: `text` is the JSON between its length and the tensors. Tensors have to lie
 * one behind the other, without a gap, up to the end of the file. Undefined when an error was reported; never throws, whatever the bytes.
 */
export function readSafetensorsHeader(text: Uint8Array, file: string, fileBytes: number, diagnostics: DiagnosticList): SafetensorsHeader | undefined {
  const before = diagnostics.errorCount;
  const error = (code: SearchCode, path: string, message: string, help?: string): undefined => {
    const location = { file, line: 1, column: 1 };
    diagnostics.add({ code, severity: 'error', message, location, ...(path === '' ? {} : { path }), ...(help === undefined ? {} : { help }) });
  };
  const document = readJson(text, file, diagnostics, { maxBytes: MAX_HEADER_BYTES, maxDepth: 4 });
  if (document === undefined) return undefined;
  // The format asks for it: a header that begins with a space is not one.
  if (document.root.kind !== 'object' || text[0] !== 0x7b) return error('MOA7101', '', 'the header is not a JSON object');
  const start = LENGTH_BYTES + text.byteLength;
  const metadata = new Map<string, string>();
  const tensors: TensorInfo[] = [];
  for (const [name, { value }] of document.root.members) {
    if (name === METADATA) readMetadata(value, metadata, error);
    else {
      const tensor = readTensor(name, value, start, error);
      if (tensor !== undefined) tensors.push(tensor);
    }
  }
  if (diagnostics.errorCount > before) return undefined;
  tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  checkCover(tensors, start, fileBytes, error);
  return diagnostics.errorCount > before ? undefined : { tensors, metadata };
}

type ReportError = (code: SearchCode, path: string, message: string, help?: string) => undefined;

function readMetadata(node: JsonNode, metadata: Map<string, string>, error: ReportError): void {
  if (node.kind !== 'object') return error('MOA7101', METADATA, 'the metadata is not an object of strings');
  for (const [key, { value }] of node.members) {
    if (value.kind === 'string') metadata.set(key, value.value);
    else error('MOA7101', joinPath(METADATA, key), 'a value of the metadata is not a string');
  }
}

function readTensor(name: string, node: JsonNode, start: number, error: ReportError): TensorInfo | undefined {
  const wrong = (problem: string): undefined => error('MOA7102', pathOf(name), `the tensor ${quote(name)} ${problem}`);
  if (node.kind !== 'object') return wrong('is not described by an object');
  const unknown = [...node.members.keys()].find((key) => !['dtype', 'shape', 'data_offsets'].includes(key));
  if (unknown !== undefined) return wrong(`has an unknown key ${quote(unknown)}`);
  const dtype = node.members.get('dtype')?.value;
  if (dtype?.kind !== 'string' || !isDtype(dtype.value)) return wrong(dtype?.kind === 'string' ? `is of an unknown type ${quote(dtype.value)}` : 'has no "dtype"');
  const shape = counts(node, 'shape');
  if (shape === undefined) return wrong('has no "shape", an array of whole numbers');
  const offsets = counts(node, 'data_offsets');
  if (offsets?.length !== 2) return wrong('has no "data_offsets", two whole numbers');
  const [begin, end] = [offsets[0]!, offsets[1]!];
  if (end < begin || !Number.isSafeInteger(start + end)) return wrong(`ends at ${end} and begins at ${begin}`);
  const bytes = shape.reduce((product, size) => product * size, BYTES_OF[dtype.value]);
  // Products of whole numbers only grow, but for a zero among them: then nothing is too large.
  if (!Number.isSafeInteger(bytes)) return wrong(`has more elements than can be counted: ${shape.slice(0, 8).join(' x ')}`);
  if (bytes !== end - begin) return wrong(`has ${end - begin} bytes; ${dtype.value} of ${shape.slice(0, 8).join(' x ') || 'one element'} has ${bytes}`);
  return { name, dtype: dtype.value, shape, offset: start + begin, bytes };
}

/** An array of whole numbers. */
function counts(node: JsonObject, key: string): readonly number[] | undefined {
  const list = node.members.get(key)?.value;
  if (list?.kind !== 'array' || list.items.length > 16) return undefined;
  const numbers = list.items.map((item) => (item.kind === 'number' ? item.value : -1));
  return numbers.every((value) => Number.isSafeInteger(value) && value >= 0) ? numbers : undefined;
}

/** `tensors` in the order of their offsets. */
function checkCover(tensors: readonly TensorInfo[], start: number, fileBytes: number, error: ReportError): void {
  let end = start;
  for (const { name, offset, bytes } of tensors) {
    if (offset !== end) {
      const problem = offset < end ? 'overlaps the one before it' : `leaves ${offset - end} bytes before it that belong to no tensor`;
      return error('MOA7102', pathOf(name), `the tensor ${quote(name)} ${problem}`);
    }
    end = offset + bytes;
  }
  if (end > fileBytes) error('MOA7103', '', `the file is truncated: its tensors end at byte ${end}, and it has ${fileBytes}`, 'make or copy it again');
  else if (end < fileBytes) error('MOA7103', '', `${fileBytes - end} bytes at the end of the file belong to no tensor`, 'make or copy it again');
}

/** `influence.2048`, as messages show it. */
const pathOf = (name: string): string => (/^[A-Za-z0-9._-]{1,60}$/.test(name) ? name : quote(name));
