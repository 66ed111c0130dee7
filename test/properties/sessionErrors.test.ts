/** What a session refuses, before any device work. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeviceBuffer } from '../../src/runtime/buffer.ts';
import { Device } from '../../src/runtime/device.ts';
import type { Plan } from '../../src/runtime/plan.ts';
import type { Case } from './case.ts';
import { makeTokens } from './runCase.ts';
import { smallShapes } from './shapes.ts';
import { target } from './suite.ts';
import { TensorSet } from './tensors.ts';

const shape = smallShapes.bf16_d64_2x2;
const testCase: Case = { shape: 'bf16_d64_2x2', rules: [[[128, 0, 1], [0, 1, 1]]], bound: 130, prefill: [128, 3], decodes: 4, lane: 'normal', seed: 1 };
const tokens = makeTokens(testCase)[0]!;
let device: Device;
let plan: Plan;

const prefillTensors = (lengths: readonly number[]): TensorSet => new TensorSet(device, shape, lengths.map((end, n) => ({ inputs: tokens[n]!.given, begin: 0, end })));
const code = (number: string) => expect.objectContaining({ code: number });

beforeAll(async () => {
  device = await target.device();
  plan = await target.load(device, { shape: testCase.shape, rules: testCase.rules, rope: false });
}, 120_000);
afterAll(() => plan.dispose());

describe('a session', () => {
  test('holds exactly its length bound, and refuses one token more', () => {
    using session = plan.createSession({ batch: 2, lengthBound: 130 });
    using start = prefillTensors([128, 3]);
    using step = prefillTensors([1, 1]);
    session.prefill(0, start);
    session.decode(0, step);
    session.decode(0, step);
    expect([...session.lengths(0)]).toEqual([130, 5]);
    expect(() => session.decode(0, step)).toThrow(code('MOA6101'));
    expect([...session.lengths(0)]).toEqual([130, 5]);
    expect(() => session.prefill(0, { ...fields(start), cuSeqlens: [0, 131, 131] })).toThrow(code('MOA6101'));
  });

  test('refuses layers that do not exist', () => {
    using session = plan.createSession({ batch: 1, lengthBound: 10 });
    using tensors = prefillTensors([1]);
    for (const layer of [1, -1, 0.5, NaN]) expect(() => session.decode(layer, tensors)).toThrow(code('MOA6102'));
  });

  test('refuses tensors that are too small or not aligned', () => {
    using session = plan.createSession({ batch: 2, lengthBound: 130 });
    using tensors = prefillTensors([2, 2]);
    for (const name of ['q', 'k', 'v', 'out', 'lse'] as const) {
      expect(() => session.prefill(0, { ...fields(tensors), [name]: tensors[name].slice(0, tensors[name].bytes - 2) }), name).toThrow(code('MOA6103'));
    }
    using larger = device.alloc(tensors.q.bytes + 16);
    expect(() => session.prefill(0, { ...fields(tensors), q: larger.slice(2) })).toThrow(code('MOA6103'));
    expect([...session.lengths(0)]).toEqual([0, 0]);
  });

  test('refuses tensors of another type, shape or device, or that are none, and goes on', async () => {
    using session = plan.createSession({ batch: 2, lengthBound: 130 });
    using tensors = prefillTensors([1, 1]);
    using other = await Device.open('emulator');
    const { queryHeads, headDim } = shape;
    using good = device.tensor([2, queryHeads, headDim], 'bf16');
    using whole = device.tensor([2, 1, queryHeads, headDim], 'bf16');
    using fp16 = device.tensor([2, queryHeads, headDim], 'fp16');
    using turned = device.tensor([2, headDim, queryHeads], 'bf16');
    using longer = device.tensor([3, queryHeads, headDim], 'bf16');
    using gone = device.tensor([2, queryHeads, headDim], 'bf16');
    gone.dispose();
    using foreign = other.tensor([2, queryHeads, headDim], 'bf16');
    for (const q of [fp16, turned, longer, foreign, undefined, null, new Uint16Array(9), 7] as unknown as DeviceBuffer[]) {
      expect(() => session.decode(0, { ...fields(tensors), q }), String(q)).toThrow(code('MOA6103'));
      expect(() => session.prefill(0, { ...fields(tensors), q }), String(q)).toThrow(code('MOA6103'));
    }
    expect(() => session.decode(0, { ...fields(tensors), q: gone })).toThrow(code('MOA6005'));
    expect(() => session.decode(0, { ...fields(tensors), lse: good })).toThrow(code('MOA6103'));
    expect(() => session.decode(0, { ...fields(tensors), tokens: 2 })).toThrow(code('MOA6111'));
    for (const slot of [2, -1, 0.5, NaN]) for (const call of [() => session.leave(slot), () => session.fork(slot), () => session.truncate(slot, 0)]) expect(call, String(slot)).toThrow(code('MOA6107'));
    for (const length of [1, -1, 0.5, NaN]) expect(() => session.truncate(0, length), String(length)).toThrow(code('MOA6110'));
    for (const lengthBound of [0, 131, 1.5, NaN]) expect(() => session.join({ lengthBound }), String(lengthBound)).toThrow(code('MOA6106'));
    expect(() => session.join()).toThrow(code('MOA6108'));
    for (const q of [good, whole]) session.decode(0, { ...fields(tensors), q: q.copyFrom(tensors.q.slice(0, q.bytes)) });
    expect([...session.lengths(0)]).toEqual([2, 2]);
  });

  test('of no slot takes every call, and does nothing', () => {
    using session = plan.createSession({ batch: 0, lengthBound: 130 });
    using none = prefillTensors([]);
    session.prefill(0, none);
    session.decode(0, none);
    using step = session.capture(() => session.decode(0, none));
    step.launch();
    session.reset();
    expect([...session.lengths(0)]).toEqual([]);
    expect(session.memory.cache).toBe(0);
    expect(() => session.join()).toThrow(code('MOA6108'));
  });

  test('refuses cuSeqlens that are no packing of its batch', () => {
    using session = plan.createSession({ batch: 2, lengthBound: 130 });
    using tensors = prefillTensors([2, 2]);
    for (const cuSeqlens of [[0, 2], [0, 2, 4, 6], [1, 2, 4], [0, 3, 2], [0, 1.5, 4], [0, NaN, 4], [0, -1, 4]]) {
      expect(() => session.prefill(0, { ...fields(tensors), cuSeqlens }), cuSeqlens.join()).toThrow(code('MOA6104'));
    }
  });

  test('goes on behind what sequences hold, up to its length bound; reset forgets it', () => {
    using session = plan.createSession({ batch: 2, lengthBound: 4 });
    using first = prefillTensors([0, 3]);
    using both = prefillTensors([2, 1]);
    session.prefill(0, first);
    session.prefill(0, both);
    expect([...session.lengths(0)]).toEqual([2, 4]);
    expect(() => session.prefill(0, both)).toThrow(code('MOA6101'));
    session.prefill(0, { ...fields(both), cuSeqlens: [0, 2, 2] });
    expect([...session.lengths(0)]).toEqual([4, 4]);
    session.reset();
    session.prefill(0, both);
    expect([...session.lengths(0)]).toEqual([2, 1]);
  });

  test('refuses to capture a prefill, and a launch that does not fit', () => {
    using session = plan.createSession({ batch: 2, lengthBound: 4 });
    using tensors = prefillTensors([1, 1]);
    expect(() => session.capture(() => session.prefill(0, tensors))).toThrow();
    expect(() => session.capture(() => session.capture(() => {}))).toThrow(code('MOA6011'));
    using step = session.capture(() => {
      session.decode(0, tensors);
      session.decode(0, tensors);
    });
    expect([...session.lengths(0)]).toEqual([0, 0]);
    step.launch();
    step.launch();
    expect([...session.lengths(0)]).toEqual([4, 4]);
    expect(() => step.launch()).toThrow(code('MOA6101'));
  });

  test('is checked after dispose', () => {
    const session = plan.createSession({ batch: 2, lengthBound: 130 });
    using tensors = prefillTensors([1, 1]);
    session.dispose();
    session.dispose();
    for (const use of [() => session.decode(0, tensors), () => session.prefill(0, tensors), () => session.lengths(0), () => session.reset(), () => session.cachedTokens(0, 0, 0), () => session.capture(() => {})]) {
      expect(use).toThrow(code('MOA6005'));
    }
  });

  test('refuses options that make no sense', () => {
    for (const options of [{ batch: -1, lengthBound: 1 }, { batch: 1, lengthBound: 1, pages: 0.5 }, { batch: 1.5, lengthBound: 1 }, { batch: 1, lengthBound: 0 }, { batch: 1, lengthBound: 2 ** 28 }, { batch: 1, lengthBound: 1, scale: 0 }, { batch: 1, lengthBound: 1, scale: NaN }]) {
      expect(() => plan.createSession(options), JSON.stringify(options)).toThrow(code('MOA6106'));
    }
  });

  test('refuses logits of learned sinks that are not its plan\'s', async () => {
    const shapeOptions = { batch: 2, lengthBound: 130 };
    expect(() => plan.createSession({ ...shapeOptions, sinkLogits: [[0, 0]] })).toThrow(code('MOA6106'));
    using withSinks = await target.load(device, { shape: testCase.shape, rules: testCase.rules, rope: false, learnedSinks: true });
    expect(withSinks.definition.attention).toMatchObject({ learnedSinks: true });
    expect(() => withSinks.createSession(shapeOptions)).toThrow(/^MOA6106: sinkLogits are missing/);
    for (const sinkLogits of [[], [[0]], [[0, 0], [0, 0]], [[0, 0, 0]], [[0, NaN]], [[Infinity, 0]], [[1e39, 0]]]) {
      expect(() => withSinks.createSession({ ...shapeOptions, sinkLogits }), JSON.stringify(sinkLogits)).toThrow(code('MOA6106'));
    }
    withSinks.createSession({ ...shapeOptions, sinkLogits: [[-Infinity, 1]] }).dispose();
  });

  test('needs the bytes that it said it would', () => {
    using session = plan.createSession({ batch: 2, lengthBound: 1000 });
    expect(session.memory.cache).toBe(plan.memory({ batch: 2, lengthBound: 1000 }).cache);
    // Spans 128 and 1024 in pages of 64 tokens x 64 elements x 2 bytes, keys and values, for two sequences.
    expect(session.memory.cache).toBe(2 * (2 + 16) * 2 * 64 * 64 * 2);
  });
});

function fields({ q, k, v, out, lse, cuSeqlens }: TensorSet) {
  return { q, k, v, out, lse, cuSeqlens };
}

describe('a mixed step', () => {
  const wide = (): TensorSet => prefillTensors([12, 3]);

  test('takes numbers of its own session that fit the budget, and changes nothing otherwise', () => {
    using session = plan.createSession({ batch: 2, lengthBound: 14 });
    using other = plan.createSession({ batch: 2, lengthBound: 130 });
    using tensors = wide();
    for (const budget of [0, -1, 1.5, NaN, 2 ** 25, '4']) expect(() => session.newTokens({ budget: budget as number }), String(budget)).toThrow(code('MOA6106'));
    const numbers = session.newTokens({ budget: 15 });
    for (const counts of [[1], [1, 2, 3], [-1, 0], [0.5, 1], [NaN, 1], [8, 8], null, 3, '11']) {
      expect(() => numbers.set(counts as never), String(counts)).toThrow(code('MOA6113'));
    }
    expect([...numbers.counts]).toEqual([0, 0]);
    numbers.set([1, 3]);
    const call = { ...fields(tensors), cuSeqlens: numbers };
    expect(() => other.step(0, call)).toThrow(code('MOA6104'));
    expect(() => session.step(0, { ...call, tokens: 1 } as never)).toThrow(code('MOA6112'));
    expect(() => session.step(0, { ...call, q: tensors.q.slice(0, 14 * 256) })).toThrow(code('MOA6103'));
    expect([...session.lengths(0), ...other.lengths(0)]).toEqual([0, 0, 0, 0]);
    session.step(0, call);
    expect([...session.lengths(0)]).toEqual([1, 3]);
    expect(() => session.step(0, { ...fields(tensors), cuSeqlens: [0, 14, 14] })).toThrow(code('MOA6101'));
    numbers.dispose();
    expect(() => session.step(0, call)).toThrow(code('MOA6005'));
  });

  test('is captured with numbers on the device, and each launch is checked', () => {
    using session = plan.createSession({ batch: 2, lengthBound: 20, slots: 'free' });
    using tensors = wide();
    const numbers = session.newTokens({ budget: 15 });
    const call = { ...fields(tensors), cuSeqlens: numbers };
    expect(() => session.capture(() => session.step(0, { ...call, cuSeqlens: [0, 1, 2] }))).toThrow(code('MOA6011'));
    expect(() => session.capture(() => void session.newTokens({ budget: 15 }))).toThrow(code('MOA6011'));
    using step = session.capture(() => session.step(0, call));
    step.launch();
    numbers.set([12, 0]);
    expect(() => step.launch()).toThrow(code('MOA6107'));
    session.add();
    step.launch();
    expect([...session.lengths(0)]).toEqual([12, -1]);
    expect(() => step.launch()).toThrow(code('MOA6101'));
    numbers.set([8, 1]);
    expect(() => step.launch()).toThrow(code('MOA6107'));
    session.add();
    step.launch();
    expect([...session.lengths(0)]).toEqual([20, 1]);
    numbers.dispose();
    expect(() => step.launch()).toThrow(code('MOA6005'));
  });
});
