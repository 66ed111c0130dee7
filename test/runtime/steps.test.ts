/** The plan of a step is made once, before its first layer, and again when something else has come. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { PlanDefinition } from '../../src/ir/planDefinition.ts';
import { Device, DeviceBuffer, type Session } from '../../src/runtime/index.ts';
import type { DecodeTensors, PrefillTensors } from '../../src/runtime/sessionTypes.ts';
import { RuntimeError } from '../../src/runtime/runtimeError.ts';
import { compileSpec, type PlanSpec } from '../properties/plans.ts';
import { kernelThat, notingPlan, planOf, rolesOf, taken, type AnyRole } from './fakes/kernels.ts';
import { failure } from './failure.ts';

/** Three layers of different rules: three classes. */
const rules: PlanSpec['rules'] = [[[128, 0, 1], [0, 1, 1]], [[128, 0, 1], [128, 0, 1]], [[0, 1, 1], [0, 1, 1]]];
const spec: PlanSpec = { shape: 'bf16_d64_2x2', rules, rope: true, slack: 64, decodeTokens: 4 };
const layers = [0, 1, 2];
const options = { batch: 2, lengthBound: 300, decodeTokens: 4 };
const definition = compileSpec(spec).definition;
/** Of a PlannedSegment, a PrefillItem and a PrefillPlanSize, whose number of items is 8 bytes from its start. */
const [segmentBytes, itemBytes, sizeBytes] = [64, 48, 24];

let device: Device;
let tensor: DeviceBuffer;
beforeAll(async () => {
  device = await Device.open('emulator');
  tensor = device.alloc(1 << 20);
});
afterAll(() => device.dispose());

const plain = (): DecodeTensors => ({ q: tensor, k: tensor, v: tensor, out: tensor });
const prompt = (...cuSeqlens: readonly number[]): PrefillTensors => ({ ...plain(), cuSeqlens });
const held = (session: Session): unknown => [session.usage(), ...layers.map((layer) => [...session.lengths(layer)])];

/** A session, and the roles of what it launched since they were asked for last. */
function noted(of: PlanDefinition = definition, given: object = options) {
  const { plan, launches } = notingPlan(device, of);
  const session = plan.createSession({ ...options, ...given });
  taken(launches);
  return { session, launches, roles: (): readonly AnyRole[] => rolesOf(taken(launches)) };
}

