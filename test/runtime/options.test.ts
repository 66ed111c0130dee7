/** Options of devices, packages and sessions are read strictly: unknown keys, wrong types and numbers that are none as float32 are numbered errors. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Device, RuntimeError, type DeviceBuffer, type SessionOptions } from '../../src/runtime/index.ts';
import { Plan } from '../../src/runtime/plan.ts';
import { compileSpec, type PlanSpec } from '../properties/plans.ts';
import { idlePlan as planOfIdleKernels } from './fakes/kernels.ts';

const spec: PlanSpec = { shape: 'bf16_d64_2x2', rules: [[[128, 0, 1], [0, 1, 1]]], rope: true };
const good = { batch: 1, lengthBound: 100 };
const code = (number: string, message: string | RegExp = '') => expect.objectContaining({ code: number, message: typeof message === 'string' ? expect.stringContaining(message) : expect.stringMatching(message) });

let device: Device;
let buffer: DeviceBuffer;
beforeAll(async () => {
  device = await Device.open('emulator');
  buffer = device.alloc(1 << 12);
});
afterAll(() => device.dispose());

/** A plan whose kernels do nothing. */
const idlePlan = (of: PlanSpec = spec): Plan => planOfIdleKernels(device, compileSpec(of).definition);

/** Values of every type that is no number. */
const noNumbers: readonly unknown[] = ['1', '', null, true, 1n, Symbol('one'), [1], {}, () => 1, new Float32Array(1), NaN];

