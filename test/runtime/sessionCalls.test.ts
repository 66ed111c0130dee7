/** What a session's calls ask of the driver: launches and copies to the device. Nothing is read or waited for. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Device, loadAddon, type DeviceBuffer, type Session } from '../../src/runtime/index.ts';
import type { Plan } from '../../src/runtime/plan.ts';
import type { PrefillTensors } from '../../src/runtime/sessionTypes.ts';
import { compileSpec, type PlanSpec } from '../properties/plans.ts';
import { FakeCuda, fakeCubin, waitingFunctions } from './fakes/fakes.ts';
import { planOf } from './fakes/kernels.ts';

const rules: PlanSpec['rules'] = [[[128, 0, 1], [0, 1, 1]], [[128, 0, 1], [128, 0, 1]], [[0, 1, 1], [0, 1, 1]]];
const spec: PlanSpec = { shape: 'bf16_d64_2x2', rules, rope: true, slack: 64, decodeTokens: 4 };
const layers = [0, 1, 2];
const options = { batch: 3, lengthBound: 300, decodeTokens: 4, slots: 'free' } as const;

const fake = new FakeCuda(['-DOLD_DRIVER']);
const addon = loadAddon();
addon.setCudaLibrary(fake.library);
let device: Device;
let tensor: DeviceBuffer;

beforeAll(async () => {
  fake.control({ anyKernel: 1 });
  device = await Device.open('cuda');
  tensor = device.alloc(1 << 18);
});
afterAll(() => {
  device.dispose();
  addon.setCudaLibrary();
  fake.remove();
});

/** What the driver is asked for, by function, besides whose context is current and the events behind copies. */
function askedFor(call: () => unknown): Readonly<Record<string, number>> {
  fake.forgetCalls();
  call();
  const calls = [...fake.calls()].filter(([name]) => name !== '' && !/^cu(Ctx(Push|Pop)Current|Event(Create|Record|Query))$/.test(name));
  return Object.fromEntries(calls);
}

/** Fails where the driver is asked for what waits, or copies from the device. */
function doesNotWait(call: () => unknown): void {
  expect(Object.keys(askedFor(call)).filter((name) => waitingFunctions.has(name))).toEqual([]);
}

const plain = () => ({ q: tensor, k: tensor, v: tensor, out: tensor });
const prompt = (...cuSeqlens: readonly number[]): PrefillTensors => ({ ...plain(), cuSeqlens });

/** The longest prompt first, so that all later ones have their room. */
function prepared(plan: Plan): Session {
  const session = plan.createSession(options);
  for (let slot = 0; slot < 2; slot += 1) session.add();
  for (const layer of layers) session.prefill(layer, prompt(0, 100, 200, 200));
  for (const layer of layers) session.decode(layer, plain());
  for (const layer of layers) session.decode(layer, { ...plain(), tokens: 2, counts: [1, 2, 0] });
  session.reset();
  return session;
}

