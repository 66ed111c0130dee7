import { paramStruct } from '../ir/kernelParams.ts';
import type { KernelRole } from '../ir/nodes.ts';
import { assertNever, invariant } from '../util/invariant.ts';

/** The bytes of a kernel's parameter struct: pointers as bigint (0n is null), the rest as numbers. Every field must be given. */
export function packParams(role: KernelRole, values: Readonly<Record<string, bigint | number>>): Uint8Array {
  const struct = paramStruct(role);
  const bytes = new Uint8Array(struct.bytes);
  const view = new DataView(bytes.buffer);
  for (const { name, type, offset } of struct.fields) {
    const value = values[name];
    invariant(value !== undefined, `parameter ${name} of ${role} is given`);
    switch (type) {
      case 'pointer':
        view.setBigUint64(offset, BigInt(value), true);
        break;
      case 'int32':
        view.setInt32(offset, Number(value), true);
        break;
      case 'float32':
        view.setFloat32(offset, Number(value), true);
        break;
      default:
        assertNever(type);
    }
  }
  return bytes;
}
