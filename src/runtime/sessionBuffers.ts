/** A session's memory on the device, filled with all that follows from the plan and the length bound. */
import type { ElementType, KernelRole } from '../ir/nodes.ts';
import type { KernelDefinition, PlanDefinition } from '../ir/planDefinition.ts';
import { invariant } from '../util/invariant.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { Device } from './device.ts';
import type { Kernel } from './kernel.ts';
import { buildRopeTable } from './rope.ts';
import { sessionError } from './sessionChecks.ts';
import { layerSegments, layoutSession, sessionMemory, type LayerLayout, type SessionMemory } from './sessionLayout.ts';
import type { SessionOptions } from './sessionTypes.ts';
import { sinkTable } from './sinkLogits.ts';

/** A loaded kernel and what the package says of it. */
export interface FoundKernel {
  readonly kernel: Kernel;
  readonly definition: KernelDefinition;
}

/** The first kernel that is chosen; throws MOA6202 when the package has none. */
export type KernelLookup = (choose: (kernel: KernelDefinition) => boolean) => FoundKernel;

export interface LayerState {
  readonly layout: LayerLayout;
  /** Its number among the session's layers. */
  readonly index: number;
  readonly windows: DeviceBuffer;
  readonly rings: DeviceBuffer;
  readonly segments: DeviceBuffer;
  readonly blocks: number;
  /** Tokens of each sequence in this layer's cache: the host's mirror. */
  readonly lengths: Int32Array;
  /** Appends, and rotates where the session has RoPE. */
  readonly append: FoundKernel;
  /** Appends what was rotated before. */
  readonly appendRotated: FoundKernel;
  readonly decode: FoundKernel;
  readonly prefill: FoundKernel;
}

export class SessionBuffers {
  readonly layers: ReadonlyMap<number, LayerState>;
  readonly memory: SessionMemory;
  readonly pool: DeviceBuffer;
  readonly pageTable: DeviceBuffer;
  /** `[layer][lengthStride]` tokens in the cache, one for each slot. */
  readonly lengths: DeviceBuffer;
  /** Words between layers' lengths: whole sectors of 32 bytes, so that no layer's launch writes where the next one's reads. */
  readonly lengthStride: number;
  readonly partials: DeviceBuffer;
  /** Counter 0 belongs to whoever runs: append, prefill, decode's lengths; the others to decode's splits. */
  readonly tickets: DeviceBuffer;
  /** `[layer][2][kvHeads]` scales of keys and of values, where the cache has 8 bits. */
  readonly kvScales: DeviceBuffer | undefined;
  /** `[layer][queryHeads]` logits of learned sinks, where the model has them. */
  readonly sinkLogits: DeviceBuffer | undefined;
  /** The RoPE table, where the session has RoPE. */
  readonly cosSin: DeviceBuffer | undefined;
  readonly #device: Device;
  readonly #owned: DeviceBuffer[] = [];
  readonly #shared = new Map<string, DeviceBuffer>();

  /** Allocates everything, or nothing when it throws. */
  constructor(device: Device, plan: PlanDefinition, kernels: KernelLookup, options: SessionOptions, elementType: ElementType) {
    this.#device = device;
    const layout = layoutSession(plan, options);
    let partials = 0;
    let tickets = 0;
    try {
      const layers = layout.layers.map((layer, index): LayerState => {
        const find = (roles: readonly KernelRole[], rope: boolean): FoundKernel =>
          kernels((kernel) => roles.includes(kernel.role) && kernel.elementType === elementType && kernel.rope === rope && kernel.layers.includes(layer.layer));
        const decode = find(['decode'], options.rope !== undefined);
        const { blocksPerSm, partialFloats } = decode.definition;
        const segments = layerSegments(plan, layer, device.multiprocessors * blocksPerSm);
        partials = Math.max(partials, segments.partials * partialFloats);
        tickets = Math.max(tickets, segments.tickets);
        return {
          layout: layer,
          index,
          windows: this.#uploadOnce(layer.windows),
          rings: this.#uploadOnce(layer.rings),
          segments: this.#uploadOnce(segments.words),
          blocks: segments.blocks,
          lengths: new Int32Array(options.batch),
          append: find(['append'], options.rope !== undefined),
          appendRotated: find(['append'], false),
          decode,
          prefill: find(['prefill', 'prefillWgmma'], false),
        };
      });
      this.layers = new Map(layers.map((state) => [state.layout.layer, state]));
      this.pageTable = this.#upload(pageOrder(layout.pages, options));
      this.lengthStride = Math.ceil(options.batch / 8) * 8;
      this.lengths = this.#upload(new Int32Array(this.lengthStride * layers.length));
      this.tickets = this.#upload(new Uint32Array(1 + tickets));
      this.cosSin = options.rope === undefined ? undefined : this.#upload(buildRopeTable(options.rope, plan.shape.headDim, options.lengthBound));
      this.kvScales = plan.layout.cacheType === 'e4m3' ? this.#upload(scaleTable(plan, layers.map(({ layout: { layer } }) => layer), options)) : undefined;
      const { sinkLogits } = options;
      this.sinkLogits = sinkLogits === undefined ? undefined : this.#upload(sinkTable(layers.map(({ layout: { layer } }) => layer), sinkLogits));
      const tables = this.#owned.reduce((sum, buffer) => sum + buffer.bytes, 0);
      this.memory = sessionMemory(plan, options, tables, partials * 4);
      this.partials = this.#own(device.alloc(partials * 4));
      this.pool = this.#own(device.alloc(layout.pages * plan.layout.pageBytes));
    } catch (error) {
      this.dispose();
      throw error;
    }
    invariant(this.pool.bytes === this.memory.cache, 'the pool has the bytes that were reported');
  }

  dispose(): void {
    for (const buffer of this.#owned) buffer.dispose();
  }

  /** Layers whose tables are equal share them. */
  #uploadOnce(data: Int32Array): DeviceBuffer {
    const key = data.join();
    let buffer = this.#shared.get(key);
    if (buffer === undefined) this.#shared.set(key, (buffer = this.#upload(data)));
    return buffer;
  }

  #upload(data: Int32Array | Uint32Array | Float32Array): DeviceBuffer {
    return this.#own(this.#device.upload(data));
  }

  #own(buffer: DeviceBuffer): DeviceBuffer {
    this.#owned.push(buffer);
    return buffer;
  }
}

/** The pool's page of each ring page, in the order of rings. */
function pageOrder(pages: number, options: SessionOptions): Int32Array {
  if (options.pageOrder === undefined) return Int32Array.from({ length: pages }, (_, page) => page);
  const order = options.pageOrder(pages);
  const seen = new Set(order);
  if (order.length !== pages || seen.size !== pages || order.some((page) => page < 0 || page >= pages)) {
    throw sessionError('badOptions', `pageOrder gave no permutation of 0 to ${pages - 1}`);
  }
  return order;
}

/** `[layer][2][kvHeads]`. */
function scaleTable({ shape }: PlanDefinition, layers: readonly number[], { cacheScales }: SessionOptions): Float32Array {
  const { kvHeads } = shape;
  const table = new Float32Array(layers.length * 2 * kvHeads).fill(1);
  if (cacheScales === undefined) return table;
  layers.forEach((layer, index) => {
    table.set(cacheScales.keys[layer]!, index * 2 * kvHeads);
    table.set(cacheScales.values[layer]!, (index * 2 + 1) * kvHeads);
  });
  return table;
}
