import { afterEach, beforeEach, expect, test } from 'vitest';

import { Device, EmulatorFindingError, type DeviceBuffer, type Kernel } from '../../src/runtime/index.ts';
import { Kernel as Fixture } from '../emulator/harness.ts';
import { failure } from './failure.ts';

const { library } = new Fixture('dependent');

/** What the fixture does, by its modes. */
const modes = { write: 0, right: 1, readEarly: 2, readEarlyByBulkCopy: 4, writeEarly: 5 } as const;

let device: Device;
let kernel: Kernel;
let data: DeviceBuffer, never: DeviceBuffer, counter: DeviceBuffer;
beforeEach(async () => {
  device = await Device.open('emulator');
  kernel = device.loadLibrary(library).kernel('dependent');
  data = device.upload(new Uint32Array(256).fill(1));
  never = device.upload(new Uint32Array(256).fill(2));
  counter = device.upload(new Uint32Array(1));
});
afterEach(() => device.dispose());

function launch(mode: keyof typeof modes, programmatic?: boolean): void {
  const params = new DataView(new ArrayBuffer(32));
  [data, never, counter].forEach((buffer, i) => params.setBigUint64(8 * i, buffer.address, true));
  params.setInt32(24, modes[mode], true);
  const shape = { grid: 1, threads: 64, sharedBytes: 64 + 96 * 16 };
  kernel.launch({ ...shape, params: new Uint8Array(params.buffer), ...(programmatic === undefined ? {} : { programmatic }) });
}

function findingsOf(work: () => void): string[] {
  const error = failure(work);
  expect(error).toBeInstanceOf(EmulatorFindingError);
  return [...new Set((error as EmulatorFindingError).findings.map((finding) => finding.kind))];
}

test('a programmatic launch that waits as it should', () => {
  launch('write');
  launch('right', true);
  // (1, 2, 3, 4) was written; 2 of `never` and 1 of `data` are added.
  expect([...data.read(new Uint32Array(4))]).toEqual([4, 5, 6, 7]);
  expect(device.counters).toMatchObject({ bulkCopies: 0, mbarrierWaits: 0 });
});

test('what the launch before wrote must not be read early, nor anything be written', () => {
  launch('write');
  expect(findingsOf(() => launch('readEarly', true))).toEqual(['early-read']);
  launch('write');
  expect(findingsOf(() => launch('readEarlyByBulkCopy', true))).toEqual(['early-read']);
  expect(findingsOf(() => launch('writeEarly', true))).toEqual(['early-write']);
  launch('write');
  launch('readEarly', false);
  launch('readEarly');
  launch('write');
  launch('right', true);
  expect(failure(() => kernel.launch({ grid: 1, threads: 64, sharedBytes: 0, params: new Uint8Array(32), programmatic: 1 as never })).code).toBe('MOA6004');
});

test('only the launch just before counts, and not for what the host wrote since', () => {
  launch('write');
  launch('readEarly');
  launch('readEarly', true);
  const other = device.alloc(1024).fill(0);
  for (const bytes of [() => data.write(new Uint8Array(512)), () => data.fill(0, 0, 512), () => data.slice(0, 512).copyFrom(other.slice(0, 512))]) {
    launch('write');
    bytes();
    launch('readEarly', true);
  }
  launch('write');
  data.write(new Uint8Array(480));
  expect(findingsOf(() => launch('readEarly', true))).toEqual(['early-read']);
});

test('in a graph too; its first launch is never programmatic', () => {
  const graph = device.capture(() => {
    launch('readEarly', true);
    launch('write', true);
    launch('right', true);
  });
  launch('write');
  graph.launch();
  graph.launch();
  const wrong = device.capture(() => {
    launch('write', true);
    launch('readEarly', true);
  });
  expect(findingsOf(() => wrong.launch())).toEqual(['early-read']);
});

test('a new setting of the seed does not forget who wrote', () => {
  launch('write');
  device.setSeed(3);
  expect(findingsOf(() => launch('readEarly', true))).toEqual(['early-read']);
});
