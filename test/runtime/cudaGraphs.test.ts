/** Graphs of several sessions on the CUDA path, with a driver whose kernels do nothing: what is launched, refused and counted. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Device, loadAddon } from '../../src/runtime/index.ts';
import type { Plan } from '../../src/runtime/plan.ts';
import { fixedHistory, graphSpec, historyArbitrary, runHistory } from '../properties/graphHistory.ts';
import { compileSpec } from '../properties/plans.ts';
import { failure } from './failure.ts';
import { FakeCuda, fakeCubin } from './fakes/fakes.ts';
import { planOf } from './fakes/kernels.ts';

const fake = new FakeCuda(['-DOLD_DRIVER']);
const addon = loadAddon();
addon.setCudaLibrary(fake.library);
let device: Device;
let plan: Plan;

beforeAll(async () => {
  fake.control({ anyKernel: 1 });
  device = await Device.open('cuda');
  const { definition } = compileSpec(graphSpec);
  const module = device.loadCubin(fakeCubin());
  plan = planOf(device, definition, ({ name }) => module.kernel(name));
});
afterAll(() => {
  device.dispose();
  addon.setCudaLibrary();
  fake.remove();
});

test('a fixed history and random ones', () => {
  runHistory(device, plan, 2, fixedHistory, { computes: false });
  fc.assert(
    fc.property(historyArbitrary, ([sessions, steps]) => runHistory(device, plan, sessions, steps, { computes: false })),
    { seed: 20261130, numRuns: 15, endOnFailure: true },
  );
}, 120_000);

test('a launch that the driver refuses counts nothing, for no session', () => {
  using first = plan.createSession({ batch: 1, lengthBound: 64 });
  using second = plan.createSession({ batch: 1, lengthBound: 64 });
  const buffer = device.alloc(1 << 12);
  const tensors = { q: buffer, k: buffer, v: buffer, out: buffer };
  using graph = device.capture(() => {
    first.decode(0, tensors);
    second.decode(0, tensors);
  });
  const said = (): unknown => [first, second].map((session) => [session.usage(), [...session.lengths(0)]]);
  const before = said();
  fake.control({ anyKernel: 1, cuGraphLaunch: 1 });
  expect(failure(() => graph.launch()).code).toBe('MOA6015');
  fake.control({ anyKernel: 1 });
  expect(said()).toEqual(before);
  expect([first.usage().held, ...first.lengths(0), ...second.lengths(0)]).toEqual([0, 0, 0]);
  // No step is under way: all that a fork lacks is a slot.
  for (const session of [first, second]) expect(failure(() => session.fork(0)).code).toBe('MOA6108');
  graph.launch();
  expect([...first.lengths(0), ...second.lengths(0)]).toEqual([1, 1]);
  // A page of each ring, of two layers.
  expect([first.usage().held, second.usage().held]).toEqual([2, 2]);

  fake.forgetCalls();
  second.dispose();
  expect(failure(() => graph.launch()).code).toBe('MOA6005');
  expect(fake.calls().get('cuGraphLaunch')).toBe(undefined);
  expect([...first.lengths(0)]).toEqual([1]);

  using own = first.capture(() => first.decode(0, tensors));
  buffer.dispose();
  expect(failure(() => own.launch()).code, 'of a tensor that is gone').toBe('MOA6005');
});

test('counts that do not reach the device count nothing, for no session', () => {
  using first = plan.createSession({ batch: 1, lengthBound: 64 });
  using second = plan.createSession({ batch: 1, lengthBound: 64, decodeTokens: 2 });
  using buffer = device.alloc(1 << 12);
  const tensors = { q: buffer, k: buffer, v: buffer, out: buffer };
  using graph = device.capture(() => {
    first.decode(0, tensors);
    second.decode(0, { ...tensors, tokens: 2, counts: [1] });
  });
  fake.forgetCalls();
  fake.control({ anyKernel: 1, cuMemcpyHtoDAsync: 1 });
  expect(failure(() => graph.launch()).code).toBe('MOA6015');
  fake.control({ anyKernel: 1 });
  expect(fake.calls().get('cuGraphLaunch')).toBe(undefined);
  expect([...first.lengths(0), ...second.lengths(0)]).toEqual([0, 0]);
  expect([first.usage().held, second.usage().held]).toEqual([0, 0]);
  graph.launch();
  expect(fake.calls().get('cuMemcpyHtoDAsync'), 'they are copied again').toBe(2);
  expect([...first.lengths(0), ...second.lengths(0)]).toEqual([1, 1]);
});

test('a capture that the driver cannot end counts nothing, and the session goes on', () => {
  using session = plan.createSession({ batch: 1, lengthBound: 64 });
  using buffer = device.alloc(1 << 12);
  const tensors = { q: buffer, k: buffer, v: buffer, out: buffer };
  const record = (): void => session.decode(0, tensors);
  fake.control({ anyKernel: 1, cuGraphInstantiateWithFlags: 1 });
  expect(failure(() => session.capture(record)).code).toBe('MOA6015');
  fake.control({ anyKernel: 1 });
  expect(failure(() => device.capture(() => void plan.createSession({ batch: 1, lengthBound: 64 }))).code).toBe('MOA6011');
  expect([...session.lengths(0)]).toEqual([0]);
  session.decode(0, tensors);
  using step = session.capture(record);
  step.launch();
  expect([...session.lengths(0)]).toEqual([2]);
});
