/**
 * A kernel's parameters are one struct. Its fields are listed once, in the kernel's row of `src/kernels/variants.ts`: `emit` prints the struct into CUDA with a
 * `static_assert` on every offset, and the runtime packs bytes by the same offsets.
 */
import { assertNever, invariant } from '../util/invariant.ts';
import { isStructName, type StructName } from './structs.ts';

export type FieldType = 'pointer' | 'int32' | 'float32' | 'tensorMap';

/** What an address in a kernel's parameters points to: a scalar, or a struct of tables. */
export type Pointee = 'int32' | 'uint32' | 'float32' | 'uint8' | 'uint16' | StructName;

export interface ParamField {
  readonly name: string;
  readonly type: FieldType;
  /** Of a pointer. */
  readonly of?: Pointee;
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

export const pointer = (name: string, cType: string, comment: string): ParamField => ({
  name,
  type: 'pointer',
  of: pointeeOf(cType),
  cType,
  comment,
});

const scalars: Readonly<Record<string, Pointee>> = {
  int: 'int32',
  uint32_t: 'uint32',
  float: 'float32',
  uint8_t: 'uint8',
  uint16_t: 'uint16',
};

/** `const moa::Ring*` points to a `Ring`. */
function pointeeOf(cType: string): Pointee {
  const [, scalar, struct] = /^(?:const )?(?:(\w+)|moa::(\w+))\*$/.exec(cType) ?? [];
  const found = scalar === undefined ? struct : scalars[scalar];
  invariant(found !== undefined && (scalar !== undefined || isStructName(found)), `${cType} points to what hosts know`);
  return found as Pointee;
}

export const int32 = (name: string, comment: string): ParamField => ({ name, type: 'int32', cType: 'int', comment });
export const float32 = (name: string, comment: string): ParamField => ({ name, type: 'float32', cType: 'float', comment });
export const tensorMap = (name: string, comment: string): ParamField => ({ name, type: 'tensorMap', cType: 'moa::TensorMap', comment });

/** The struct of these fields, in their order. */
export function placeFields(declared: readonly ParamField[]): ParamStruct {
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
