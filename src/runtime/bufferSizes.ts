import { evaluate } from '../ir/affine.ts';
import type { BufferDefinition, BufferElement, BufferSet, BufferSets, PlanDefinition } from '../ir/planDefinition.ts';
import type { HostVariables } from '../kernels/variables.ts';
import { assertNever, invariant } from '../util/invariant.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { Device } from './device.ts';

/** Where buffers are made: a device. */
export type Allocator = Pick<Device, 'alloc' | 'upload'>;

const scalarBytes: Readonly<Record<string, number>> = { int32: 4, uint32: 4, float32: 4, uint16: 2, uint8: 1 };

/** A set of buffers as the package declares it, for values of its variables: bytes, and what buffers hold at first. */
export class BufferSizes {
  readonly #plan: PlanDefinition;
  readonly #name: keyof BufferSets;
  readonly #set: BufferSet;
  readonly #values: Readonly<Record<string, number>>;
  /** Bytes of an entry of each buffer's dimensions, by the number of those before it. */
  readonly #known = new Map<string, number>();

  constructor(plan: PlanDefinition, set: keyof BufferSets, variables: HostVariables) {
    const { queryHeads, kvHeads } = plan.shape;
    this.#plan = plan;
    this.#name = set;
    this.#set = plan.buffers[set];
    const values: Record<string, number> = { queryHeads, kvHeads, ...variables };
    for (const [name, size] of Object.entries(this.#set.sizes)) values[name] = evaluate(size, values);
    this.#values = values;
  }

  /** The same where variables have other values, or more of them have some. */
  with(variables: HostVariables): BufferSizes {
    return new BufferSizes(this.#plan, this.#name, { ...this.#values, ...variables });
  }

  /** Values of all variables, for grids too. */
  get values(): Readonly<Record<string, number>> {
    return this.#values;
  }

  /** A named size of the set. */
  size(name: string): number {
    const size = this.#values[name];
    invariant(size !== undefined, `the package has the size ${name}`);
    return size;
  }

  bytes(name: string): number {
    return this.#bytesOf(name, 0);
  }

  /** Bytes from an entry of the first dimension to the next one: a class, or a layer. */
  stride(name: string): number {
    return this.#bytesOf(name, 1);
  }

  /** The buffer with its first content. `content`: where the host knows it, or has another one. */
  make(device: Allocator, name: string, content?: ArrayBufferView): DeviceBuffer {
    const { initial } = this.#find(name);
    const bytes = this.bytes(name);
    if (content !== undefined) {
      invariant(content.byteLength === bytes, `${name} has the bytes that the package says`);
      return device.upload(content);
    }
    switch (initial.kind) {
      case 'none':
        return device.alloc(bytes);
      case 'bytes':
        return device.alloc(bytes).fill(initial.value);
      case 'range':
        return device.upload(this.#range(name, evaluate(initial.first, this.#values), initial.step));
      case 'table':
        return device.upload(Int32Array.from(this.#plan.tables[initial.name].flat()));
      case 'host':
        throw new Error(`internal error: ${name} is filled by the host`);
      default:
        return assertNever(initial);
    }
  }

  #range(name: string, first: number, step: number): Int32Array | Float32Array {
    const { element } = this.#find(name);
    const count = this.bytes(name) / this.#elementBytes(element);
    const values = element === 'float32' ? new Float32Array(count) : new Int32Array(count);
    for (let index = 0; index < count; index += 1) values[index] = first + index * step;
    return values;
  }

  #find(name: string): BufferDefinition {
    const found = this.#set.buffers[name];
    invariant(found !== undefined, `the package has the buffer ${name}`);
    return found;
  }

  /** Of one entry of dimension `from - 1`; of the whole buffer from 0. */
  #bytesOf(name: string, from: number): number {
    const key = `${name} ${from}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const { element, shape } = this.#find(name);
    const sizes = shape.slice(from).map((size) => evaluate(size, this.#values));
    const bytes = sizes.reduce((product, size) => product * size, this.#elementBytes(element));
    this.#known.set(key, bytes);
    return bytes;
  }

  #elementBytes(element: BufferElement): number {
    return scalarBytes[element] ?? this.#plan.structs[element as keyof PlanDefinition['structs']].bytes;
  }
}
