import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { Device, loadAddon, type DeviceBuffer } from '../../src/runtime/index.ts';
import { findAddon } from '../../src/runtime/loadAddon.ts';
import type { BufferHandle, DeviceHandle, KernelHandle, NativeAddon } from '../../src/runtime/native.ts';
import { failure } from './failure.ts';
import { FakeCuda, FakeKernels, fakeCubin, fillParams } from './fakes/fakes.ts';

const addon = loadAddon();
const kernels = new FakeKernels();
const fake = new FakeCuda();
addon.setCudaLibrary(fake.library);
afterAll(() => {
  addon.setCudaLibrary();
  kernels.remove();
  fake.remove();
});

async function everything(spec: 'cuda' | 'emulator') {
  const device = await Device.open(spec);
  const buffer = device.alloc(64);
  const module = spec === 'cuda' ? device.loadCubin(fakeCubin()) : device.loadLibrary(kernels.library);
  const kernel = module.kernel('fill');
  const launch = { grid: 1, threads: 32, sharedBytes: 0, params: fillParams(buffer.address, 1, 1) };
  const graph = device.capture(() => kernel.launch(launch));
  const event = device.recordEvent();
  const slice = buffer.slice(4, 8);
  const ofBuffer = (one: DeviceBuffer) => [
    () => one.address,
    () => one.write(new Uint8Array(1)),
    () => one.read(),
    () => one.fill(0),
    () => one.slice(0),
    () => one.copyFrom(one),
  ];
  return {
    device,
    owned: { buffer, module, graph, event },
    uses: {
      buffer: [...ofBuffer(buffer), ...ofBuffer(slice)],
      module: [() => module.kernel('fill'), () => kernel.launch(launch), () => kernel.attributes, () => kernel.occupancy(32, 0)],
      graph: [() => graph.launch()],
      event: [() => event.millisecondsSince(event)],
    },
    ofDevice: [
      () => device.name,
      () => device.properties,
      () => device.multiprocessors,
      () => device.memoryBytes,
      () => device.computeCapability,
      () => device.alloc(1),
      () => device.upload(new Uint8Array(1)),
      () => device.loadCubin(fakeCubin()),
      () => device.loadLibrary(kernels.library),
      () => device.synchronize(),
      () => device.capture(() => {}),
      () => device.recordEvent(),
      () => device.measure(() => {}),
      () => device.counters,
      () => device.resetCounters(),
      () => device.setSeed(1),
    ],
  };
}

test.each(['cuda', 'emulator'] as const)('%s: every use after dispose is refused, and dispose is idempotent', async (spec) => {
  const { device, owned, uses } = await everything(spec);
  for (const name of ['event', 'graph', 'module', 'buffer'] as const) {
    for (const use of uses[name]) use();
    owned[name].dispose();
    owned[name].dispose();
    owned[name][Symbol.dispose]();
    expect(owned[name].isDisposed).toBe(true);
    for (const use of uses[name]) expect(failure(use)).toMatchObject({ code: 'MOA6005', message: expect.stringContaining(`this ${name} was used after dispose`) });
  }
  device.dispose();
});

test.each(['cuda', 'emulator'] as const)('%s: a disposed device takes everything along', async (spec) => {
  const { device, owned, uses, ofDevice } = await everything(spec);
  device.dispose();
  device[Symbol.dispose]();
  for (const use of [...ofDevice, ...Object.values(uses).flat()]) expect(failure(use)).toMatchObject({ code: 'MOA6005' });
  for (const one of Object.values(owned)) {
    expect(one.isDisposed).toBe(true);
    one.dispose();
  }
});

test('a view ends without its buffer', async () => {
  using device = await Device.open('emulator');
  const buffer = device.alloc(8);
  const view = buffer.slice(0, 4);
  view.dispose();
  expect(failure(() => view.read()).code).toBe('MOA6005');
  buffer.fill(1);
});

test('objects of two devices do not mix', async () => {
  using first = await Device.open('emulator');
  using second = await Device.open('emulator');
  expect(failure(() => first.alloc(4).copyFrom(second.alloc(4)))).toMatchObject({ code: 'MOA6004', message: expect.stringContaining('different devices') });
  expect(failure(() => first.recordEvent().millisecondsSince(second.recordEvent())).code).toBe('MOA6004');
});

test('the addon refuses stale handles, also when their slot has a new object', () => {
  const device = addon.openEmulator({ seed: 0n, multiprocessors: 1, failOnBankConflict: false });
  const first = addon.allocate(device, 8);
  addon.freeBuffer(first);
  const second = addon.allocate(device, 8);
  expect(second).not.toBe(first);
  for (const use of [() => addon.freeBuffer(first), () => addon.address(first), () => addon.read(first, 0, new Uint8Array(1))]) {
    expect(use).toThrow(new TypeError('this buffer was already freed'));
  }
  expect(() => addon.launch(second as number as KernelHandle, 1, 32, 0, new Uint8Array(0))).toThrow(/expected a kernel handle, got a buffer handle/);
  addon.closeDevice(device);
  addon.closeDevice(device);
  expect(() => addon.properties(device)).toThrow('this device was already freed');
});

