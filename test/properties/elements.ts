import type { ElementType } from '../../src/ir/nodes.ts';
import type { DeviceBuffer } from '../../src/runtime/index.ts';
import { decodeElements } from '../../src/runtime/elements.ts';

/** The elements of a buffer as numbers. */
export function readElements(buffer: DeviceBuffer, elementType: ElementType): Float32Array {
  const bytes = buffer.read();
  return decodeElements(
    elementType,
    new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2),
  );
}