describe('sessions', () => {
  const create = (options: object) => () => idlePlan().createSession({ ...good, ...options } as SessionOptions).dispose();

  test('refuse keys that they do not know, and say which was meant', () => {
    for (const [key, meant] of [['lenghtBound', 'lengthBound'], ['length_bound', 'lengthBound'], ['Scale', 'scale'], ['softmaxScale', undefined], ['ropes', 'rope'], ['cache_scales', 'cacheScales'], ['sinkLogit', 'sinkLogits'], ['maxBatch', undefined], ['decodeToken', 'decodeTokens'], ['balance', undefined]] as const) {
      expect(create({ [key]: 1 }), key).toThrow(code('MOA6106', meant === undefined ? 'known are batch' : `did you mean ${meant}?`));
      expect(create({ [key]: undefined }), key).toThrow(code('MOA6106', `"${key}" is not known`));
    }
    expect(() => idlePlan().memory({ ...good, lenghtBound: 7 } as SessionOptions)).toThrow(code('MOA6106', 'did you mean lengthBound?'));
    for (const options of [undefined, null, 7, 'batch', [], [good], new Float32Array(2), () => good, new Map(Object.entries(good))]) {
      expect(() => idlePlan().createSession(options as unknown as SessionOptions), String(options)).toThrow(code('MOA6106'));
    }
    create({ scale: undefined, layers: [0], slots: 'free', poolByte: 255, pageOrder: (pages: number) => Int32Array.from({ length: pages }, (_, page) => page) })();
  });

  test.each(['batch', 'lengthBound', 'pages', 'decodeTokens', 'poolByte', 'scale', 'layers', 'slots', 'elementType', 'pageOrder', 'cacheScales', 'sinkLogits'])('refuse a %s of another type', (name) => {
    const possible: Readonly<Record<string, (value: unknown) => boolean>> = { pageOrder: (value) => typeof value === 'function' };
    for (const value of noNumbers) {
      if (possible[name]?.(value) === true) continue;
      expect(create({ [name]: value }), `${name}: ${String(typeof value)}`).toThrow(RuntimeError);
      expect(create({ [name]: value }), `${name}: ${String(typeof value)}`).toThrow(code('MOA6106'));
    }
  });

  test('check numbers as the float32 that they become', () => {
    for (const scale of [1e39, 3.5e38, 1e-46, 7e-46, 0, -0, -1, NaN, Infinity, -Infinity, 3e38]) expect(create({ scale }), String(scale)).toThrow(code('MOA6106', /^MOA6106: scale is /));
    for (const scale of [1e-3, 1, 0.125, 1e30, 2e-45]) expect(create({ scale }), String(scale)).not.toThrow();
    const scaled = idlePlan({ ...spec, cacheType: 'e4m3' });
    const scales = (value: unknown) => () => scaled.createSession({ ...good, cacheScales: { keys: [[1, 1]], values: [[1, value as number]] } }).dispose();
    for (const value of [1e39, 1e36, 0, -0, 1e-46, 1e-39, -1, NaN, Infinity, ...noNumbers]) expect(scales(value), String(typeof value)).toThrow(code('MOA6106', 'cacheScales.values[0][1] is '));
    for (const value of [1, 0.002, 1e30, 1e-30]) expect(scales(value), String(value)).not.toThrow();
    const one = { keys: [[1, 1]], values: [[1, 1]] };
    for (const [cacheScales, message] of [[{ ...one, key: [] }, 'did you mean keys?'], [{ keys: one.keys }, 'cacheScales.values is undefined'], [{ ...one, keys: ['11'] }, 'cacheScales.keys[0] is "11"'], [{ ...one, keys: [Float32Array.of(1, 0)] }, 'keys[0][1] is 0'], [[[1, 1]], 'an array of 1']] as const) {
      expect(() => scaled.createSession({ ...good, cacheScales: cacheScales as never })).toThrow(code('MOA6106', message));
    }
    scaled.createSession({ ...good, cacheScales: { keys: [Float32Array.of(1, 2)], values: [[1, 1]] } }).dispose();
  });

  test('check logits of sinks as float32, each a number', () => {
    const plan = idlePlan({ ...spec, learnedSinks: true });
    const logits = (value: unknown) => () => plan.createSession({ ...good, sinkLogits: [[0, value as number]] }).dispose();
    for (const value of [1e39, -1e39, NaN, Infinity, ...noNumbers]) expect(logits(value), String(typeof value)).toThrow(code('MOA6106', 'sinkLogits[0][1] is '));
    for (const value of [3e38, -3e38, 0, -0, -Infinity, 1e-46]) expect(logits(value), String(value)).not.toThrow();
    for (const sinkLogits of ['00', [['0', '0']], [new Map()], new Float32Array(2), [0], {}]) expect(() => plan.createSession({ ...good, sinkLogits: sinkLogits as never })).toThrow(code('MOA6106'));
    plan.createSession({ ...good, sinkLogits: [Float32Array.of(1, -Infinity)] }).dispose();
  });

  test('refuse keys of calls that they do not know', () => {
    using session = idlePlan().createSession({ ...good, slots: 'free' });
    const tensors = { q: buffer, k: buffer, v: buffer, out: buffer };
    for (const key of ['LSE', 'lsee', 'token', 'o', 'mask']) {
      expect(() => session.decode(0, { ...tensors, [key]: buffer } as never), key).toThrow(code('MOA6112', `"${key}" is not known`));
      expect(() => session.prefill(0, { ...tensors, cuSeqlens: [0, 0], [key]: buffer } as never), key).toThrow(code('MOA6112', `"${key}" is not known`));
    }
    expect(() => session.prefill(0, { ...tensors, cu_seqlens: [0, 0] } as never)).toThrow(code('MOA6112', 'did you mean cuSeqlens?'));
    expect(() => session.prefill(0, { ...tensors, cuSeqlens: [0, 0], tokens: 1 } as never)).toThrow(code('MOA6112'));
    for (const call of [undefined, null, 3, 'q', []]) expect(() => session.decode(0, call as never), String(call)).toThrow(code('MOA6112'));
    for (const cuSeqlens of [undefined, null, 3, '00', {}, buffer, new BigInt64Array(2), [0, '1'], [0, 1n]]) expect(() => session.prefill(0, { ...tensors, cuSeqlens } as never)).toThrow(code('MOA6104'));
    for (const add of [session.add.bind(session), session.join.bind(session)]) {
      expect(() => add({ lengthbound: 7 } as never)).toThrow(code('MOA6106', 'did you mean lengthBound?'));
      for (const options of [null, 7, [7], { lengthBound: 101 }, { lengthBound: 0 }, { lengthBound: 1.5 }]) {
        expect(() => add(options as never)).toThrow(code('MOA6106'));
      }
    }
    for (const step of [undefined, null, {}, 'decode']) {
      expect(() => session.capture(step as never)).toThrow(RuntimeError);
      expect(() => device.capture(step as never)).toThrow(code('MOA6004'));
    }
    expect([...session.lengths(0)]).toEqual([-1]);
    expect(session.usage().held).toBe(0);
  });
});

