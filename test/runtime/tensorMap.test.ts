/** Tensor maps: what the driver is asked for, the emulator's image, and the shapes that neither takes. */
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { Device, loadAddon, type DeviceBuffer, type TensorMapShape } from '../../src/runtime/index.ts';
import { failure } from './failure.ts';
import { FakeCuda, fakeCubin } from './fakes/fakes.ts';

const fake = new FakeCuda();
const addon = loadAddon();
addon.setCudaLibrary(fake.library);
fake.control({});
afterAll(() => {
  addon.setCudaLibrary();
  fake.remove();
});

const opened: Device[] = [];
async function open(kind: 'cuda' | 'emulator'): Promise<Device> {
  const device = await Device.open(kind);
  opened.push(device);
  return device;
}
afterEach(() => opened.splice(0).forEach((device) => device.dispose()));

const words = (map: Uint8Array<ArrayBuffer>) => [...new BigUint64Array(map.buffer)];
const shape: TensorMapShape = { rows: 5, columns: 192, boxRows: 64 };
const bytes = 5 * 192 * 2;

describe('on a GPU', () => {
  test('the driver gets the matrix with its fastest dimension first', async () => {
    const device = await open('cuda');
    const buffer = device.alloc(16 + bytes);
    fake.forgetCalls();
    // Type, address, dimensions, stride, box, element strides, interleave, swizzle, L2 promotion, fill, and what is over.
    expect(words(device.tensorMap(buffer.slice(16), shape))).toEqual([1n, buffer.address + 16n, 192n, 5n, 384n, 64n, 64n, 1n, 1n, 0n, 3n, 3n, 0n, 0n, 0n, 0n]);
    expect(fake.calls().get('cuTensorMapEncodeTiled')).toBe(1);
    expect(fake.calls().get('cuStreamSynchronize')).toBeUndefined();
  });

  test('a kernel gets a struct of several maps', async () => {
    const device = await open('cuda');
    const buffer = device.alloc(bytes);
    const kernel = device.loadCubin(fakeCubin()).kernel('echoMaps');
    const params = new Uint8Array(640);
    const into = device.alloc(640);
    new DataView(params.buffer).setBigUint64(0, into.address, true);
    for (const offset of [64, 192, 320, 448]) params.set(device.tensorMap(buffer, shape), offset);
    for (const programmatic of [false, true]) {
      into.fill(0);
      kernel.launch({ grid: 1, threads: 32, sharedBytes: 0, params, programmatic });
      expect(into.read()).toEqual(params);
    }
  });

  test('a driver before CUDA 12.0 cannot, and says so', async () => {
    const old = new FakeCuda(['-DOLD_DRIVER']);
    addon.setCudaLibrary(old.library);
    try {
      const device = await open('cuda');
      expect(failure(() => device.tensorMap(device.alloc(bytes), shape))).toMatchObject({
        code: 'MOA6001',
        message: expect.stringMatching(/no cuTensorMapEncodeTiled; CUDA 12\.0 or newer is needed/),
        cause: expect.objectContaining({ code: 'MOA_DRIVER_TOO_OLD' }),
      });
      device.dispose();
    } finally {
      addon.setCudaLibrary(fake.library);
      old.remove();
    }
  });
});

test('on the emulator it is the image of abi.h', async () => {
  const device = await open('emulator');
  const buffer = device.alloc(32 + bytes);
  const map = device.tensorMap(buffer.slice(16), shape);
  expect(map).toBeInstanceOf(Uint8Array);
  // Magic, address, rows, columns, bytes of a row, rows of a box; the rest is zeros.
  expect(words(map)).toEqual([0x4d4f412d544d4150n, buffer.address + 16n, 5n, 192n, 384n, 64n, ...new Array<bigint>(10).fill(0n)]);
});