describe('a decode', () => {
  const orders = [[[0, 1, 2]], [[2, 0, 1]]];
  test.each(orders)('is planned before its first layer, and not again for the others: %j', (order) => {
    const { session, launches } = noted();
    for (let step = 0; step < 3; step += 1) {
      for (const layer of order) session.decode(layer, plain());
      expect(rolesOf(launches)).toEqual(['step', 'decode', 'decode', 'decode']);
      const [plan, ...decodes] = taken(launches);
      const classes = definition.layers.length;
      expect(plan!.grid, 'blocks that take pages, and one for each class').toBe(device.multiprocessors + classes);
      const { multiprocessors } = device;
      const tokens = { tokens: 1, cuSeqlens: 0, counts: 0, most: 1 };
      const sizes = { pageBlocks: multiprocessors, layers: 3, classes, slots: 2, kvHeads: 2 };
      for (const [name, value] of Object.entries({ ...tokens, ...sizes })) expect(plan!.field(name), name).toBe(value);
      expect(plan!.field('lengths'), 'those of the layer that begins the step').toBe(decodes[0]!.field('lengths'));
      decodes.forEach((decode, n) => {
        const segments = plan!.field('segments') + order[n]! * plan!.field('segmentStride') * segmentBytes;
        expect(decode.field('segments'), `layer ${order[n]}: what was planned for its class`).toBe(segments);
        expect(decode.grid).toBe(plan!.field('blocks'));
      });
    }
    session.dispose();
  });

  test('of several tokens is one step too, and each layer appends its own', () => {
    const { session, launches } = noted();
    for (const layer of layers) session.decode(layer, { ...plain(), tokens: 3 });
    expect(rolesOf(launches)).toEqual(['step', 'append', 'decode', 'append', 'decode', 'append', 'decode']);
    const [plan] = launches;
    expect(['tokens', 'most', 'counts'].map((name) => plan!.field(name))).toEqual([3, 3, 0]);
    session.dispose();
  });

  test('is planned again for other tokens and other counts', () => {
    const { session, launches, roles } = noted();
    const planned = (layer: number, tokens: number, counts?: readonly number[]): boolean => {
      session.decode(layer, { ...plain(), tokens, ...(counts === undefined ? {} : { counts }) });
      const [first] = launches;
      const plans = first!.role === 'step';
      if (plans) expect([first!.field('tokens'), first!.field('counts') !== 0]).toEqual([tokens, counts !== undefined]);
      const own: readonly AnyRole[] = tokens === 1 && counts === undefined ? ['decode'] : ['append', 'decode'];
      expect(roles()).toEqual([...(plans ? ['step'] : []), ...own]);
      return plans;
    };
    expect([planned(0, 1), planned(1, 1), planned(2, 1)]).toEqual([true, false, false]);
    expect([planned(0, 4, [1, 3]), planned(1, 4, [1, 3]), planned(2, 4, [3, 1])]).toEqual([true, false, true]);
    expect(layers.map((layer) => [...session.lengths(layer)])).toEqual([[2, 4], [2, 4], [4, 2]]);
    session.reset();
    roles();
    expect([planned(0, 2, [1, 2]), planned(1, 2, [1, 2]), planned(2, 3, [1, 2])]).toEqual([true, false, true]);
    expect(layers.map((layer) => [...session.lengths(layer)])).toEqual([[1, 2], [1, 2], [1, 2]]);
    session.dispose();
  });

  test('of layers that are not in step is planned for each, and once again when they are', () => {
    const { session, roles } = noted();
    for (const layer of [0, 0, 1]) session.decode(layer, plain());
    expect(roles()).toEqual(['step', 'decode', 'step', 'decode', 'step', 'decode']);
    for (const layer of layers) session.decode(layer, plain());
    expect(roles()).toEqual(['step', 'decode', 'step', 'decode', 'step', 'decode']);
    expect(layers.map((layer) => [...session.lengths(layer)])).toEqual([[3, 3], [2, 2], [1, 1]]);
    for (const slot of [0, 1]) session.truncate(slot, 1);
    roles();
    for (let step = 0; step < 2; step += 1) {
      for (const layer of layers) session.decode(layer, plain());
      expect(roles()).toEqual(['step', 'decode', 'decode', 'decode']);
    }
    for (const layer of [0, 1]) session.decode(layer, plain());
    session.reset();
    roles();
    for (const layer of layers) session.decode(layer, plain());
    expect(roles()).toEqual(['step', 'decode', 'decode', 'decode']);
    session.dispose();
  });
});

