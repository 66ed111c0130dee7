/**
 * The parameters of each kernel, listed once: `emit` prints the struct into CUDA with a `static_assert` on every offset, and the
 * runtime packs bytes by the same offsets.
 */
import type { KernelRole } from './nodes.ts';
import { assertNever } from '../util/invariant.ts';

export type FieldType = 'pointer' | 'int32' | 'float32';

export interface ParamField {
  readonly name: string;
  readonly type: FieldType;
  /** The C++ declaration's type. */
  readonly cType: string;
  /** Shape and meaning, printed beside the field. */
  readonly comment: string;
}

export interface PlacedField extends ParamField {
  /** Bytes from the start of the struct. */
  readonly offset: number;
}

export interface ParamStruct {
  readonly fields: readonly PlacedField[];
  /** Bytes, a multiple of 8. */
  readonly bytes: number;
}

const pointer = (name: string, cType: string, comment: string): ParamField => ({ name, type: 'pointer', cType, comment });
const int32 = (name: string, comment: string): ParamField => ({ name, type: 'int32', cType: 'int', comment });
const float32 = (name: string, comment: string): ParamField => ({ name, type: 'float32', cType: 'float', comment });

const fieldsOfRole: Readonly<Record<KernelRole, readonly ParamField[]>> = {
  prefill: [
    pointer('q', 'const uint16_t*', '[tokens][queryHeads][headDim]'),
    pointer('k', 'const uint16_t*', '[tokens][kvHeads][headDim]'),
    pointer('v', 'const uint16_t*', '[tokens][kvHeads][headDim]'),
    pointer('out', 'uint16_t*', '[tokens][queryHeads][headDim]'),
    pointer('lse', 'float*', '[tokens][queryHeads] natural log, or null'),
    pointer('items', 'const moa::PrefillItem*', '[blocks] longest first'),
    float32('scale', 'multiplies q.k'),
  ],
  append: [
    pointer('q', 'uint16_t*', '[tokens][queryHeads][headDim], rotated in place; unused without RoPE'),
    pointer('k', 'uint16_t*', '[tokens][kvHeads][headDim], rotated in place with RoPE'),
    pointer('v', 'uint16_t*', '[tokens][kvHeads][headDim]'),
    pointer('pool', 'uint16_t*', '[pages] K page, V page'),
    pointer('pageTable', 'const int*', 'page numbers, ring after ring'),
    pointer('rings', 'const moa::Ring*', '[slots][kvHeads] of this layer'),
    pointer('lengths', 'int*', '[slots] tokens in the cache of this layer; advanced at the end'),
    pointer('cuSeqlens', 'const int*', '[slots + 1] first token of each sequence, or null: one token each'),
    pointer('cosSin', 'const float*', '[positions][headDim / 2][2]; unused without RoPE'),
    pointer('ticket', 'uint32_t*', 'counter of finished blocks, 0 between launches'),
    int32('tokens', 'new tokens of all sequences'),
    int32('slots', 'sequences'),
  ],
  decode: [
    pointer('q', 'const uint16_t*', '[slots][queryHeads][headDim]'),
    pointer('out', 'uint16_t*', '[slots][queryHeads][headDim]'),
    pointer('lse', 'float*', '[slots][queryHeads] natural log, or null'),
    pointer('pool', 'const uint16_t*', '[pages] K page, V page'),
    pointer('pageTable', 'const int*', 'page numbers, ring after ring'),
    pointer('segments', 'const moa::DecodeSegment*', 'in the order of blocks'),
    pointer('segmentBegins', 'const int*', '[blocks + 1]'),
    pointer('windows', 'const int*', '[queryHeads] tokens, of this layer'),
    pointer('lengths', 'const int*', '[slots] tokens in the cache of this layer, the new one included'),
    pointer('partials', 'float*', 'results of splits'),
    pointer('tickets', 'uint32_t*', 'counters of finished splits, 0 between launches'),
    float32('scale', 'multiplies q.k'),
  ],
};

/** The parameter struct of a kernel's role. */
export function paramStruct(role: KernelRole): ParamStruct {
  let offset = 0;
  const fields = fieldsOfRole[role].map((field): PlacedField => {
    const size = fieldBytes(field.type);
    const placed = { ...field, offset: Math.ceil(offset / size) * size };
    offset = placed.offset + size;
    return placed;
  });
  return { fields, bytes: Math.ceil(offset / 8) * 8 };
}

function fieldBytes(type: FieldType): number {
  switch (type) {
    case 'pointer':
      return 8;
    case 'int32':
    case 'float32':
      return 4;
    default:
      return assertNever(type);
  }
}
