/** Buffers of random numbers: bandwidth and power depend on what moves, so nothing is measured on zeros. */
import { encodeElements, type Device, type DeviceBuffer, type PlanDefinition, type Session } from 'moa-compile/runtime';
import { randomNumbers } from './random.ts';

export type ElementType = Session['elementType'];

const blockElements = 2 << 20;
const blocks = new Map<string, Uint16Array>();

/** A block of numbers of a normal distribution (the peers' come from `torch.randn`), made once for each type and seed. */
function randomBlock(type: ElementType, seed: number): Uint16Array {
  const key = `${type} ${seed}`;
  let block = blocks.get(key);
  if (block === undefined) {
    const random = randomNumbers(seed);
    const uniform = (): number => 1 - random();
    const values = Float32Array.from({ length: blockElements }, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
    blocks.set(key, (block = encodeElements(type, values)));
  }
  return block;
}

/** `bytes` of random 16-bit floats: a block of 4 MiB, repeated. Different seeds give different numbers. */
export function randomBuffer(device: Device, bytes: number, type: ElementType, seed: number): DeviceBuffer {
  const block = randomBlock(type, seed).subarray(0, bytes / 2);
  const buffer = device.alloc(bytes).write(block);
  // Doubles what is there, so that a large buffer costs one copy from the host.
  for (let done = block.byteLength; done < bytes; done *= 2) {
    using source = buffer.slice(0, Math.min(done, bytes - done));
    buffer.copyFrom(source, done);
  }
  return buffer;
}

export interface Tensors {
  readonly q: DeviceBuffer;
  readonly k: DeviceBuffer;
  readonly v: DeviceBuffer;
  readonly out: DeviceBuffer;
}

/** q, k, v and out of one layer for `tokens` tokens. */
export function tensors(device: Device, { shape }: PlanDefinition, tokens: number, type: ElementType = 'bf16'): Tensors {
  const queryBytes = tokens * shape.queryHeads * shape.headDim * 2;
  const keyBytes = tokens * shape.kvHeads * shape.headDim * 2;
  return {
    q: randomBuffer(device, queryBytes, type, 1),
    k: randomBuffer(device, keyBytes, type, 2),
    v: randomBuffer(device, keyBytes, type, 3),
    out: device.alloc(queryBytes),
  };
}

export function disposeAll({ q, k, v, out }: Tensors): void {
  for (const buffer of [q, k, v, out]) buffer.dispose();
}
