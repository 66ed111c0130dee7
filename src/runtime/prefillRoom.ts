import type { KernelDefinition } from '../ir/planDefinition.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { Device } from './device.ts';

type RoomName = 'partials' | 'tickets' | 'pages' | 'pageTable';

/** Room that some prefills need and others don't: it grows with the largest of them. Launches use it one after the other. */
export class PrefillRoom {
  readonly #device: Device;
  readonly #buffers = new Map<RoomName, DeviceBuffer>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** Addresses of room for so many parts of items that are cut in two: of results, and of a counter for each warp and pair of parts. 0 for no parts. */
  parts(parts: number, { partialFloats, threads }: Pick<KernelDefinition, 'partialFloats' | 'threads'>): { readonly partials: bigint; readonly partTickets: bigint } {
    if (parts === 0) return { partials: 0n, partTickets: 0n };
    const partials = this.#atLeast('partials', parts * partialFloats * 4, (bytes) => this.#device.alloc(bytes));
    const tickets = this.#atLeast('tickets', (parts / 2) * (threads / 32) * 4, (bytes) => this.#device.upload(new Uint32Array(bytes / 4)));
    return { partials: partials.address, partTickets: tickets.address };
  }

  /** Addresses of a pool of so many pages, and of the table in which entry n is page n. */
  pages(count: number, pageBytes: number): { readonly pool: bigint; readonly pageTable: bigint } {
    const pages = this.#atLeast('pages', count * pageBytes, (bytes) => this.#device.alloc(bytes));
    const table = this.#atLeast('pageTable', count * 4, (bytes) => this.#device.upload(Int32Array.from({ length: bytes / 4 }, (_, page) => page)));
    return { pool: pages.address, pageTable: table.address };
  }

  dispose(): void {
    this.#buffers.forEach((buffer) => buffer.dispose());
    this.#buffers.clear();
  }

  /** The buffer, made anew when it is too small; none is kept when that fails. */
  #atLeast(name: RoomName, bytes: number, make: (bytes: number) => DeviceBuffer): DeviceBuffer {
    const kept = this.#buffers.get(name);
    if (kept !== undefined && kept.bytes >= bytes) return kept;
    this.#buffers.delete(name);
    kept?.dispose();
    const made = make(bytes);
    this.#buffers.set(name, made);
    return made;
  }
}
