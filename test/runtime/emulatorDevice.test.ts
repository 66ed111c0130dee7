import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { Device, EmulatorFindingError, type Module } from '../../src/runtime/index.ts';
import { failure } from './failure.ts';
import { FakeKernels, fillParams } from './fakes/fakes.ts';

const fake = new FakeKernels();
afterAll(() => fake.remove());

let device: Device;
let module: Module;
beforeEach(async () => {
  device = await Device.open('emulator', { seed: 7, multiprocessors: 3 });
  module = device.loadLibrary(fake.library);
});
afterEach(() => device.dispose());

const shape = { grid: 2, threads: 64, sharedBytes: 0 };
const words = (bytes: Uint8Array) => new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
const launch = (name: string, params: Uint8Array, config = {}) => module.kernel(name).launch({ ...shape, ...config, params });

test('says what it is', () => {
  expect(device).toMatchObject({ kind: 'emulator', name: 'emulator', computeCapability: [0, 0], multiprocessors: 3, sharedBytesPerBlock: 232448 });
  const kernel = module.kernel('fill');
  expect([kernel.occupancy(64, 0), kernel.attributes.maxThreads]).toEqual([1, 1024]);
});

test('memory starts as NaN, 256-byte aligned, and copies go where they should', () => {
  const buffer = device.alloc(1000);
  expect(buffer.address % 256n).toBe(0n);
  expect(buffer.read().every((byte) => byte === 0xff)).toBe(true);
  const source = Float32Array.of(9, 1, 2, 3).subarray(1);
  buffer.write(source, 4).fill(0, 16, 8);
  expect(buffer.read(new Float32Array(3), 4)).toEqual(source);
  const slice = buffer.slice(4, 12);
  expect([slice.address - buffer.address, slice.bytes]).toEqual([4n, 12]);
  const other = device.alloc(12).copyFrom(slice);
  expect(other.read(new Float32Array(3))).toEqual(source);
  expect(slice.slice(4, 4).read(new Float32Array(1))).toEqual(Float32Array.of(2));
  expect(device.upload(new DataView(source.buffer, 4, 4)).read(new Float32Array(1))).toEqual(Float32Array.of(1));
  slice.write(Float32Array.of(7), 8);
  expect(buffer.read(new Float32Array(4), 4)).toEqual(Float32Array.of(1, 2, 7, 0));
  expect(device.alloc(0).read()).toEqual(new Uint8Array(0));
});

test('launches run at once, see the buffers, and are counted', () => {
  const buffers = Array.from({ length: 20 }, () => device.upload(new Uint32Array(4)));
  buffers[3]!.dispose();
  for (const [i, buffer] of buffers.entries()) if (i !== 3) launch('fill', fillParams(buffer.address, 4, i));
  expect(words(buffers[19]!.read())).toEqual(Uint32Array.of(19, 19, 19, 19));
  expect(device.counters).toMatchObject({ blocks: 38, globalStoreBytes: 19 * 16, mma: 0 });
  device.resetCounters();
  expect(device.counters.blocks).toBe(0);
});

test('a finding is an error with the list, and the launch is counted all the same', () => {
  const error = failure(() => launch('fill', fillParams(4096n, 1)));
  expect(error).toBeInstanceOf(EmulatorFindingError);
  expect(error.code).toBe('MOA6013');
  expect(error.message).toContain("kernel 'fill' (launch 0 of seed 7) has 1 finding:\n  out-of-bounds: fill.cu:12:");
  expect((error as EmulatorFindingError).findings).toEqual([{ kind: 'out-of-bounds', message: expect.stringContaining('fill.cu:12') }]);
  expect(device.counters.blocks).toBe(2);
  const noisy = failure(() => launch('noisy', new Uint8Array(0))) as EmulatorFindingError;
  expect(noisy.message).toMatch(/has 100 findings:\n[^]*finding 4\n {2}and 95 more/);
  expect(noisy.findings).toHaveLength(64);
});

test('a write outside of a buffer is found after the launch, once', () => {
  const buffer = device.alloc(100);
  const before = failure(() => launch('smash', fillParams(buffer.address - 3n, 3, 1)));
  expect(before.message).toMatch(/guard-band: buffer 1 \(100 bytes\) was written 1 bytes before its start/);
  const after = failure(() => launch('smash', fillParams(buffer.address, 103, 1)));
  expect(after.message).toContain('was written 0 bytes past its end');
  buffer.dispose();
  const next = device.alloc(256);
  launch('smash', fillParams(next.address, 256, 0xff));
  next.dispose();
});