describe('a prefill', () => {
  test('is planned before its first layer, and not again for the others', () => {
    using allocated = vi.spyOn(device, 'alloc');
    const { session, launches } = noted();
    const bufferAt = (address: number): DeviceBuffer =>
      allocated.mock.results
        .map(({ value }) => value as DeviceBuffer)
        .find((buffer) => !buffer.isDisposed && Number(buffer.address) === address)!;
    const chunks = [[0, 70, 170], [0, 1, 131], [0, 0, 1]];
    for (const [number, cuSeqlens] of chunks.entries()) {
      for (const layer of layers) session.prefill(layer, prompt(...cuSeqlens));
      // What goes on is written behind its attention.
      const own: readonly AnyRole[] = number === 0 ? ['append', 'prefill'] : ['prefill', 'append'];
      expect(rolesOf(launches)).toEqual(['step', 'planPrefill', ...own, ...own, ...own]);
      const [step, planPrefill, ...others] = taken(launches);
      const { multiprocessors } = device;
      expect([step!.grid, step!.field('pageBlocks')]).toEqual([multiprocessors, multiprocessors]);
      expect(planPrefill!.grid, 'a block for each class').toBe(definition.layers.length);
      const given = step!.field('cuSeqlens');
      expect([...bufferAt(given).read(new Int32Array(3))]).toEqual(cuSeqlens);
      const appends = others.filter(({ role }) => role === 'append');
      for (const launch of [planPrefill!, ...appends]) expect(launch.field('cuSeqlens')).toBe(given);
      const lengths = appends[0]!.field('lengths');
      expect([step!.field('lengths'), planPrefill!.field('lengths')]).toEqual([lengths, lengths]);
      expect(step!.field('counts')).toBe(0);
      const prefills = others.filter(({ role }) => role === 'prefill');
      prefills.forEach((launch, layer) => {
        const items = layer * planPrefill!.field('capacity') * itemBytes;
        const count = layer * sizeBytes + 8;
        const where = `layer ${layer}: what was planned for its class`;
        expect(launch.field('items'), where).toBe(planPrefill!.field('items') + items);
        expect(launch.field('itemCount'), where).toBe(planPrefill!.field('sizes') + count);
      });
    }
    session.dispose();
  });

  test('of layers with kernels of different sinks is planned once too', () => {
    const windows = compileSpec({ ...spec, modelWindows: [128, null, 128] }).definition;
    const names = new Set(windows.kernels.filter(({ role }) => role === 'prefill').map(({ name }) => name));
    expect(names.size).toBe(2);
    const { session, launches } = noted(windows);
    const namesOfPrefills = () => new Set(launches.filter(({ role }) => role === 'prefill').map(({ name }) => name));
    for (let chunk = 0; chunk < 2; chunk += 1) {
      for (const layer of layers) session.prefill(layer, prompt(0, 70, 170));
      expect(namesOfPrefills()).toEqual(names);
      const roles = rolesOf(taken(launches));
      expect(roles.slice(0, 2)).toEqual(['step', 'planPrefill']);
      expect(roles.slice(2)).not.toContain('step');
      expect(roles.slice(2)).not.toContain('planPrefill');
    }
    session.dispose();
  });

  test('whose layers come between decodes of others keeps its plan, and they keep theirs', () => {
    const { session, roles } = noted();
    session.prefill(0, prompt(0, 5, 7));
    expect(roles()).toEqual(['step', 'planPrefill', 'append', 'prefill']);
    session.decode(0, plain());
    expect(roles()).toEqual(['step', 'decode']);
    session.prefill(1, prompt(0, 5, 7));
    expect(roles()).toEqual(['append', 'prefill']);
    session.decode(1, plain());
    expect(roles()).toEqual(['decode']);
    session.prefill(1, prompt(0, 5, 7));
    expect(roles()).toEqual(['step', 'planPrefill', 'prefill', 'append']);
    session.prefill(2, prompt(0, 5, 7));
    expect(roles(), 'the plan was for other lengths').toEqual(['step', 'planPrefill', 'append', 'prefill']);
    session.dispose();
  });

  test.each([0, 1])('without room for its items launches nothing: %i allocations work', (working) => {
    const { session, launches } = noted(definition, { lengthBound: 4000 });
    session.prefill(0, prompt(0, 5, 7));
    const before = held(session);
    taken(launches);
    const alloc = device.alloc.bind(device);
    let large = 0;
    using _ = vi.spyOn(device, 'alloc').mockImplementation((bytes) => {
      if (bytes > 4096 && (large += 1) > working) throw new RuntimeError('outOfMemory', 'there is no memory');
      return alloc(bytes);
    });
    expect(failure(() => session.prefill(0, prompt(0, 1990, 3980))).code).toBe('MOA6006');
    expect([large > working, launches, held(session)]).toEqual([true, [], before]);
    // Layer 1 has the lengths of the plan before, and the items of that are lost.
    session.prefill(1, prompt(0, 5, 7));
    const planned: readonly AnyRole[] = ['step', 'planPrefill', 'append', 'prefill'];
    expect(rolesOf(launches), 'what is shorter has room').toEqual(planned);
    const [, planPrefill, , attend] = launches;
    const items = planPrefill!.field('capacity') * itemBytes;
    expect(attend!.field('items')).toBe(planPrefill!.field('items') + items);
    session.dispose();
  });

  test('keeps the room that it has outgrown until the session ends, or there is no other memory', () => {
    using allocated = vi.spyOn(device, 'alloc');
    const { session } = noted(definition, { lengthBound: 4000 });
    const rooms = (): DeviceBuffer[] => allocated.mock.results.map(({ value }) => value as DeviceBuffer);
    allocated.mockClear();
    session.prefill(0, prompt(0, 1, 2));
    const first = rooms();
    expect(first.length).toBeGreaterThan(0);
    session.prefill(0, prompt(0, 1000, 2000));
    const alive = (buffers: readonly DeviceBuffer[]): number => buffers.filter(({ isDisposed }) => !isDisposed).length;
    const second = rooms().slice(first.length);
    expect([alive(first), alive(second)]).toEqual([first.length, second.length]);
    expect(second.length).toBeGreaterThan(0);
    allocated.mockImplementationOnce(() => {
      throw new RuntimeError('outOfMemory', 'there is no memory');
    });
    session.prefill(0, prompt(0, 1990, 3980));
    // The first list of items was outgrown, and is given back; what is large enough stays.
    expect(alive(first)).toBeLessThan(first.length);
    expect(alive(first)).toBeGreaterThan(0);
    expect([...session.lengths(0)]).toEqual([2991, 2991]);
    session.dispose();
    expect(alive(rooms().filter((room) => room instanceof DeviceBuffer))).toBe(0);
  });
});