describe('devices', () => {
  const open = (options: unknown, name: unknown = 'emulator') => Device.open(name as 'emulator', options as object);

  test('refuse options that they do not know, or of another type', async () => {
    for (const [options, message] of [
      [{ seeds: 1 }, 'did you mean seed?'],
      [{ multiProcessors: 1 }, 'did you mean multiprocessors?'],
      [{ failOnBankConflicts: true }, 'did you mean failOnBankConflict?'],
      [{ arch: 'sm_90a' }, '"arch" is not known'],
      [{ seed: '1' }, 'the seed is "1"'],
      [{ seed: null }, 'the seed is null'],
      [{ seed: 0.5 }, 'the seed is 0.5'],
      [{ multiprocessors: '8' }, 'multiprocessors is "8"'],
      [{ multiprocessors: null }, 'multiprocessors is null'],
      [{ multiprocessors: NaN }, 'multiprocessors is NaN'],
      [{ failOnBankConflict: 1 }, 'failOnBankConflict is 1'],
      [{ failOnBankConflict: null }, 'failOnBankConflict is null'],
      [{ architecture: 'sm_90b' }, /is "sm_90b"; did you mean sm_90a?/],
      [{ architecture: 90 }, 'architecture is 90'],
      [{ architecture: 'native' }, 'it is one of sm_80'],
      [null, 'is null'],
      [[], 'is an array of 0'],
    ] as const) {
      await expect(open(options), JSON.stringify(options)).rejects.toThrow(code('MOA6004', message));
      if (options !== null && 'seeds' in options) await expect(open(options, 'cuda:0')).rejects.toThrow(code('MOA6004', message));
    }
    await expect(open({ architecture: 'sm_90' }, 'cuda')).rejects.toThrow(code('MOA6004', 'architecture is for the emulator'));
    for (const name of ['gpu', '', null, 0, ['emulator'], Symbol('cuda'), 'cuda:-1', 'CUDA']) await expect(open({}, name)).rejects.toThrow(code('MOA6004'));
    for (const architecture of ['sm_90a', '9.0a', '90A']) {
      using opened = await open({ architecture });
      expect(opened.emulatedArchitecture).toBe('sm_90a');
    }
  });

  test('make tensors of known element types alone', () => {
    for (const type of ['f32', 'float32', 'bfloat16', undefined, null, 2]) expect(() => device.tensor([1, 2], type as 'bf16')).toThrow(code('MOA6004', 'is no element type'));
    for (const shape of [undefined, null, 4, '4', [1n], ['4'], [-1], [0.5]]) expect(() => device.tensor(shape as number[], 'bf16')).toThrow(code('MOA6004', 'is no shape'));
  });
});

describe('packages', () => {
  const folder = mkdtempSync(join(tmpdir(), 'moa-options-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const { definition } = compileSpec(spec);
  const load = (options: unknown, on = device, of = definition) => Plan.load(on, of, pathToFileURL(`${folder}/`), options as object);

  test('refuse options that they do not know, and element types that they lack', async () => {
    for (const [options, number, message] of [
      [{ elementType: 'bf16' }, 'MOA6004', 'did you mean elementTypes?'],
      [{ dtype: 'bf16' }, 'MOA6004', 'known are elementTypes'],
      [{ elementTypes: 'bf16' }, 'MOA6004', 'elementTypes is "bf16"'],
      [{ elementTypes: null }, 'MOA6004', 'elementTypes is null'],
      [null, 'MOA6004', 'load is null'],
      ['bf16', 'MOA6004', 'load is "bf16"'],
      [{ elementTypes: [] }, 'MOA6202', 'elementTypes is empty'],
      [[], 'MOA6202', 'elementTypes is empty'],
      [{ elementTypes: ['fp16'] }, 'MOA6202', 'no kernels for the element type "fp16"; the package has bf16'],
      [{ elementTypes: ['bf16', 'fp16'] }, 'MOA6202', '"fp16"'],
      [{ elementTypes: [1n] }, 'MOA6202', 'the BigInt 1'],
    ] as const) {
      await expect(load(options), String(options)).rejects.toThrow(code(number, message));
    }
  });

  test('of machine code alone are refused by the emulator, and so is a kernel that is missing', async () => {
    await expect(load({}, device, { ...definition, cubins: { sm_90: 'cubin/sm_90.cubin' } })).rejects.toThrow(code('MOA6206', 'holds no sources'));
  });

  test('are refused by an emulator that was opened for an architecture that they lack', async () => {
    using hopper = await Device.open('emulator', { architecture: 'sm_90a' });
    await expect(load({}, hopper)).rejects.toThrow(code('MOA6203', /opened for the kernels of sm_90a, and the package has those of sm_90/));
  });
});