describe.each([
  ['of 16 bits', spec],
  ['of 8 bits', { ...spec, cacheType: 'e4m3' }],
] as const)('with a cache %s', (_, of) => {
  let plan: Plan;
  beforeAll(() => {
    const module = device.loadCubin(fakeCubin());
    plan = planOf(device, compileSpec(of).definition, ({ name }) => module.kernel(name));
  });

  test('a session is made without waiting, and its first calls do not wait', () => {
    let session: Session | undefined;
    doesNotWait(() => (session = plan.createSession({ ...options, slots: 'held' })));
    for (const [call, tensors] of [['first', prompt(0, 5, 5, 5)], ['next', prompt(0, 1, 2, 3)]] as const) {
      for (const layer of layers) doesNotWait(() => session!.prefill(layer, tensors));
      expect([...session!.lengths(2)], call).toEqual(call === 'first' ? [5, 0, 0] : [6, 1, 1]);
    }
    for (const layer of layers) doesNotWait(() => session!.decode(layer, plain()));
    for (const counts of [[1, 2, 3], [0, 0, 4]]) {
      for (const layer of layers) doesNotWait(() => session!.decode(layer, { ...plain(), tokens: 4, counts }));
    }
    session!.dispose();
  });

  test('a change of sequences is one launch', () => {
    using session = prepared(plan);
    expect(askedFor(() => session.add())).toEqual({ cuLaunchKernel: 1 });
    for (const layer of layers) session.prefill(layer, prompt(0, 70, 70, 70));
    expect(askedFor(() => session.remove(1))).toEqual({ cuLaunchKernel: 1 });
    expect(askedFor(() => session.fork(0))).toEqual({ cuLaunchKernel: 1 });
    expect(askedFor(() => session.truncate(1, 10))).toEqual({ cuLaunchKernel: 1 });
    expect(askedFor(() => session.reset())).toEqual({ cuLaunchKernel: 3 });
    const looks = () => [session.usage(), session.lengths(0), session.lengthBounds(), session.pagesInUse(1)];
    expect(askedFor(looks)).toEqual({});
  });

  test('a prefill is a copy and launches: two that plan, and those of each layer', () => {
    using session = prepared(plan);
    const asked = (...cuSeqlens: readonly number[]) =>
      layers.map((layer) => askedFor(() => session.prefill(layer, prompt(...cuSeqlens))));
    const [plans, own, expands] = [2, 2, of === spec ? 0 : 1];
    const others = { cuLaunchKernel: own };
    const whole = { cuMemcpyHtoDAsync: 1, cuLaunchKernel: plans + own };
    expect(asked(0, 70, 100, 100), 'whole').toEqual([whole, others, others]);
    const chunk = { cuLaunchKernel: own + expands };
    const first = askedFor(() => session.prefill(0, prompt(0, 1, 2, 2)));
    // The first chunk of a cache of 8 bits takes room for its pages.
    if (of === spec) expect(first).toEqual(whole);
    for (const layer of [1, 2]) expect(askedFor(() => session.prefill(layer, prompt(0, 1, 2, 2)))).toEqual(chunk);
    const again = { cuMemcpyHtoDAsync: 1, cuLaunchKernel: plans + own + expands };
    expect(asked(0, 1, 2, 2), 'the next chunk').toEqual([again, chunk, chunk]);
  });

  test('a decode is a launch of each layer, and one before the first', () => {
    using session = prepared(plan);
    const asked = (more: { readonly tokens?: number; readonly counts?: readonly number[] } = {}) =>
      layers.map((layer) => askedFor(() => session.decode(layer, { ...plain(), ...more })));
    const one = { cuLaunchKernel: 1 };
    for (let step = 0; step < 70; step += 1) expect(asked()).toEqual([{ cuLaunchKernel: 2 }, one, one]);
    // Several tokens are appended by a launch of their own.
    const many = { cuLaunchKernel: 2 };
    for (let step = 0; step < 3; step += 1) expect(asked({ tokens: 4 })).toEqual([{ cuLaunchKernel: 3 }, many, many]);
    const counted = [{ cuMemcpyHtoDAsync: 1, cuLaunchKernel: 3 }, many, many];
    expect(asked({ tokens: 4, counts: [1, 0, 0] })).toEqual(counted);
    expect(asked({ tokens: 4, counts: [0, 2, 0] })).toEqual(counted);
    // These counts lie there still.
    expect(asked({ tokens: 4, counts: [0, 2, 0] })).toEqual([{ cuLaunchKernel: 3 }, many, many]);
  });

  test('a graph is one launch, and its counts are copied once', () => {
    using session = prepared(plan);
    using step = session.capture(() => layers.forEach((layer) => session.decode(layer, plain())));
    const counts = [1, 3, 0];
    const decodeCounted = (layer: number): void => session.decode(layer, { ...plain(), tokens: 3, counts });
    using counted = session.capture(() => layers.forEach(decodeCounted));
    for (let n = 0; n < 3; n += 1) expect(askedFor(() => step.launch())).toEqual({ cuGraphLaunch: 1 });
    expect(askedFor(() => counted.launch())).toEqual({ cuMemcpyHtoDAsync: 1, cuGraphLaunch: 1 });
    expect(askedFor(() => counted.launch())).toEqual({ cuGraphLaunch: 1 });
    expect([...session.lengths(1)]).toEqual([5, 9, -1]);
  });

  test('what is refused asks for nothing', () => {
    // 250 tokens and 1 take 27 pages: rings of 192 tokens and of all.
    using session = plan.createSession({ ...options, pages: 30 });
    for (let slot = 0; slot < 3; slot += 1) session.add();
    for (const layer of layers) session.prefill(layer, prompt(0, 250, 251, 251));
    expect(session.usage()).toMatchObject({ held: 27, free: 3 });
    const refused: readonly (readonly [string, () => unknown])[] = [
      ['MOA6109', () => session.prefill(0, prompt(0, 0, 250, 250))],
      ['MOA6101', () => session.prefill(0, prompt(0, 51, 51, 51))],
      ['MOA6108', () => session.add()],
      ['MOA6108', () => session.fork(0)],
      ['MOA6107', () => session.remove(3)],
      ['MOA6110', () => session.truncate(0, 251)],
      ['MOA6110', () => session.truncate(0, 150)],
      ['MOA6111', () => session.decode(0, { ...plain(), tokens: 5 })],
      ['MOA6113', () => session.decode(0, { ...plain(), tokens: 2, counts: [3, 0, 0] })],
    ];
    for (const [code, call] of refused) {
      const asked = askedFor(() => expect(call, code).toThrow(expect.objectContaining({ code })));
      expect(asked, code).toEqual({});
    }
  });
});
