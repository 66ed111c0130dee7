import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { Device, loadAddon, type Module } from '../../src/runtime/index.ts';
import { failure } from './failure.ts';
import { FakeCuda, fakeCubin, fillParams, waitingFunctions } from './fakes/fakes.ts';

const fake = new FakeCuda();
const addon = loadAddon();
addon.setCudaLibrary(fake.library);
afterAll(() => {
  addon.setCudaLibrary();
  fake.remove();
});

let device: Device;
let module: Module;
beforeEach(async () => {
  fake.control({});
  fake.forgetCalls();
  device = await Device.open('cuda');
  module = device.loadCubin(fakeCubin());
});
afterEach(() => {
  fake.control({});
  device.dispose();
});

const shape = { grid: 2, threads: 128, sharedBytes: 0 };
const words = (bytes: Uint8Array) => new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
const fill = (address: bigint, count: number, value: number) =>
  module.kernel('fill').launch({ ...shape, params: fillParams(address, count, value) });

/** Each pair of calls that must come equally often by the time a device is closed. */
const pairs = [
  ['cuMemAlloc', 'cuMemFree'],
  ['cuModuleLoadDataEx', 'cuModuleUnload'],
  ['cuStreamCreate', 'cuStreamDestroy'],
  ['cuEventCreate', 'cuEventDestroy'],
  ['cuGraphInstantiateWithFlags', 'cuGraphExecDestroy'],
  ['cuStreamEndCapture', 'cuGraphDestroy'],
  ['cuDevicePrimaryCtxRetain', 'cuDevicePrimaryCtxRelease'],
  ['cuCtxPushCurrent', 'cuCtxPopCurrent'],
] as const;

function expectNothingLeft(): void {
  const calls = fake.calls();
  for (const [first, second] of pairs) expect([first, calls.get(first)]).toEqual([first, calls.get(second)]);
}

test('says what it is', () => {
  expect(addon.cudaStatus()).toEqual({ available: true, reason: '', driverVersion: 12080, deviceCount: 2 });
  expect(device).toMatchObject({ kind: 'cuda', name: 'Fake GPU', computeCapability: [9, 0], multiprocessors: 132, memoryBytes: 6 * 2 ** 30 });
  expect(device.sharedBytesPerBlock).toBe(232448);
  expect(module.kernel('fill').attributes).toEqual({ registers: 96, localBytes: 0, staticSharedBytes: 128, maxThreads: 1024 });
});

test('what is written is what lay there at the call, in the order of the stream, and nobody waits for it', () => {
  const buffer = device.alloc(16).fill(0);
  const data = Uint32Array.of(1, 2, 3, 4);
  fake.forgetCalls();
  fill(buffer.address, 4, 50);
  buffer.write(data);
  data.fill(9);
  fill(buffer.address, 4, 10);
  const uploaded = device.upload(data);
  structuredClone(data, { transfer: [data.buffer] });
  expect(data).toHaveLength(0);
  fill(uploaded.address, 4, 100);
  buffer.write(Uint32Array.of(77), 12);
  const calls = fake.calls();
  expect([...waitingFunctions].filter((name) => calls.has(name))).toEqual([]);
  expect([calls.get('cuMemcpyHtoDAsync'), calls.get('cuLaunchKernel')]).toEqual([3, 3]);
  expect(words(buffer.read())).toEqual(Uint32Array.of(11, 12, 13, 77));
  expect(words(uploaded.read())).toEqual(Uint32Array.of(109, 109, 109, 109));
});

test('many writes under way, and large ones, are what lay there at the call', () => {
  const count = 300;
  const buffer = device.alloc(4 * count);
  const data = new Uint32Array(1);
  for (let index = 0; index < count; index += 1) buffer.write(data.fill(index), 4 * index);
  expect(words(buffer.read())).toEqual(Uint32Array.from({ length: count }, (_, index) => index));

  const large = new Uint8Array(65 * 1024).fill(3);
  fake.forgetCalls();
  const uploaded = device.upload(large);
  large.fill(4);
  expect(fake.calls().get('cuStreamSynchronize')).toBe(1);
  expect(uploaded.read().every((byte) => byte === 3)).toBe(true);
});