describe('a mixed step', () => {
  const [decodes, prefills] = [['decode'], ['append', 'prefill']] as const;
  const [pages, plans] = [['step'], ['step', 'planPrefill']] as const;

  test('and a prefill are planned once for all layers, and again by what reads its plan', () => {
    const { session, launches, roles } = noted();
    /** Sequences with fewer tokens are left to decode, by all launches. */
    const fewest = (): readonly number[] =>
      launches.flatMap((launch) => (launch.role === 'append' || launch.role === 'planPrefill' ? launch.field('fewest') : []));
    const numbers = session.newTokens({ budget: 8 });
    numbers.set([1, 5]);
    for (const layer of layers) session.step(layer, prompt(0, 1, 6));
    expect(fewest()).toEqual([2, 2, 2, 2]);
    expect(roles()).toEqual([...plans, ...decodes, ...prefills, ...decodes, ...prefills, ...decodes, ...prefills]);
    session.reset();
    session.step(0, prompt(0, 1, 6));
    expect(roles().slice(-5)).toEqual([...plans, ...decodes, ...prefills]);
    // The one token has an item too.
    session.prefill(1, prompt(0, 1, 6));
    expect(fewest()).toEqual([1, 1]);
    expect(roles()).toEqual([...plans, ...prefills]);
    session.reset();
    roles();
    session.step(0, { ...plain(), cuSeqlens: numbers });
    expect(roles()).toEqual([...plans, ...decodes, ...prefills]);
    // The numbers of the host lie elsewhere, and are to come there.
    session.step(1, prompt(0, 1, 6));
    expect(roles()).toEqual([...plans, ...decodes, ...prefills]);
    session.dispose();
  });

  test('and a decode of one token have the same memory for their plans', () => {
    const { session, roles } = noted();
    session.decode(0, plain());
    session.step(0, prompt(0, 1, 2));
    session.decode(1, plain());
    expect(roles()).toEqual([...pages, ...decodes, ...pages, ...decodes, ...pages, ...decodes]);
    session.step(1, prompt(0, 1, 2));
    expect(roles()).toEqual([...pages, ...decodes]);
    session.dispose();
  });

  test('and a decode of a graph that have the same memory for their plans', () => {
    const { session, roles } = noted();
    const numbers = session.newTokens({ budget: 8 });
    const both: readonly AnyRole[] = [...pages, ...decodes, ...plans, ...decodes, 'prefill', 'append'];
    session.capture(() => {
      for (const layer of [0, 1]) {
        session.decode(layer, plain());
        session.step(layer, { ...plain(), cuSeqlens: numbers });
      }
    });
    expect(roles()).toEqual([...both, ...both]);
    session.dispose();
  });

  test('in a graph plans each layer of other numbers', () => {
    const { session, launches, roles } = noted();
    const [one, other] = [session.newTokens({ budget: 8 }), session.newTokens({ budget: 8 })];
    session.capture(() => [one, one, other].forEach((numbers, layer) => session.step(layer, { ...plain(), cuSeqlens: numbers })));
    const given = launches.filter(({ role }) => role === 'step').map((launch) => launch.field('cuSeqlens'));
    expect(given).toEqual([one, other].map(({ cuSeqlens }) => Number(cuSeqlens.address)));
    const own: readonly AnyRole[] = [...decodes, 'prefill', 'append'];
    expect(roles()).toEqual([...plans, ...own, ...own, ...plans, ...own]);
    session.dispose();
  });

  test('leaves its numbers to it: a decode behind it keeps no numbers', () => {
    const { session, launches } = noted();
    const numbersOfDecodes = (): boolean[] =>
      taken(launches).filter(({ role }) => role === 'decode').map((launch) => launch.field('cuSeqlens') !== 0);
    session.step(0, prompt(0, 1, 2));
    session.decode(0, plain());
    session.step(0, prompt(0, 1, 1));
    expect(numbersOfDecodes()).toEqual([true, false, true]);
    session.dispose();
  });
});

