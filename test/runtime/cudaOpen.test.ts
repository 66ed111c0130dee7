import { afterAll, beforeEach, expect, test } from 'vitest';
import { Device, loadAddon } from '../../src/runtime/index.ts';
import { FakeCuda, fakeCubin, fillParams } from './fakes/fakes.ts';

const fake = new FakeCuda();
const addon = loadAddon();
addon.setCudaLibrary(fake.library);
beforeEach(() => fake.control({}));
afterAll(() => {
  addon.setCudaLibrary();
  fake.remove();
});

test.each(['cuDeviceGet', 'cuDeviceGetName', 'cuDeviceTotalMem', 'cuDeviceGetAttribute', 'cuDevicePrimaryCtxRetain', 'cuStreamCreate'])(
  'opening fails cleanly when %s does',
  async (name) => {
    fake.forgetCalls();
    fake.control({ [name]: 719 });
    await expect(Device.open('cuda:1')).rejects.toMatchObject({ code: 'MOA6014', message: expect.stringContaining(`${name} failed`) });
    const calls = fake.calls();
    expect(calls.get('cuDevicePrimaryCtxRelease')).toBe(name === 'cuStreamCreate' ? 1 : undefined);
  },
);

test('a missing or unfit driver is told apart', async () => {
  const open = () => Device.open('cuda:0');
  fake.control({ devices: 0 });
  await expect(open()).rejects.toMatchObject({ code: 'MOA6001', message: expect.stringMatching(/no GPU is visible[^]*Device\.open\('emulator'\)/) });
  fake.control({ cuInit: 100 });
  expect(addon.cudaStatus()).toMatchObject({ available: false, reason: expect.stringContaining('no GPU is visible'), driverVersion: 12080 });
  fake.control({ cuInit: 803 });
  await expect(open()).rejects.toMatchObject({ code: 'MOA6001', message: expect.stringContaining('cuInit failed: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)') });
  fake.control({ version: 11020 });
  await expect(open()).rejects.toMatchObject({ code: 'MOA6001', message: expect.stringMatching(/supports CUDA 11\.2 at most; CUDA 11\.4 or newer is needed/) });
  fake.control({});
  await expect(Device.open('cuda:2')).rejects.toMatchObject({ code: 'MOA6003', message: expect.stringContaining('this process sees 2 GPU(s)') });
  for (const spec of ['cuda:', 'cuda:-1', 'CUDA:0', 'gpu', 'cuda:0x1', '']) {
    await expect(Device.open(spec as 'cuda')).rejects.toMatchObject({ code: 'MOA6004' });
  }
  addon.setCudaLibrary(`${fake.folder}/none.so`);
  await expect(open()).rejects.toMatchObject({ code: 'MOA6001', message: expect.stringContaining('none.so: cannot open') });
  // A library that is no driver at all.
  addon.setCudaLibrary('libc.so.6');
  await expect(open()).rejects.toMatchObject({ code: 'MOA6001', message: expect.stringContaining('has no cuInit') });
  addon.setCudaLibrary(fake.library);
});

test('a driver from before 12.4 cannot do all, and works', async () => {
  const old = new FakeCuda(['-DOLD_DRIVER']);
  addon.setCudaLibrary(old.library);
  try {
    using oldDevice = await Device.open('cuda:0');
    const buffer = oldDevice.alloc(64);
    const kernel = oldDevice.loadCubin(fakeCubin()).kernel('echo');
    kernel.launch({ grid: 1, threads: 32, sharedBytes: 0, params: fillParams(buffer.address, 1, 2) });
    const expected = new Uint8Array(64);
    expected.set(fillParams(buffer.address, 1, 2));
    expect(buffer.read()).toEqual(expected);
    // Nor launch programmatically, as drivers before 11.8.
    old.forgetCalls();
    kernel.launch({ grid: 1, threads: 32, sharedBytes: 0, params: fillParams(buffer.address, 1, 3), programmatic: true });
    expect(buffer.read().at(12)).toBe(3);
    expect(old.calls().get('cuLaunchKernel')).toBe(1);
  } finally {
    addon.setCudaLibrary(fake.library);
    old.remove();
  }
});