test('reads are over when they return, although the driver works behind', () => {
  const buffer = device.upload(Uint32Array.of(1, 2, 3, 4));
  const other = device.alloc(8);
  fill(buffer.address, 4, 10);
  expect(words(buffer.read())).toEqual(Uint32Array.of(11, 12, 13, 14));
  buffer.fill(0, 4, 4);
  other.copyFrom(buffer.slice(4, 8));
  fake.forgetCalls();
  expect(words(other.read())).toEqual(Uint32Array.of(0, 13));
  expect(fake.calls().get('cuStreamSynchronize')).toBe(1);
});

test('a kernel gets exactly the bytes of its parameters', () => {
  const buffer = device.alloc(64);
  const params = Uint8Array.from({ length: 64 }, (_, i) => i + 1);
  params.set(fillParams(buffer.address).subarray(0, 8));
  const offset = new Uint8Array(100);
  offset.set(params, 3);
  module.kernel('echo').launch({ ...shape, params: offset.subarray(3, 67) });
  offset.fill(0);
  expect(buffer.read()).toEqual(params);
  expect(failure(() => module.kernel('echo').launch({ ...shape, params: params.subarray(1) }))).toMatchObject({
    code: 'MOA6010',
    message: expect.stringContaining('takes 64 bytes of parameters, but 63 were passed'),
  });
});

test('frees memory only after the kernels that use it', () => {
  const buffer = device.alloc(4 * 1024);
  fill(buffer.address, 1024, 1);
  buffer.dispose();
  const other = device.upload(new Uint32Array(8));
  fill(other.address, 8, 3);
  module.dispose();
  expect(words(other.read())).toEqual(new Uint32Array(8).fill(3));
  device.dispose();
  expectNothingLeft();
});

test('asks for shared memory beyond 48 KiB, once, and within the limit', () => {
  const kernel = module.kernel('fill');
  const buffer = device.upload(new Uint32Array(1));
  const params = fillParams(buffer.address, 1, 1);
  kernel.launch({ ...shape, sharedBytes: 48 * 1024 - 128, params });
  expect(fake.calls().get('cuFuncSetAttribute')).toBeUndefined();
  for (let i = 0; i < 3; i += 1) kernel.launch({ ...shape, sharedBytes: 100_000, params });
  expect(fake.calls().get('cuFuncSetAttribute')).toBe(1);
  expect(kernel.occupancy(128, 200_000)).toBe(16);
  expect(fake.calls().get('cuFuncSetAttribute')).toBe(2);
  expect(failure(() => kernel.launch({ ...shape, sharedBytes: 232_448, params }))).toMatchObject({ code: 'MOA6007' });
  expect(words(buffer.read())[0]).toBe(4);
});

test('captures, replays, and keeps the code of a module that was unloaded', () => {
  const buffer = device.upload(new Uint32Array(1));
  const kernel = module.kernel('fill');
  const graph = device.capture(() => {
    for (const value of [1, 10]) kernel.launch({ ...shape, params: fillParams(buffer.address, 1, value) });
  });
  expect(words(buffer.read())[0]).toBe(0);
  graph.launch();
  module.dispose();
  expect(fake.calls().get('cuModuleUnload')).toBeUndefined();
  graph.launch();
  expect(words(buffer.read())[0]).toBe(22);
  graph.dispose();
  expect(fake.calls().get('cuModuleUnload')).toBe(1);
  const copies = (): number =>
    [...fake.calls()].reduce((sum, [name, count]) => sum + (/Memcpy|Memset/.test(name) ? count : 0), 0);
  const word = new Uint8Array(4);
  for (const wrong of [() => buffer.read(), () => buffer.write(word), () => device.upload(word), () => buffer.fill(0)]) {
    const before = copies();
    expect(failure(() => device.capture(() => void wrong())).code).toBe('MOA6011');
    expect(copies()).toBe(before);
  }
  device.measure(() => {});
  device.dispose();
  expectNothingLeft();
});

