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
    pointer('cuSeqlens', 'const int*', '[slots + 1] first token of each sequence'),
    pointer('cosSin', 'const float*', '[positions][headDim / 2][2]; unused without RoPE'),
    pointer('kvScales', 'const float*', '[2][kvHeads] of keys, of values, of this layer; unused but with a cache of 8 bits'),
    pointer('ticket', 'uint32_t*', 'counter of finished blocks, 0 between launches'),
    int32('tokens', 'new tokens of all sequences'),
    int32('slots', 'sequences'),
  ],
  decode: [
    pointer('q', 'const uint16_t*', '[slots][queryHeads][headDim]'),
    pointer('k', 'const uint16_t*', '[slots][kvHeads][headDim]'),
    pointer('v', 'const uint16_t*', '[slots][kvHeads][headDim]'),
    pointer('out', 'uint16_t*', '[slots][queryHeads][headDim]'),
    pointer('lse', 'float*', '[slots][queryHeads] natural log, or null'),
    pointer('pool', 'uint16_t*', '[pages] K page, V page'),
    pointer('pageTable', 'const int*', 'page numbers, ring after ring'),
    pointer('segments', 'const moa::DecodeSegment*', 'first those that blocks begin with, in the order of blocks'),
    pointer('windows', 'const int*', '[queryHeads] tokens, of this layer'),
    pointer('lengths', 'int*', '[slots] tokens in the cache of this layer; advanced by one'),
    pointer('cosSin', 'const float*', '[positions][headDim / 2][2]; unused without RoPE'),
    pointer('partials', 'float*', 'results of splits'),
    pointer('tickets', 'uint32_t*', 'counters, 0 between launches: of those who read lengths, then of finished splits'),
    float32('scale', 'multiplies q.k'),
    int32('slots', 'sequences'),
    pointer('kvScales', 'const float*', '[2][kvHeads] of keys, of values, of this layer; unused but with a cache of 8 bits'),
    int32('groupSize', 'query heads of a KV head; used by kernels that are not specialised, as are the next three'),
    int32('queryHeads', 'of the model'),
    int32('kvHeads', 'of the model'),
    int32('sink', 'tokens'),
    int32('early', 'not 0: the launch before wrote nothing of this layer, so its old pages may be read before that has ended'),
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
