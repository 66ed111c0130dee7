/** What lies in a session's tables on the device, found by the parameters of its launches. */
import { vi } from 'vitest';
import type { PlanDefinition } from '../../../src/ir/planDefinition.ts';
import type { DeviceBuffer } from '../../../src/runtime/buffer.ts';
import type { Device } from '../../../src/runtime/device.ts';
import { Kernel } from '../../../src/runtime/kernel.ts';
import type { Session } from '../../../src/runtime/session.ts';

const names = ['lengths', 'reserved', 'sharing', 'bounds', 'refs', 'freeCount', 'pageTable', 'ticket'] as const;
export type TableName = (typeof names)[number];

/** Pages as the device has them. */
export interface DevicePages {
  readonly held: number;
  readonly shared: number;
}

/** A session and its tables. */
export interface WatchedSession {
  readonly session: Session;
  read(name: TableName): Int32Array;
  /** All tables, to be compared. */
  readAll(): Readonly<Record<TableName, Int32Array>>;
  pages(): DevicePages;
}

/** A new session that begins with a sequence in some slot: its first launch says where its tables lie. */
export function watch(device: Device, { params, planners }: PlanDefinition, create: () => Session): WatchedSession {
  using allocated = vi.spyOn(device, 'alloc');
  const addresses = new Map<string, bigint>();
  let session: Session;
  {
    const { name: planner, params: struct } = planners.changeSequence;
    using launched = vi.spyOn(Kernel.prototype, 'launch');
    session = create();
    if (session.lengthBounds().every((bound) => bound === 0)) session.remove(session.add());
    const call = launched.mock.contexts.findIndex((kernel) => (kernel as Kernel).name === planner);
    const bytes = launched.mock.calls[call]![0].params;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    for (const { name, offset, type } of params[struct]!.fields) {
      if (type === 'pointer') addresses.set(name, view.getBigUint64(offset, true));
    }
  }
  const buffers = allocated.mock.results.map(({ value }) => value as DeviceBuffer);
  const bufferOf = (name: TableName): DeviceBuffer => buffers.find(({ address }) => address === addresses.get(name))!;
  const tables = new Map(names.map((name) => [name, bufferOf(name)]));
  const read = (name: TableName): Int32Array => {
    const buffer = tables.get(name)!;
    return buffer.read(new Int32Array(buffer.bytes / 4));
  };
  return {
    session,
    read,
    readAll: () => Object.fromEntries(names.map((name) => [name, read(name)])) as Record<TableName, Int32Array>,
    pages: () => {
      const refs = read('refs');
      const held = refs.filter((holders) => holders > 0).length;
      const free = read('freeCount')[0]!;
      const counted = `${held} pages have a holder, and ${free} of ${refs.length} are free`;
      if (held + free !== refs.length) throw new Error(counted);
      return { held, shared: refs.filter((holders) => holders > 1).length };
    },
  };
}
