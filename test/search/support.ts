/** Profiles for tests, made up and small. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DiagnosticList } from '../../src/util/diagnostics.ts';
import { randomOf } from '../random.ts';
import { scratchFolder } from '../toolchain/helpers.ts';

export { scratchFolder } from '../toolchain/helpers.ts';

export interface TestTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A safetensors file of F32 tensors, in the order given. The header is padded with spaces to a multiple of 8, as that of Python is. */
export function safetensorsBytes(tensors: readonly TestTensor[], metadata?: Readonly<Record<string, string>>): Buffer {
  let end = 0;
  const header: Record<string, unknown> = metadata === undefined ? {} : { __metadata__: metadata };
  for (const { name, shape, values } of tensors) header[name] = { dtype: 'F32', shape, data_offsets: [end, (end += values.byteLength)] };
  return withHeader(JSON.stringify(header), tensors.map(({ values }) => Buffer.from(values.buffer, values.byteOffset, values.byteLength)));
}

/** A file with any text as its header. */
export function withHeader(header: string, parts: readonly Uint8Array[]): Buffer {
  const text = Buffer.from(header.padEnd(Math.ceil(Buffer.byteLength(header) / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.byteLength));
  return Buffer.concat([length, text, ...parts]);
}

/** Writes bytes into a new folder; returns the path. */
export function scratchBytes(bytes: Uint8Array, name = 'profile.safetensors'): string {
  const path = join(scratchFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

export function writeSafetensors(tensors: readonly TestTensor[], metadata?: Readonly<Record<string, string>>): string {
  return scratchBytes(safetensorsBytes(tensors, metadata));
}

export interface SyntheticOptions {
  readonly layers: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  /** Rising multiples of 64. */
  readonly lengths: readonly number[];
  readonly seed: number;
  /** 64 by default. */
  readonly headDim?: number;
  /** The model's own window of each layer, in tokens; not said by default. */
  readonly windows?: readonly (number | null)[];
}

export interface SyntheticProfile {
  readonly path: string;
  readonly bytes: Buffer;
  /** Of the file. */
  readonly sha256: string;
  readonly tensors: readonly TestTensor[];
  readonly metadata: Readonly<Record<string, string>>;
  /** What a block holds. */
  readonly block: (length: number, layer: number, queryHead: number, part: 0 | 1, query: number, key: number) => number;
}

/**
 * A profile in a new file. Influence decays with the distance of query and key: of most heads within some hundred tokens, whatever the length; of about
 * one KV head in four with the length, and these look at the first page too. Query heads of a KV head are alike, not equal.
 */
export function syntheticProfile({ layers, queryHeads, kvHeads, lengths, seed, headDim = 64, windows }: SyntheticOptions): SyntheticProfile {
  const random = randomOf(seed);
  const group = queryHeads / kvHeads;
  const heads = Array.from({ length: layers * kvHeads }, () => ({ global: random() < 0.25, reach: 64 * 2 ** (3 * random()), scale: 10 ** (-2 * random()) / (layers * queryHeads) }));
  const own = Array.from({ length: layers * queryHeads }, () => ({ reach: 0.8 + 0.4 * random(), scale: 0.5 + random() }));
  const tensors = lengths.map((length): TestTensor => {
    const pages = length / 64;
    const values = new Float32Array(layers * queryHeads * 2 * pages * pages);
    own.forEach((self, head) => {
      const kind = heads[Math.floor(head / group)]!;
      const reach = self.reach * (kind.global ? (length / 8) * (kind.reach / 128) : kind.reach);
      for (let part = 0; part < 2; part += 1) {
        for (let query = 0; query < pages; query += 1) {
          for (let key = 0; key <= query - 1 + part; key += 1) {
            const distance = 64 * (query - key - 1 + part) + 32;
            const window = windows?.[Math.floor(head / queryHeads)] ?? null;
            if (window !== null && distance - 32 >= window) continue;
            const first = key === 0 && kind.global ? 2 : 1;
            const value = (first * self.scale * kind.scale * (0.5 + random()) * Math.exp(-distance / reach)) / pages;
            values[((head * 2 + part) * pages + query) * pages + key] = value;
          }
        }
      }
    });
    return { name: `influence.${length}`, shape: [layers, queryHeads, 2, pages, pages], values };
  });
  const description = {
    model: { name: 'synthetic', layers, queryHeads, kvHeads, headDim, elementType: 'bf16', ...(windows === undefined ? {} : { windows }) },
    page: 64,
    lengths: lengths.map((length, index) => ({ length, samples: 4 + index, answerTokens: 40, loss: 1.25 })),
    data: { sha256: createHash('sha256').update(String(seed)).digest('hex') },
    skipped: 0,
  };
  const metadata = { format: 'moa-profile', version: '1', profile: JSON.stringify(description) };
  const bytes = safetensorsBytes(tensors, metadata);
  const block: SyntheticProfile['block'] = (length, layer, queryHead, part, query, key) => {
    const pages = length / 64;
    return tensors[lengths.indexOf(length)]!.values[(((layer * queryHeads + queryHead) * 2 + part) * pages + query) * pages + key]!;
  };
  return { path: scratchBytes(bytes), bytes, sha256: createHash('sha256').update(bytes).digest('hex'), tensors, metadata, block };
}

/** `MOA7102: message`, without the file. */
export const said = (diagnostics: DiagnosticList): string[] => diagnostics.toArray().map(({ code, message }) => `${code}: ${message}`);
