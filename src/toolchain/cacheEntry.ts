/**
 * One entry of the cache as one file, so that its parts cannot be mixed with those of another:
 *
 *     magic (8) | bytes of the header, little-endian (4) | SHA-256 of the header (32) | header, JSON | the parts, end to end
 *
 * The header holds the key and each part's name, length and SHA-256; the file ends with the last part. Any change of any byte is noticed.
 */
import { createHash } from 'node:crypto';
import { sha256 } from '../emit/package.ts';

export type EntryParts = ReadonlyMap<string, Uint8Array>;

const magic = Buffer.from('MOACACH1', 'latin1');
const headerStart = magic.length + 4 + 32;

interface Header {
  readonly key: string;
  readonly parts: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
}

export function encodeEntry(key: string, parts: EntryParts): Uint8Array {
  const header: Header = { key, parts: [...parts].map(([name, bytes]) => ({ name, bytes: bytes.byteLength, sha256: sha256(bytes) })) };
  const text = Buffer.from(JSON.stringify(header), 'utf8');
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([magic, length, createHash('sha256').update(text).digest(), text, ...parts.values()]);
}

/** The parts of the entry for `key`, or undefined for anything but exactly what `encodeEntry` returned. */
export function decodeEntry(key: string, entry: Uint8Array): EntryParts | undefined {
  const bytes = Buffer.from(entry.buffer, entry.byteOffset, entry.byteLength);
  if (bytes.length < headerStart || !bytes.subarray(0, magic.length).equals(magic)) return undefined;
  const headerEnd = headerStart + bytes.readUInt32LE(magic.length);
  const text = bytes.subarray(headerStart, headerEnd);
  if (headerEnd > bytes.length || !createHash('sha256').update(text).digest().equals(bytes.subarray(magic.length + 4, headerStart))) return undefined;
  // The hash holds, so this is a header that `encodeEntry` wrote.
  const header = JSON.parse(text.toString('utf8')) as Header;
  if (header.key !== key) return undefined;
  const parts = new Map<string, Uint8Array>();
  let at = headerEnd;
  for (const part of header.parts) {
    const content = bytes.subarray(at, at + part.bytes);
    if (content.length !== part.bytes || sha256(content) !== part.sha256) return undefined;
    parts.set(part.name, content);
    at += part.bytes;
  }
  return at === bytes.length ? parts : undefined;
}

/**
 * A key from everything that decides the result: names and values, each with its length, so that no two different lists of fields
 * give the same bytes to hash.
 */
export function cacheKey(fields: Iterable<readonly [name: string, value: string | Uint8Array]>): string {
  const hash = createHash('sha256');
  for (const field of fields) {
    for (const value of field) {
      const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
      hash.update(`${bytes.byteLength}:`).update(bytes);
    }
  }
  return hash.digest('hex');
}
