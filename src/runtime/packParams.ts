import type { ParamsDefinition } from '../ir/planDefinition.ts';
import { assertNever, invariant } from '../util/invariant.ts';

/** The value of a field: a pointer as bigint (0n is null), a tensor map as the device made it, the rest as numbers. */
export type ParamValue = bigint | number | Uint8Array;

/** The bytes of a kernel's parameters. Every field must be given. */
export function packParams({ bytes: size, fields }: ParamsDefinition, values: Readonly<Record<string, ParamValue>>): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  for (const { name, type, offset } of fields) {
    const value = values[name];
    invariant(value !== undefined, `parameter ${name} is given`);
    switch (type) {
      case 'pointer':
        view.setBigUint64(offset, value as bigint, true);
        break;
      case 'int32':
        view.setInt32(offset, Number(value), true);
        break;
      case 'float32':
        view.setFloat32(offset, Number(value), true);
        break;
      case 'tensorMap':
        bytes.set(value as Uint8Array, offset);
        break;
      default:
        assertNever(type);
    }
  }
  return bytes;
}