test('a programmatic launch says so to the driver, also in a capture', () => {
  const buffer = device.upload(new Uint32Array(1));
  const kernel = module.kernel('fill');
  const launch = (value: number) => kernel.launch({ ...shape, params: fillParams(buffer.address, 1, value), programmatic: true });
  launch(1);
  const graph = device.capture(() => launch(10));
  graph.launch();
  kernel.launch({ ...shape, params: fillParams(buffer.address, 1, 100), programmatic: false });
  expect(words(buffer.read())[0]).toBe(111);
  expect([fake.calls().get('cuLaunchKernelEx'), fake.calls().get('cuLaunchKernel')]).toEqual([2, 1]);
});

test('a driver before 12.3 captures it as a plain launch', async () => {
  fake.control({ version: 12020 });
  using older = await Device.open('cuda');
  const kernel = older.loadCubin(fakeCubin()).kernel('fill');
  const launch = () => kernel.launch({ ...shape, params: fillParams(older.alloc(4).address, 1, 1), programmatic: true });
  launch();
  older.capture(launch).launch();
  older.synchronize();
  expect([fake.calls().get('cuLaunchKernelEx'), fake.calls().get('cuLaunchKernel')]).toEqual([1, 1]);
});

test('below compute capability 9.0 a programmatic launch is a plain one', async () => {
  fake.control({ computeMajor: 8 });
  using older = await Device.open('cuda');
  const buffer = older.upload(new Uint32Array(1));
  older.loadCubin(fakeCubin()).kernel('fill').launch({ ...shape, params: fillParams(buffer.address, 1, 5), programmatic: true });
  expect(words(buffer.read())[0]).toBe(5);
  expect([fake.calls().get('cuLaunchKernelEx'), fake.calls().get('cuLaunchKernel')]).toEqual([undefined, 1]);
});

test('closing frees everything, in the middle of a capture too', () => {
  device.upload(new Uint8Array(8));
  const kernel = module.kernel('fill');
  device.recordEvent();
  device.capture(() => kernel.launch({ ...shape, params: fillParams(0n) }));
  const error = failure(() =>
    device.capture(() => {
      kernel.launch({ ...shape, params: fillParams(0n) });
      device.dispose();
    }),
  );
  expect(error.code).toBe('MOA6005');
  expectNothingLeft();
});

test('an image that cannot be loaded says why', () => {
  expect(failure(() => device.loadCubin(fakeCubin(80)))).toMatchObject({
    code: 'MOA6008',
    message: expect.stringMatching(/cuModuleLoadDataEx failed: CUDA_ERROR_NO_BINARY_FOR_GPU \(209\).*compute capability 9\.0.*--arch sm_90\. The driver says: no code for/),
    cause: expect.objectContaining({ code: 'CUDA_ERROR_NO_BINARY_FOR_GPU' }),
  });
  const sections = fakeCubin();
  new DataView(sections.buffer).setUint16(58, 64, true);
  new DataView(sections.buffer).setUint16(60, 3, true);
  const fatbin = new Uint8Array(20);
  new DataView(fatbin.buffer).setUint32(0, 0xba55ed50, true);
  new DataView(fatbin.buffer).setUint16(6, 16, true);
  new DataView(fatbin.buffer).setBigUint64(8, 5n, true);
  for (const image of [new Uint8Array(0), new Uint8Array(64), fakeCubin().subarray(0, 63), sections, fatbin]) {
    expect(failure(() => device.loadCubin(image))).toMatchObject({ code: 'MOA6008', message: expect.stringContaining('this is not a cubin') });
  }
  expect(failure(() => module.kernel('missing'))).toMatchObject({ code: 'MOA6009', message: expect.stringContaining("Kernel 'missing'") });
  expect(failure(() => device.loadLibrary('./kernels.so')).code).toBe('MOA6012');
});

