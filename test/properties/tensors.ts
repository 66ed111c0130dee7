/** Packs the sequences of a batch into device tensors and reads results back. */
import { decodeElements, encodeElements } from '../../src/runtime/elements.ts';
import type { DeviceBuffer } from '../../src/runtime/buffer.ts';
import type { Device } from '../../src/runtime/device.ts';
import type { SequenceInputs } from './inputs.ts';
import type { Shape } from './shapes.ts';

/** Rows `begin .. end - 1` of one sequence. */
export interface Piece {
  readonly inputs: SequenceInputs;
  readonly begin: number;
  readonly end: number;
}

export class TensorSet implements Disposable {
  readonly q: DeviceBuffer;
  readonly k: DeviceBuffer;
  readonly v: DeviceBuffer;
  readonly out: DeviceBuffer;
  readonly lse: DeviceBuffer;
  readonly cuSeqlens: Int32Array;
  readonly #shape: Shape;
  readonly #tokens: number;

  /** `out` and `lse` start as NaN. */
  constructor(device: Device, shape: Shape, pieces: readonly Piece[]) {
    const { queryHeads, kvHeads, headDim } = shape;
    this.#shape = shape;
    this.cuSeqlens = new Int32Array(pieces.length + 1);
    pieces.forEach(({ begin, end }, n) => (this.cuSeqlens[n + 1] = this.cuSeqlens[n]! + end - begin));
    this.#tokens = this.cuSeqlens[pieces.length]!;
    const pack = (name: 'q' | 'k' | 'v', heads: number): DeviceBuffer => {
      const row = heads * headDim;
      const bits = new Uint16Array(this.#tokens * row);
      pieces.forEach(({ inputs, begin, end }, n) => {
        const to = this.cuSeqlens[n]! * row;
        encodeElements(shape.elementType, inputs[name].subarray(begin * row, end * row), bits.subarray(to, to + (end - begin) * row));
      });
      return device.upload(bits);
    };
    this.q = pack('q', queryHeads);
    this.k = pack('k', kvHeads);
    this.v = pack('v', kvHeads);
    this.out = device.alloc(this.#tokens * queryHeads * headDim * 2).fill(0xff);
    this.lse = device.alloc(this.#tokens * queryHeads * 4).fill(0xff);
  }

  /** `[tokens][queryHeads][headDim]`, or for k `[tokens][kvHeads][headDim]`, as bits. */
  bits(name: 'q' | 'k' | 'out'): Uint16Array {
    const { queryHeads, kvHeads, headDim } = this.#shape;
    return this[name].read(new Uint16Array(this.#tokens * (name === 'k' ? kvHeads : queryHeads) * headDim));
  }

  values(name: 'q' | 'k' | 'out'): Float32Array {
    return decodeElements(this.#shape.elementType, this.bits(name));
  }

  logSums(): Float32Array {
    return this.lse.read(new Float32Array(this.#tokens * this.#shape.queryHeads));
  }

  dispose(): void {
    for (const buffer of [this.q, this.k, this.v, this.out, this.lse]) buffer.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