test('launches that are refused say why', () => {
  const buffer = device.alloc(16);
  expect(failure(() => launch('fill', new Uint8Array(8))).message).toMatch(/parameter struct has another size/);
  expect(failure(() => launch('fill', fillParams(buffer.address), { threads: 33 })).message).toMatch(/shape/);
  expect(failure(() => launch('throws', new Uint8Array(0))).message).toContain('threw a C++ exception: from the kernel');
  expect(failure(() => launch('aborts', new Uint8Array(0))).message).toContain('gave up');
  expect(failure(() => launch('fill', fillParams(0n), { grid: 0 })).code).toBe('MOA6007');
  expect(failure(() => launch('fill', fillParams(0n), { threads: 2048 })).code).toBe('MOA6007');
  expect(failure(() => launch('fill', fillParams(0n), { sharedBytes: 232449 })).code).toBe('MOA6007');
  expect(failure(() => launch('missing', fillParams(0n))).code).toBe('MOA6009');
  expect(failure(() => device.loadLibrary('/nowhere/kernels.so')).code).toBe('MOA6008');
  expect(failure(() => device.loadCubin(new Uint8Array(64))).code).toBe('MOA6012');
  launch('fill', fillParams(buffer.address, 4, 0));
});

test('graphs replay with the recorded parameters, and outlive the module', () => {
  const buffer = device.upload(new Uint32Array(1));
  const params = fillParams(buffer.address, 1, 5);
  const kernel = module.kernel('fill');
  const graph = device.capture(() => {
    kernel.launch({ ...shape, params });
    params.fill(0);
    kernel.launch({ ...shape, params: fillParams(buffer.address, 1, 1) });
  });
  expect(words(buffer.read())[0]).toBe(0);
  graph.launch();
  module.dispose();
  graph.launch();
  expect(words(buffer.read())[0]).toBe(12);
  buffer.dispose();
  expect(failure(() => graph.launch())).toBeInstanceOf(EmulatorFindingError);
});

test('while capturing, what waits is refused, and an error in the callback drops the capture', () => {
  const buffer = device.alloc(16);
  const event = device.recordEvent();
  const kernel = module.kernel('fill');
  for (const wrong of [
    () => buffer.write(new Uint8Array(1)),
    () => buffer.read(),
    () => buffer.fill(0),
    () => buffer.dispose(),
    () => device.synchronize(),
    () => device.recordEvent(),
    () => module.dispose(),
    () => module.kernel('fill'),
    () => device.capture(() => {}),
    () => event.millisecondsSince(event),
  ]) {
    expect(failure(() => device.capture(() => void wrong())).code).toBe('MOA6011');
  }
  expect(() =>
    device.capture(() => {
      kernel.launch({ ...shape, params: fillParams(1n, 1) });
      throw new TypeError('mine');
    }),
  ).toThrow(TypeError);
  expect(failure(() => device.capture(async () => {})).code).toBe('MOA6011');
  // The buffer that could not be freed in the middle of a capture is still there.
  buffer.fill(1);
  device.capture(() => {}).launch();
  device.capture(() => void device.alloc(16)).dispose();
});

test('the order is drawn from the seed and the number of the launch', () => {
  const buffer = device.alloc(8);
  const seeds = () =>
    [0, 1, 2].map(() => {
      launch('seed', fillParams(buffer.address));
      return buffer.read(new BigUint64Array(1))[0];
    });
  const first = seeds();
  expect(new Set(first).size).toBe(3);
  expect(seeds()).not.toEqual(first);
  device.setSeed(7n);
  expect(seeds()).toEqual(first);
  device.setSeed(8);
  expect(seeds()).not.toEqual(first);
  expect(failure(() => device.setSeed(0.5)).code).toBe('MOA6004');
  expect(failure(() => device.setSeed(-1)).code).toBe('MOA6007');
});

test('memory is limited', () => {
  expect(failure(() => device.alloc(8 * 2 ** 30 + 1))).toMatchObject({ code: 'MOA6006', message: expect.stringMatching(/8589934593 bytes were asked for/) });
  for (const bytes of [-1, 0.5, NaN, 2 ** 53]) expect(failure(() => device.alloc(bytes)).code).toBe('MOA6007');
});

test('ranges and data are checked', () => {
  const buffer = device.alloc(16);
  const big = 2 ** 53 - 1;
  for (const wrong of [
    () => buffer.write(new Uint8Array(17)),
    () => buffer.write(new Uint8Array(1), 16),
    () => buffer.write(new Uint8Array(1), -1),
    () => buffer.read(new Uint8Array(8), 9),
    () => buffer.fill(0, 1, 16),
    () => buffer.fill(0, big, big),
    () => buffer.fill(256),
    () => buffer.slice(8, 9),
    () => buffer.slice(NaN),
    () => buffer.slice(8, 8).write(new Uint8Array(9)),
    () => buffer.slice(0, 8).copyFrom(buffer),
  ]) {
    expect(failure(wrong).code).toBe('MOA6007');
  }
  const gone = new Uint8Array(4);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  const shared = new Uint8Array(new SharedArrayBuffer(4));
  for (const data of [gone, shared, [1, 2] as unknown as Uint8Array, undefined as unknown as Uint8Array]) {
    expect(failure(() => buffer.write(data)).code).toBe('MOA6004');
    expect(failure(() => device.upload(data)).code).toBe('MOA6004');
  }
  expect(failure(() => launch('fill', shared)).code).toBe('MOA6004');
});

test('events and measure', () => {
  const before = device.recordEvent();
  expect(device.measure(() => launch('fill', fillParams(device.alloc(4).address, 1)))).toBeGreaterThanOrEqual(0);
  expect(device.recordEvent().millisecondsSince(before)).toBeGreaterThan(0);
});