test('out of memory says how much was asked for and how much is free', () => {
  fake.control({ memory: 1000 });
  expect(failure(() => device.alloc(2000))).toMatchObject({
    code: 'MOA6006',
    message: expect.stringMatching(/CUDA_ERROR_OUT_OF_MEMORY \(2\): out of memory\. 2000 bytes were asked for, 1000 of 1000 are free/),
  });
  device.alloc(1000).dispose();
});

test('after a sticky error every call fails at once with the first cause, and dispose still works', () => {
  const buffer = device.alloc(8);
  const graph = device.capture(() => {});
  module.kernel('trap').launch({ ...shape, params: new Uint8Array(8) });
  const first = failure(() => device.synchronize());
  expect(first).toMatchObject({ code: 'MOA6014', message: expect.stringMatching(/cuStreamSynchronize failed: CUDA_ERROR_ILLEGAL_ADDRESS \(700\).*compute-sanitizer/) });
  const before = fake.calls();
  for (const later of [() => buffer.read(), () => device.alloc(1), () => graph.launch(), () => device.recordEvent(), () => module.kernel('fill')]) {
    const error = failure(later);
    expect([error.code, error.message]).toEqual(['MOA6014', expect.stringContaining('lost since an earlier call: cuStreamSynchronize failed')]);
  }
  buffer.dispose();
  device.dispose();
  device.dispose();
  const after = fake.calls();
  expect(after.get('cuDevicePrimaryCtxRelease')).toBe(1);
  expect(after.get('cuMemFree')).toBe(before.get('cuMemFree'));
});

test('no driver function fails unnoticed', () => {
  const other = device.alloc(8);
  const buffer = device.alloc(8);
  const event = device.recordEvent();
  const kernel = module.kernel('fill');
  const graph = device.capture(() => {});
  const launch = { ...shape, sharedBytes: 100_000, params: fillParams(buffer.address) };
  const calls: Record<string, () => unknown> = {
    cuCtxPushCurrent: () => device.synchronize(),
    cuStreamSynchronize: () => device.synchronize(),
    cuMemAlloc: () => device.alloc(4),
    cuMemcpyHtoDAsync: () => buffer.write(new Uint8Array(1)),
    cuMemcpyDtoHAsync: () => buffer.read(),
    cuMemcpyDtoDAsync: () => buffer.copyFrom(other),
    cuMemsetD8Async: () => buffer.fill(0),
    cuModuleLoadDataEx: () => device.loadCubin(fakeCubin()),
    cuModuleGetFunction: () => module.kernel('fill'),
    cuFuncGetAttribute: () => module.kernel('fill'),
    cuFuncSetAttribute: () => kernel.launch(launch),
    cuOccupancyMaxActiveBlocksPerMultiprocessor: () => kernel.occupancy(128, 0),
    cuTensorMapEncodeTiled: () => device.tensorMap(device.alloc(128), { rows: 1, columns: 64, boxRows: 1 }),
    cuLaunchKernel: () => kernel.launch(launch),
    cuLaunchKernelEx: () => kernel.launch({ ...launch, programmatic: true }),
    cuStreamBeginCapture: () => device.capture(() => {}),
    cuGraphInstantiateWithFlags: () => device.capture(() => {}),
    cuGraphLaunch: () => graph.launch(),
    cuEventCreate: () => device.recordEvent(),
    cuEventRecord: () => device.recordEvent(),
    cuEventSynchronize: () => event.millisecondsSince(event),
    cuEventElapsedTime: () => event.millisecondsSince(event),
    // Last: the fake goes on capturing.
    cuStreamEndCapture: () => device.capture(() => {}),
  };
  for (const [name, run] of Object.entries(calls)) {
    fake.control({ [name]: 1 });
    expect(failure(run).message).toContain(`${name} failed: CUDA_ERROR_INVALID_VALUE (1)`);
    fake.control({});
    if (name !== 'cuStreamEndCapture') run();
  }
});