test('no argument of any type crashes the addon or leaves it with another error', () => {
  const device = addon.openEmulator({ seed: 0n, multiprocessors: 1, failOnBankConflict: false });
  const buffer = addon.allocate(device, 64);
  const module = addon.loadLibrary(device, kernels.library);
  const kernel = addon.kernel(module, 'fill');
  const names = Object.keys(addon).filter((name) => name !== 'setCudaLibrary' && name !== 'closeDevice') as (keyof NativeAddon)[];
  expect(names.length).toBeGreaterThan(25);
  const value = fc.oneof(
    fc.constantFrom<unknown>(device, buffer, module, kernel, undefined, null, 0, -0, 1, 255, NaN, -1, 2 ** 53, 2 ** 32, 0n, -1n, 2n ** 64n, '', 'fill', 'a\0b', {}, []),
    fc.constantFrom<unknown>(new Uint8Array(16), new Float64Array(2), new Uint8Array(new SharedArrayBuffer(8)), new ArrayBuffer(4), Symbol('s'), () => 1),
    fc.double(),
    fc.maxSafeNat(),
    fc.nat(2 ** 33).map((bits) => (buffer as number) + bits * 2 ** 20),
  );
  const call = fc.tuple(fc.constantFrom(...names), fc.array(value, { maxLength: 6 }));
  fc.assert(
    fc.property(call, ([name, args]) => {
      // Real memory is at stake: big allocations only cost time here.
      if (name === 'allocate' && typeof args[1] === 'number' && args[1] > 2 ** 20 && args[1] < 2 ** 34) return;
      try {
        (addon[name] as (...all: unknown[]) => unknown)(...args);
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? String(error.code) : '';
        expect(error instanceof TypeError || /^(MOA|CUDA)_/.test(code) ? '' : `${name}: ${String(error)}`).toBe('');
        expect(code).not.toBe('MOA_INTERNAL');
      }
    }),
    { numRuns: 20_000 },
  );
  addon.closeDevice(device);
});

/** Runs as a worker: plain JavaScript, so that it needs no loader. */
const workerSource = `
const { parentPort, workerData } = require('node:worker_threads');
const addon = require(workerData.addon);
const refused = [];
try { addon.address(workerData.foreign) } catch (error) { refused.push(error.name + ': ' + error.message) }
addon.setCudaLibrary(workerData.cuda);
const sums = [];
for (const kind of ['emulator', 'cuda']) {
  const device = kind === 'cuda' ? addon.openCuda(0) : addon.openEmulator({ seed: 1n, multiprocessors: 1, failOnBankConflict: false });
  const module = kind === 'cuda' ? addon.loadModule(device, workerData.cubin) : addon.loadLibrary(device, workerData.kernels);
  const kernel = addon.kernel(module, 'fill');
  const buffer = addon.allocate(device, 4096);
  addon.fill(buffer, 0, 4096, 0);
  const params = new DataView(new ArrayBuffer(16));
  params.setBigUint64(0, addon.address(buffer), true);
  params.setUint32(8, 1024, true);
  params.setUint32(12, workerData.value, true);
  for (let i = 0; i < 50; i += 1) addon.launch(kernel, 1, 32, 0, new Uint8Array(params.buffer));
  const bytes = new Uint8Array(4096);
  addon.read(buffer, 0, bytes);
  sums.push(new Uint32Array(bytes.buffer).reduce((a, b) => a + b, 0));
  addon.recordEvent(device);
  addon.beginCapture(device);
}
parentPort.postMessage({ refused, sums });
`;

test('workers have their own state, and leave nothing behind when they end', async () => {
  fake.control({});
  fake.forgetCalls();
  const device = addon.openEmulator({ seed: 0n, multiprocessors: 1, failOnBankConflict: false });
  const foreign: BufferHandle = addon.allocate(device, 8);
  const path = join(import.meta.dirname, '../../build/Release/moa.node');
  const run = (value: number) =>
    new Promise<{ refused: string[]; sums: number[] }>((resolve, reject) => {
      const workerData = { addon: path, foreign, cuda: fake.library, kernels: kernels.library, cubin: fakeCubin(), value };
      const worker = new Worker(workerSource, { eval: true, workerData });
      let result: { refused: string[]; sums: number[] };
      worker.on('message', (message) => (result = message));
      worker.on('error', reject);
      worker.on('exit', () => resolve(result));
    });
  const results = await Promise.all(Array.from({ length: 8 }, (_, i) => run(i + 1)));
  for (const [i, { refused, sums }] of results.entries()) {
    expect(refused).toEqual(['TypeError: expected a buffer handle of this thread, got one of another thread']);
    expect(sums).toEqual([1024 * 50 * (i + 1), 1024 * 50 * (i + 1)]);
  }
  const calls = fake.calls();
  expect(calls.get('cuDevicePrimaryCtxRetain')).toBe(8);
  for (const name of ['cuDevicePrimaryCtxRelease', 'cuMemFree', 'cuModuleUnload', 'cuEventDestroy', 'cuStreamDestroy']) expect([name, calls.get(name)]).toEqual([name, 8]);
  addon.address(foreign);
  addon.closeDevice(device as DeviceHandle);
});

test('where the addon was not built, the error says how', () => {
  const empty = mkdtempSync(join(tmpdir(), 'moa-no-addon-'));
  try {
    expect(failure(() => findAddon(empty))).toMatchObject({ code: 'MOA6002', message: expect.stringContaining(`npm --prefix ${empty} run build:native`) });
  } finally {
    rmSync(empty, { recursive: true });
  }
});
