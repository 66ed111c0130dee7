import type { StructDefinition } from '../ir/planDefinition.ts';
import { invariant } from '../util/invariant.ts';
import type { DeviceBuffer } from './buffer.ts';

/** The bytes of an array of structs, which are written field by field. */
export class StructArray {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #struct: StructDefinition;

  constructor(struct: StructDefinition, count: number) {
    this.bytes = new Uint8Array(struct.bytes * count);
    this.#view = new DataView(this.bytes.buffer);
    this.#struct = struct;
  }

  /** What sets a field of the struct of any index. */
  field(name: string): (index: number, value: number) => void {
    const { type, offset } = fieldOf(this.#struct, name);
    const { bytes } = this.#struct;
    return type === 'int64'
      ? (index, value) => this.#view.setBigInt64(index * bytes + offset, BigInt(value), true)
      : (index, value) => this.#view.setInt32(index * bytes + offset, value, true);
  }
}

/** Bytes from the start of a struct to a field. */
export const fieldOffset = (struct: StructDefinition, name: string): number => fieldOf(struct, name).offset;

/** A field of the struct of index `index` on the device. Waits for what writes it. */
export function readField(struct: StructDefinition, name: string, buffer: DeviceBuffer, index: number): number {
  const { type, offset } = fieldOf(struct, name);
  const at = index * struct.bytes + offset;
  if (type === 'int32') {
    const words = new Int32Array(1);
    buffer.slice(at, 4).read(words);
    return words[0]!;
  }
  const words = new BigInt64Array(1);
  buffer.slice(at, 8).read(words);
  return Number(words[0]);
}

function fieldOf({ fields }: StructDefinition, name: string): StructDefinition['fields'][number] {
  const field = fields.find((each) => each.name === name);
  invariant(field !== undefined, `the struct has the field ${name}`);
  return field;
}