describe('what comes after a change is planned again', () => {
  const changes: readonly (readonly [string, (session: Session) => unknown])[] = [
    ['nothing but time', () => {}],
    ['add', (session) => session.add()],
    ['remove', (session) => session.remove(1)],
    ['fork', (session) => session.fork(0)],
    ['truncate', (session) => session.truncate(0, 3)],
    ['truncate to the same length', (session) => session.truncate(0, 4)],
    ['reset', (session) => session.reset()],
    ['a capture', (session) => session.capture(() => session.decode(0, plain()))],
    ['assumeFilled', (session) => session.assumeFilled(4, 0)],
  ];
  test.each(changes)('%s', (_, change) => {
    for (const next of ['decode', 'prefill'] as const) {
      const { session, launches, roles } = noted(definition, { batch: 3, slots: 'free' });
      for (const bound of [300, 200]) session.add({ lengthBound: bound });
      const chunk = (slots: number): PrefillTensors => prompt(0, 4, slots === 2 ? 8 : 4, slots === 2 ? 8 : 4);
      for (const layer of layers) session.prefill(layer, chunk(2));
      change(session);
      roles();
      const slots = session.lengthBounds()[1] === 0 ? 1 : 2;
      for (const layer of layers) {
        if (next === 'decode') session.decode(layer, plain());
        else session.prefill(layer, chunk(slots));
      }
      const isPlanner = (role: AnyRole): boolean => role === 'step' || role === 'planPrefill';
      const plans = rolesOf(launches).filter(isPlanner);
      expect(plans).toEqual(next === 'decode' ? ['step'] : ['step', 'planPrefill']);
      expect(rolesOf(launches).slice(0, plans.length)).toEqual(plans);
      if (next === 'decode') expect(launches[1]!.field('early')).toBe(0);
      session.dispose();
    }
  });

  test('a graph that planned in the same place', () => {
    const { session, roles } = noted();
    // Twice: its second plan is for a token more.
    using step = session.capture(() => [0, 0].forEach((layer) => session.decode(layer, plain())));
    session.decode(1, plain());
    roles();
    step.launch();
    session.decode(2, plain());
    expect(roles(), 'the lengths are those of layer 1, and its plan is gone').toEqual(['step', 'decode']);
    session.dispose();
  });
});

describe('a graph', () => {
  test('plans a step once for all layers that are in step', () => {
    const { session, launches } = noted();
    session.capture(() => {
      for (let step = 0; step < 2; step += 1) for (const layer of layers) session.decode(layer, plain());
    });
    const step: readonly AnyRole[] = ['step', 'decode', 'decode', 'decode'];
    expect(rolesOf(launches)).toEqual([...step, ...step]);
    const early = launches.map((launch) => (launch.has('early') ? launch.field('early') : 'none'));
    expect(early).toEqual(['none', 0, 1, 1, 'none', 0, 1, 1]);
    session.dispose();
  });

  test('plans each layer of other counts', () => {
    const { session, launches, roles } = noted();
    const decode = (layer: number, counts: readonly number[] | DeviceBuffer): void =>
      session.decode(layer, { ...plain(), tokens: 2, counts });
    using one = device.upload(Int32Array.of(1, 2));
    using other = device.upload(Int32Array.of(2, 1));
    using step = session.capture(() => {
      decode(0, [1, 2]);
      decode(1, [1, 2]);
      decode(2, [2, 1]);
    });
    const [plans, shares] = [['step', 'append', 'decode'], ['append', 'decode']] as const;
    expect(roles()).toEqual([...plans, ...shares, ...plans]);
    step.launch();
    expect(layers.map((layer) => [...session.lengths(layer)])).toEqual([[1, 2], [1, 2], [2, 1]]);
    session.reset();
    roles();
    using buffers = session.capture(() => {
      decode(0, one);
      decode(1, one);
      decode(2, other);
    });
    const [first, second] = launches.filter(({ role }) => role === 'step').map((launch) => launch.field('counts'));
    expect([first, second]).toEqual([Number(one.address), Number(other.address)]);
    expect(roles()).toEqual([...plans, ...shares, ...plans]);
    other.write(Int32Array.of(0, 2));
    buffers.launch();
    expect(layers.map((layer) => [...session.lengths(layer)])).toEqual([[1, 2], [1, 2], [0, 2]]);
    session.dispose();
  });

  test('whose layers are no longer in step is refused, and changes nothing', () => {
    const { session, roles } = noted();
    using step = session.capture(() => layers.forEach((layer) => session.decode(layer, plain())));
    step.launch();
    session.decode(1, plain());
    roles();
    const before = held(session);
    const error = failure(() => step.launch());
    expect(error.code).toBe('MOA6011');
    expect(error.message).toContain('decodes layers 0 and 1 in one step');
    expect(error.message).toContain('sequence 0 has 1 tokens in the one and 2 in the other');
    expect(held(session)).toEqual(before);
    for (const layer of [0, 2]) session.decode(layer, plain());
    step.launch();
    expect(layers.map((layer) => [...session.lengths(layer)])).toEqual([[3, 3], [3, 3], [3, 3]]);
    session.dispose();
  });
});