describe.each(['cuda', 'emulator'] as const)('on %s', (kind) => {
  test('shapes at their limits', async () => {
    const device = await open(kind);
    const buffer = device.alloc(bytes);
    for (const legal of [{ ...shape, boxRows: 1 }, { ...shape, boxRows: 256 }, { rows: 1, columns: 960, boxRows: 8 }, { rows: 15, columns: 64, boxRows: 8 }]) {
      expect(device.tensorMap(buffer, legal)).toHaveLength(128);
    }
  });

  test('what is out of range is refused', async () => {
    const device = await open(kind);
    const buffer = device.alloc(bytes + 16);
    const wrong: readonly (readonly [DeviceBuffer, Partial<TensorMapShape>])[] = [
      [buffer, { rows: 0 }],
      [buffer, { rows: -1 }],
      [buffer, { rows: 1.5 }],
      [buffer, { rows: NaN }],
      [buffer, { rows: 6 }],
      [buffer, { rows: 2 ** 32 }],
      [buffer, { columns: 0 }],
      [buffer, { columns: 96 }],
      [buffer, { columns: 2 ** 40 }],
      [buffer, { boxRows: 0 }],
      [buffer, { boxRows: 257 }],
      [buffer, { boxRows: 0.5 }],
      [buffer.slice(8), {}],
      [buffer.slice(0, bytes - 1), {}],
      [buffer.slice(32), {}],
    ];
    for (const [of, changes] of wrong) expect([changes, failure(() => device.tensorMap(of, { ...shape, ...changes })).code]).toEqual([changes, 'MOA6007']);
    expect(failure(() => device.tensorMap(buffer, { ...shape, boxRows: '8' as never })).code).toBe('MOA6004');
    expect(failure(() => device.tensorMap(buffer.slice(8), shape)).message).toContain('must begin at a multiple of 16 bytes');
    expect(failure(() => device.tensorMap(buffer, { ...shape, columns: 96 })).message).toContain('columns must be a multiple of 64, got 96');
  });

  test('the native function checks all of it again, without overflow', async () => {
    const buffer = addon.allocate(kind === 'cuda' ? addon.openCuda(0) : addon.openEmulator({ seed: 0n, multiprocessors: 1, failOnBankConflict: false }), bytes);
    const map = (offset: number, rows: number, columns: number, boxRows: number) => addon.tensorMap(buffer, offset, rows, columns, boxRows);
    expect(map(16, 4, 192, 8)).toHaveLength(128);
    const range = expect.objectContaining({ name: 'RangeError', code: 'MOA_OUT_OF_RANGE' });
    const wrong: readonly (readonly [number, number, number, number])[] = [
      [16, 5, 192, 8],
      [8, 1, 64, 8],
      [2 ** 53 - 16, 1, 64, 8],
      [0, 2 ** 32 - 1, 2 ** 31 - 64, 8],
      [0, 2 ** 32, 64, 8],
      [0, 1, 2 ** 31, 8],
      [0, 1, 65, 8],
      [-16, 1, 64, 8],
    ];
    for (const values of wrong) expect(() => map(...values)).toThrow(range);
    expect(() => addon.tensorMap(buffer, 0, 1, 64, undefined as never)).toThrow(TypeError);
  });

  test('it is possible in a capture, and not of what has ended or is elsewhere', async () => {
    const device = await open(kind);
    const buffer = device.alloc(bytes);
    const before = device.tensorMap(buffer, shape);
    device.capture(() => expect(device.tensorMap(buffer, shape)).toEqual(before));
    const other = await open('emulator');
    expect(failure(() => other.tensorMap(buffer, shape)).code).toBe('MOA6004');
    const view = buffer.slice(0);
    buffer.dispose();
    for (const gone of [buffer, view]) expect(failure(() => device.tensorMap(gone, shape)).code).toBe('MOA6005');
    device.dispose();
    expect(failure(() => device.tensorMap(buffer, shape)).code).toBe('MOA6005');
  });
});
