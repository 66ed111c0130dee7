import type { ElementType, ModelShape } from '../ir/nodes.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { Device } from './device.ts';
import { checkTensor } from './sessionChecks.ts';
import type { PackedTensors } from './sessionTypes.ts';

/** Checks of a session's tensors. What was found good for as many rows is so as long as it lives. */
export class TensorChecks {
  readonly #device: Device;
  readonly #shape: ModelShape;
  readonly #elementType: ElementType;
  /** What tensors were found good for. */
  readonly #found = new WeakMap<DeviceBuffer, string>();

  constructor(device: Device, shape: ModelShape, elementType: ElementType) {
    this.#device = device;
    this.#shape = shape;
    this.#elementType = elementType;
  }

  /** Throws MOA6103 for a tensor that is not good for so many tokens. */
  check({ q, k, v, out, lse }: PackedTensors, tokens: number): void {
    const { headDim, queryHeads, kvHeads } = this.#shape;
    this.#checkOne('q', q, tokens, queryHeads, headDim);
    this.#checkOne('k', k, tokens, kvHeads, headDim);
    this.#checkOne('v', v, tokens, kvHeads, headDim);
    this.#checkOne('out', out, tokens, queryHeads, headDim);
    if (lse !== undefined) this.#checkOne('lse', lse, tokens, queryHeads);
  }

  /** A tensor of rows of heads, or without `headDim` of a float for each head. */
  #checkOne(name: string, buffer: DeviceBuffer, tokens: number, heads: number, headDim?: number): void {
    const found = `${tokens} ${heads} ${headDim}`;
    if (this.#found.get(buffer) === found && !buffer.isDisposed) return;
    const needed =
      headDim === undefined
        ? { shape: [tokens, heads], elementType: 'fp32' as const }
        : { shape: [tokens, heads, headDim], elementType: this.#elementType };
    checkTensor(name, buffer, { ...needed, device: this.#device });
    this.#found.set(buffer, found);
  }
}