describe('a launch that fails', () => {
  /** A session whose kernels of `failing` throw. */
  function failingSession(failing: Set<AnyRole>): { readonly session: Session; readonly launched: AnyRole[] } {
    const launched: AnyRole[] = [];
    const plan = planOf(device, definition, ({ role }) =>
      kernelThat(() => {
        if (failing.has(role)) throw new RuntimeError('driverFailure', `no ${role}`);
        launched.push(role);
      }),
    );
    const session = plan.createSession({ ...options, batch: 3, slots: 'free' });
    for (let slot = 0; slot < 2; slot += 1) session.add();
    launched.length = 0;
    return { session, launched };
  }

  test.each([
    ['decode', (session: Session) => session.decode(0, plain())],
    ['prefill', (session: Session) => session.prefill(0, prompt(0, 65, 66, 66))],
  ] as const)('of the plan of a %s: nothing has come, and no page is counted', (_, call) => {
    const failing = new Set<AnyRole>(['step']);
    const { session, launched } = failingSession(failing);
    const before = held(session);
    expect(failure(() => call(session)).code).toBe('MOA6015');
    expect([held(session), launched]).toEqual([before, []]);
    expect(session.fork(0), 'no step is under way').toBe(2);
    session.remove(2);
    launched.length = 0;
    failing.clear();
    call(session);
    expect(launched[0]).toBe('step');
    session.dispose();
  });

  test.each([
    ['decode', 'decode', (session: Session) => session.decode(0, plain()), 12],
    ['prefill', 'prefill', (session: Session) => session.prefill(0, prompt(0, 65, 66, 66)), 18],
    ['planPrefill', 'prefill', (session: Session) => session.prefill(0, prompt(0, 65, 66, 66)), 18],
  ] as const)('behind the plan, %s: the tokens have not come, and their pages are taken', (role, last, call, pages) => {
    const failing = new Set<AnyRole>([role]);
    const { session, launched } = failingSession(failing);
    expect(failure(() => call(session)).code).toBe('MOA6015');
    expect([...session.lengths(0)]).toEqual([0, 0, -1]);
    expect(session.usage().held).toBe(pages);
    expect(failure(() => session.fork(0)).code, 'a step is under way').toBe('MOA6114');
    failing.clear();
    launched.length = 0;
    for (const layer of layers) {
      if (last === 'decode') session.decode(layer, plain());
      else session.prefill(layer, prompt(0, 65, 66, 66));
    }
    const again = role === 'planPrefill';
    expect(launched.filter((one) => one === 'step'), 'only what failed is planned again').toHaveLength(again ? 1 : 0);
    expect(session.usage().held).toBe(pages);
    expect(session.fork(0)).toBe(2);
    session.dispose();
  });

  test('behind the plan can be taken back', () => {
    const failing = new Set<AnyRole>(['decode']);
    const { session } = failingSession(failing);
    expect(failure(() => session.decode(0, plain())).code).toBe('MOA6015');
    for (const slot of [0, 1]) session.truncate(slot, 0);
    expect(session.usage().held).toBe(0);
    expect(session.fork(0)).toBe(2);
    session.dispose();
  });
});
