/** Buffers of random numbers: bandwidth and power depend on what moves, so nothing is measured on zeros. */
import type { Device, DeviceBuffer, PlanDefinition } from 'moa-compile/runtime';

const blockBytes = 4 << 20;

/** `bytes` of random 16-bit floats of magnitude 0.5 to 1 in bf16: a block of 4 MiB, repeated. */
export function randomBuffer(device: Device, bytes: number): DeviceBuffer {
  const block = new Uint16Array(Math.min(bytes, blockBytes) / 2);
  let state = 12345;
  for (let n = 0; n < block.length; n += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    block[n] = ((state >>> 31) << 15) | 0x3f00 | ((state >>> 20) & 0x7f);
  }
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
export function tensors(device: Device, { shape }: PlanDefinition, tokens: number): Tensors {
  const queryBytes = tokens * shape.queryHeads * shape.headDim * 2;
  const keyBytes = tokens * shape.kvHeads * shape.headDim * 2;
  return { q: randomBuffer(device, queryBytes), k: randomBuffer(device, keyBytes), v: randomBuffer(device, keyBytes), out: device.alloc(queryBytes) };
}

export function disposeAll({ q, k, v, out }: Tensors): void {
  for (const buffer of [q, k, v, out]) buffer.dispose();
}
