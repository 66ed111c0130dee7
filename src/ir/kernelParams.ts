/**
 * The parameters of each kernel, listed once: `emit` prints the struct into CUDA with a `static_assert` on every offset, and the
 * runtime packs bytes by the same offsets.
 */
import type { KernelRole } from './nodes.ts';
import { assertNever } from '../util/invariant.ts';

export type FieldType = 'pointer' | 'int32' | 'float32' | 'tensorMap';

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
  /** Bytes, a multiple of the largest alignment of a field. */
  readonly bytes: number;
}

const pointer = (name: string, cType: string, comment: string): ParamField => ({ name, type: 'pointer', cType, comment });
const int32 = (name: string, comment: string): ParamField => ({ name, type: 'int32', cType: 'int', comment });
const float32 = (name: string, comment: string): ParamField => ({ name, type: 'float32', cType: 'float', comment });

const tensorMap = (name: string, comment: string): ParamField => ({ name, type: 'tensorMap', cType: 'moa::TensorMap', comment });

/** What both prefill kernels take besides queries, keys and values. */
const prefillFields: readonly ParamField[] = [
  pointer('out', 'uint16_t*', '[tokens][queryHeads][headDim]'),
  pointer('lse', 'float*', '[tokens][queryHeads] natural log, or null'),
  pointer('items', 'const moa::PrefillItem*', 'in the order in which they are taken'),
  pointer('pool', 'const uint16_t*', '[pages] K page, V page; read for sequences that held tokens before'),
  pointer('pageTable', 'const int*', 'page numbers, ring after ring'),
  float32('scale', 'multiplies q.k'),
  int32('groupSize', 'query heads of a KV head; used by kernels that are not specialised, as are the next two'),
  int32('queryHeads', 'of the model'),
  int32('sink', 'tokens'),
];

const fieldsOfRole: Readonly<Record<KernelRole, readonly ParamField[]>> = {
  prefill: [
    pointer('q', 'const uint16_t*', '[tokens][queryHeads][headDim]'),
    pointer('k', 'const uint16_t*', '[tokens][kvHeads][headDim]'),
    pointer('v', 'const uint16_t*', '[tokens][kvHeads][headDim]'),
    ...prefillFields,
  ],
  prefillWgmma: [
    tensorMap('queryMap', '[tokens][queryHeads * headDim], boxes of 64 x 64'),
    tensorMap('keyMap', '[tokens][kvHeads * headDim], boxes of 64 x 64'),
    tensorMap('valueMap', '[tokens][kvHeads * headDim], boxes of 64 x 64'),
    ...prefillFields,
    int32('itemCount', 'work items'),
    pointer('ticket', 'uint32_t*', 'counter of items taken beyond the first of each block, 0 between launches'),
    pointer('partials', 'float*', '[parts] results of items whose keys are cut in two, or null'),
    pointer('partTickets', 'uint32_t*', '[parts / 2][warps] counters of finished parts, 0 between launches'),
  ],
  append: [
    pointer('q', 'uint16_t*', '[tokens][queryHeads][headDim], rotated in place; unused without RoPE'),
    pointer('k', 'uint16_t*', '[tokens][kvHeads][headDim], rotated in place with RoPE'),
    pointer('v', 'uint16_t*', '[tokens][kvHeads][headDim]'),
    pointer('pool', 'uint16_t*', '[pages] K page, V page; null: rotate only'),
    pointer('pageTable', 'const int*', 'page numbers, ring after ring'),
    pointer('rings', 'const moa::Ring*', '[slots][kvHeads] of this layer'),
    pointer('lengths', 'int*', '[slots] tokens in the cache of this layer; advanced at the end'),
    pointer('cuSeqlens', 'const int*', '[slots + 1] first token of each sequence'),
    pointer('rope', 'const float*', 'table of the rotation of this layer (rotate.cuh); unused without RoPE'),
    pointer('kvScales', 'const float*', '[2][kvHeads] of keys, of values, of this layer; unused but with a cache of 8 bits'),
    pointer('ticket', 'uint32_t*', 'counter of finished blocks, 0 between launches'),
    pointer('counts', 'const int*', '[slots] rows of each sequence that are tokens, the others are ignored; null: all'),
    int32('tokens', 'new tokens of all sequences'),
    int32('slots', 'sequences'),
    int32('ropeShift', 'log2 of the positions of a block of the table; unused without RoPE'),
  ],
  expand: [
    pointer('pool', 'const uint8_t*', '[pages] K page, V page, in E4M3'),
    pointer('pageTable', 'const int*', 'page numbers, ring after ring'),
    pointer('rings', 'const moa::ExpandedRing*', '[ringCount] those whose pages are expanded'),
    pointer('kvScales', 'const float*', '[2][kvHeads] of keys, of values, of this layer'),
    pointer('expanded', 'uint16_t*', '[pages of the rings] K page, V page'),
    int32('ringCount', 'at least 1'),
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
    pointer('windows', 'const int*', '[slots][queryHeads] tokens, of this layer'),
    pointer('lengths', 'int*', '[slots] tokens in the cache of this layer, -1 without a sequence; advanced by one'),
    pointer('rope', 'const float*', 'table of the rotation of this layer (rotate.cuh); unused without RoPE'),
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
    int32('ropeShift', 'log2 of the positions of a block of the table; unused without RoPE'),
  ],
};

/** What a kernel takes more where it has an option. */
const sinkFields: readonly ParamField[] = [pointer('sinkLogits', 'const float*', '[queryHeads] logits that count in denominators, of this layer')];

const tokenFields: readonly ParamField[] = [
  pointer('counts', 'const int*', '[slots] new tokens of each sequence, whose other rows attend nothing; null: all'),
  int32('tokens', 'new tokens of each sequence at most: q and out are [slots][tokens][queryHeads][headDim]'),
];

/** What of a kernel its parameters depend on, besides its role. */
export interface ParamOptions {
  /** Prefill and decode; false by default. */
  readonly learnedSinks?: boolean;
  /** Decode: whether it appends the new token of each sequence; true by default. */
  readonly appends?: boolean;
}

const structs = new Map<string, ParamStruct>();

/** The parameter struct of a kernel. Without options it has no field for any. */
export function paramStruct(role: KernelRole, { learnedSinks = false, appends = true }: ParamOptions = {}): ParamStruct {
  const key = `${role} ${learnedSinks} ${appends}`;
  let struct = structs.get(key);
  if (struct === undefined) structs.set(key, (struct = placeFields([...fieldsOfRole[role], ...(learnedSinks ? sinkFields : []), ...(appends ? [] : tokenFields)])));
  return struct;
}

function placeFields(declared: readonly ParamField[]): ParamStruct {
  let offset = 0;
  const fields = declared.map((field): PlacedField => {
    const { size, alignment } = fieldLayout(field.type);
    const placed = { ...field, offset: Math.ceil(offset / alignment) * alignment };
    offset = placed.offset + size;
    return placed;
  });
  const alignment = Math.max(8, ...fields.map(({ type }) => fieldLayout(type).alignment));
  return { fields, bytes: Math.ceil(offset / alignment) * alignment };
}

/** Bytes of a field, and what its offset is a multiple of. */
export function fieldLayout(type: FieldType): { readonly size: number; readonly alignment: number } {
  switch (type) {
    case 'pointer':
      return { size: 8, alignment: 8 };
    case 'int32':
    case 'float32':
      return { size: 4, alignment: 4 };
    case 'tensorMap':
      return { size: 128, alignment: 64 };
    default:
      return assertNever(type);
  }
}
