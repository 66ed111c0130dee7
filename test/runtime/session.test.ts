/** What a session hands to its kernels, and what it refuses: with kernels that only take notes. */
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { definitionFormat, type PlanDefinition } from '../../src/ir/planDefinition.ts';
import { Device, type DeviceBuffer, type Kernel } from '../../src/runtime/index.ts';
import { Plan } from '../../src/runtime/plan.ts';
import { RuntimeError } from '../../src/runtime/runtimeError.ts';
import { sinkTable } from '../../src/runtime/sinkLogits.ts';
import { compileSpec, type PlanSpec } from '../properties/plans.ts';
import { notingPlan, rolesOf, taken, type NotedLaunch } from './fakes/kernels.ts';
import { realPlanners } from './fakes/realPlanners.ts';

const spec: PlanSpec = { shape: 'bf16_d64_2x2', rules: [[[128, 0, 1], [0, 1, 1]], [[128, 0, 1], [128, 0, 1]], [[0, 1, 1], [0, 1, 1]]], rope: true };
const code = (number: string, message = '') => expect.objectContaining({ code: number, message: expect.stringContaining(message) });

let device: Device;
let tensor: DeviceBuffer;
beforeAll(async () => {
  device = await Device.open('emulator');
  tensor = device.alloc(1 << 16);
});
afterAll(() => device.dispose());

/** A plan whose kernels run nothing and keep their launches. */
const noting = (of: PlanSpec, definition = compileSpec(of).definition, real?: ReadonlyMap<string, Kernel>) =>
  notingPlan(device, definition, real);

const overlapsOf = (launches: readonly NotedLaunch[]) => launches.map(({ role, programmatic }) => [role, programmatic]);
const decodesOf = (launches: readonly NotedLaunch[]): NotedLaunch[] => launches.filter(({ role }) => role === 'decode');

describe('scores', () => {
  const tensors = () => ({ q: tensor, k: tensor, v: tensor, out: tensor });

  test('are scaled as the session says, else as the model', () => {
    const { definition } = compileSpec(spec);
    const scaled = { ...definition, attention: { softCap: 0, learnedSinks: false, scale: 0.3 } };
    for (const [of, options, scale] of [[definition, {}, 1 / 8], [scaled, {}, 0.3], [scaled, { scale: 0.7 }, 0.7]] as const) {
      const { plan, launches } = noting(spec, of);
      using session = plan.createSession({ batch: 1, lengthBound: 200, ...options });
      session.decode(0, tensors());
      expect(decodesOf(launches).map((launch) => launch.field('scale'))).toEqual([Math.fround(scale)]);
    }
  });

  test('a layer has its own learned sinks, and the layers of a session are those of the plan', () => {
    const withSinks = { ...spec, learnedSinks: true };
    const { plan, launches } = noting(withSinks);
    using session = plan.createSession({ batch: 1, lengthBound: 200, layers: [0, 2], sinkLogits: [[1, 2], [3, 4], [5, -Infinity]] });
    session.decode(0, tensors());
    session.decode(2, tensors());
    const [first, second] = decodesOf(launches).map((launch) => launch.field('sinkLogits'));
    expect(second! - first!).toBe(2 * 4);
    expect(sinkTable([0, 2], [[1, 2], [3, 4], [5, -Infinity]])).toEqual(Float32Array.of(1, 2, 5, -Infinity));
  });
});

describe('decode', () => {
  const tensors = () => ({ q: tensor, k: tensor, v: tensor, out: tensor });

  test('is one launch behind that of the step, and may begin before the one before it has ended', () => {
    const { plan, launches } = noting(spec);
    using session = plan.createSession({ batch: 3, lengthBound: 200 });
    // The begin of the session, and of three sequences.
    expect(rolesOf(taken(launches))).toEqual(Array(4).fill('changeSequence'));
    session.decode(0, tensors());
    const [step, decode] = launches;
    expect(overlapsOf(taken(launches))).toEqual([['step', false], ['decode', true]]);
    expect(step!.field('lengths')).toBe(decode!.field('lengths'));
    const { sink } = plan.definition.limits;
    const values = ['slots', 'groupSize', 'queryHeads', 'kvHeads', 'sink'].map((name) => decode!.field(name));
    expect(values).toEqual([3, 1, 2, 2, sink]);
    session.prefill(1, { ...tensors(), cuSeqlens: [0, 1, 2, 3] });
    const prefill = [['step', false], ['planPrefill', false], ['append', false], ['prefill', false]];
    expect(overlapsOf(taken(launches))).toEqual(prefill);
  });

  test('reads early where the launch before wrote another layer, and only there', () => {
    const { plan, launches } = noting(spec);
    using session = plan.createSession({ batch: 1, lengthBound: 200 });
    /** Whether it reads early, and whether a step was planned for it: what that wrote is read. */
    const early = (layer: number): readonly [boolean, boolean] => {
      taken(launches);
      session.decode(layer, tensors());
      const roles = rolesOf(launches);
      expect(roles.filter((role) => role !== 'step')).toEqual(['decode']);
      return [launches.at(-1)!.field('early') !== 0, roles.includes('step')];
    };
    const [plans, waits, reads] = [[false, true], [false, false], [true, false]] as const;
    expect(early(0), 'the first of a session').toEqual(plans);
    expect([early(1), early(2), early(0)], 'layer after layer').toEqual([reads, reads, plans]);
    expect([early(0), early(0), early(1)], 'the same layer again').toEqual([plans, plans, plans]);
    expect([early(1), early(1), early(2), early(2)], 'until all are as far').toEqual([plans, plans, plans, plans]);
    session.reset();
    expect([early(0), early(1)], 'behind a reset').toEqual([plans, reads]);
    session.reset();
    session.prefill(1, { ...tensors(), cuSeqlens: [0, 1] });
    expect(early(1), 'behind a prefill of its layer').toEqual(plans);
    session.reset();
    session.prefill(1, { ...tensors(), cuSeqlens: [0, 1] });
    expect(early(2), 'behind a prefill of another layer').toEqual(plans);
    session.assumeFilled(100, 0);
    expect(early(2), 'behind what fills the cache').toEqual(plans);
    session.reset();
    session.decode(0, tensors());
    session.prefill(1, { ...tensors(), cuSeqlens: [0, 2] });
    expect(early(2), 'of a plan that is older than a prefill of another layer').toEqual(reads);
    session.reset();
    session.prefill(0, { ...tensors(), cuSeqlens: [0, 2] });
    session.decode(0, tensors());
    session.prefill(1, { ...tensors(), cuSeqlens: [0, 2] });
    expect(early(1), 'of a plan that is older than a prefill of its layer').toEqual(waits);
  });

  test('a captured step begins when all before it has ended, and what follows it knows nothing of it', () => {
    const { plan, launches } = noting(spec);
    using session = plan.createSession({ batch: 1, lengthBound: 200 });
    session.decode(0, tensors());
    session.decode(1, tensors());
    session.truncate(0, 0);
    taken(launches);
    // The capture needs one launch of its own.
    expect(() =>
      session.capture(() => {
        for (const layer of [0, 1, 2]) session.decode(layer, tensors());
      }),
    ).not.toThrow();
    expect(rolesOf(launches)).toEqual(['step', 'decode', 'decode', 'decode']);
    expect(decodesOf(taken(launches)).map((launch) => launch.field('early'))).toEqual([0, 1, 1]);
    session.decode(1, tensors());
    expect(rolesOf(launches), 'what a graph planned is not known outside').toEqual(['step', 'decode']);
    expect(decodesOf(launches).map((launch) => launch.field('early'))).toEqual([0]);
  });

  test('layers have their lengths in sectors of their own', () => {
    const { plan, launches } = noting(spec);
    using session = plan.createSession({ batch: 9, lengthBound: 200 });
    for (const layer of [0, 1, 2]) session.decode(layer, tensors());
    const addresses = decodesOf(launches).map((launch) => launch.field('lengths'));
    expect(addresses.map((address) => address - addresses[0]!)).toEqual([0, 64, 128]);
  });

  test('with RoPE takes the kernels that rotate', () => {
    const { plan, launches } = noting(spec);
    using plain = plan.createSession({ batch: 1, lengthBound: 200 });
    using rope = plan.createSession({ batch: 1, lengthBound: 200, rope: { theta: 10_000 } });
    plain.decode(0, tensors());
    rope.decode(0, tensors());
    expect(decodesOf(launches).map((launch) => launch.field('rope') !== 0)).toEqual([false, true]);
  });
});

test('assumeFilled: lengths, pages in use, and what the pool holds', async () => {
  const compiled = compileSpec(spec);
  const { plan } = noting(spec, compiled.definition, await realPlanners(device, compiled));
  using session = plan.createSession({ batch: 2, lengthBound: 300 });
  session.assumeFilled(100, 0x3c);
  for (const layer of [0, 1, 2]) expect([...session.lengths(layer)]).toEqual([100, 100]);
  expect(session.pagesInUse(2)).toBe(2 * 2 * 2);
  expect(session.usage()).toMatchObject({ held: 3 * 2 * 2 * 2, shared: 0 });
  const { keys, positions } = session.cachedTokens(2, 1, 1);
  expect([...positions]).toEqual(Array.from({ length: 100 }, (_, n) => n));
  expect(new Set(keys)).toEqual(new Set([0x3c3c]));
  session.assumeFilled(300, 0);
  expect(() => session.decode(0, { q: tensor, k: tensor, v: tensor, out: tensor })).toThrow(code('MOA6101'));
  session.reset();
  expect(session.usage().held).toBe(0);
});

describe('cacheScales', () => {
  const ones = (layers: number, heads: number, value = 1): number[][] => Array.from({ length: layers }, () => Array<number>(heads).fill(value));
  const good = { keys: ones(3, 2), values: ones(3, 2, 0.25) };

  test('are for a cache in e4m3', () => {
    const { plan } = noting(spec);
    expect(() => plan.createSession({ batch: 1, lengthBound: 100, cacheScales: good })).toThrow(code('MOA6106', 'cacheScales are for a cache in e4m3'));
  });

  test('have one entry for each layer and KV head, positive and finite', () => {
    const { plan } = noting({ ...spec, cacheType: 'e4m3' });
    const create = (cacheScales: typeof good) => () => plan.createSession({ batch: 1, lengthBound: 100, cacheScales }).dispose();
    expect(create(good)).not.toThrow();
    expect(create({ ...good, keys: ones(2, 2) })).toThrow(code('MOA6106', 'cacheScales.keys has 2 layers; the plan has 3'));
    expect(create({ ...good, values: ones(3, 4) })).toThrow(code('MOA6106', 'cacheScales.values[0] has 4 entries; the plan has 2 KV heads'));
    for (const scale of [0, -1, NaN, Infinity]) {
      const values = ones(3, 2).with(2, [1, scale]);
      expect(create({ ...good, values })).toThrow(code('MOA6106', `cacheScales.values[2][1] is ${scale}`));
    }
  });

  test('reach the kernels: those of a layer, keys before values; 1 where none are given', () => {
    const { plan, launches } = noting({ ...spec, cacheType: 'e4m3' });
    using session = plan.createSession({ batch: 1, lengthBound: 100, layers: [0, 2], cacheScales: { keys: ones(3, 2, 2), values: ones(3, 2, 3) } });
    using plain = plan.createSession({ batch: 1, lengthBound: 100 });
    for (const layer of [0, 2]) session.decode(layer, { q: tensor, k: tensor, v: tensor, out: tensor });
    plain.decode(0, { q: tensor, k: tensor, v: tensor, out: tensor });
    const [first, second, other] = decodesOf(launches).map((launch) => launch.field('kvScales'));
    expect(second! - first!).toBe(2 * 2 * 4);
    expect(other).not.toBe(0);
  });
});

describe('chunks behind a cache in E4M3', () => {
  const tensors = (cuSeqlens: readonly number[]) => ({ q: tensor, k: tensor, v: tensor, out: tensor, cuSeqlens });
  const options = { batch: 3, lengthBound: 400 };
  /** Of a page of 16 bits; and pages of a sequence in the layer with the most, whose two rings keep all 400 tokens. */
  const [pageBytes, most] = [2 * 64 * 64 * 2, 2 * Math.ceil(400 / 64)];

  test('are expanded between their rotation and their attention, which then reads nothing of the pool', () => {
    const { plan, launches } = noting({ ...spec, cacheType: 'e4m3' });
    using session = plan.createSession({ ...options, rope: { theta: 10_000 } });
    taken(launches);
    session.prefill(0, tensors([0, 70, 70, 130]));
    session.prefill(0, tensors([0, 1, 2, 2]));
    const plans = ['step', 'planPrefill'];
    expect(rolesOf(launches)).toEqual([...plans, 'append', 'prefill', ...plans, 'append', 'expand', 'prefill', 'append']);
    const [, , whole, , step, planPrefill, rotate, expand, attend, append] = launches;
    const pool = whole!.field('pool');
    expect([step, rotate, expand, append].map((launch) => launch!.field('pool'))).toEqual([pool, 0, pool, pool]);
    expect(attend!.field('pool')).toBe(expand!.field('expanded'));
    expect(attend!.field('pool')).not.toBe(pool);
    // Pages are found by the layer's own table, and read by one in which page n is entry n.
    expect(expand!.field('pageTable')).toBe(append!.field('pageTable'));
    expect(attend!.field('pageTable')).not.toBe(append!.field('pageTable'));
    // Which rings they are of, the kernel sees on the device: those of sequences that hold tokens and get some.
    for (const name of ['lengths', 'cuSeqlens', 'slots']) {
      expect(expand!.field(name), name).toBe(planPrefill!.field(name));
    }
    expect(expand!.field('rings')).toBe(append!.field('rings'));
    expect([expand!.grid, expand!.programmatic]).toEqual([4 * device.multiprocessors, false]);
  });

  test('take room once, for every page of the layer with the most', () => {
    const { plan } = noting({ ...spec, cacheType: 'e4m3' });
    const session = plan.createSession(options);
    using allocated = vi.spyOn(device, 'alloc');
    const roomBytes = [options.batch * most * pageBytes, options.batch * most * 4];
    /** What was allocated of these sizes. */
    const rooms = (): DeviceBuffer[] =>
      allocated.mock.results.map(({ value }) => value as DeviceBuffer).filter(({ bytes }) => roomBytes.includes(bytes));
    session.prefill(1, tensors([0, 10, 20, 30]));
    session.prefill(0, tensors([0, 10, 20, 30]));
    expect(rooms()).toEqual([]);
    for (const cuSeqlens of [[0, 1, 1, 1], [0, 200, 200, 200], [0, 0, 60, 60], [0, 1, 2, 3], [0, 1, 2, 2]]) {
      for (const layer of [1, 0]) session.prefill(layer, tensors(cuSeqlens));
    }
    const [pages, table] = rooms();
    expect(rooms().map(({ bytes }) => bytes)).toEqual(roomBytes);
    expect(pages!.bytes + table!.bytes).toBe(session.memory.expanded);
    const entries = table!.read(new Int32Array(options.batch * most));
    expect(entries, 'entry n is page n').toEqual(Int32Array.from(entries.keys()));
    expect(rooms().map(({ isDisposed }) => isDisposed)).toEqual([false, false]);
    session.dispose();
    expect(rooms().map(({ isDisposed }) => isDisposed)).toEqual([true, true]);
  });

  test('without room for their pages launch nothing, and the session goes on', () => {
    const { plan, launches } = noting({ ...spec, cacheType: 'e4m3' });
    using session = plan.createSession({ ...options, batch: 4, slots: 'free' });
    for (let slot = 0; slot < 3; slot += 1) session.add();
    const chunk = (cuSeqlens: readonly number[]) => tensors([...cuSeqlens, cuSeqlens.at(-1)!]);
    for (const layer of [0, 1, 2]) session.prefill(layer, chunk([0, 1, 1, 1]));
    taken(launches);
    const before = session.usage();
    {
      const alloc = device.alloc.bind(device);
      using _ = vi.spyOn(device, 'alloc').mockImplementation((bytes) => {
        if (bytes >= pageBytes) throw new RuntimeError('outOfMemory', 'there is no room for a page');
        return alloc(bytes);
      });
      expect(() => session.prefill(1, chunk([0, 1, 65, 65]))).toThrow(code('MOA6006', 'no room for a page'));
    }
    expect(launches).toEqual([]);
    expect([...session.lengths(1)]).toEqual([1, 0, 0, -1]);
    expect(session.usage(), 'no page is counted for it').toEqual(before);
    // No step is under way.
    expect(session.fork(1)).toBe(3);
    taken(launches);
    session.decode(0, tensors([]));
    expect(rolesOf(launches)).toEqual(['step', 'decode']);
    expect(launches.at(-1)!.field('early')).toBe(0);
    for (const layer of [1, 2]) session.decode(layer, tensors([]));
    session.prefill(1, chunk([0, 1, 65, 65]));
    expect([...session.lengths(1)]).toEqual([3, 65, 1, 1]);
  });

  test('are none where the cache has 16 bits', () => {
    const { plan, launches } = noting(spec);
    using session = plan.createSession(options);
    taken(launches);
    for (let n = 0; n < 2; n += 1) session.prefill(0, tensors([0, 1, 1, 1]));
    const plans = ['step', 'planPrefill'];
    expect(rolesOf(launches)).toEqual([...plans, 'append', 'prefill', ...plans, 'prefill', 'append']);
    expect(session.memory.expanded).toBe(0);
  });
});

describe('a package', () => {
  const folder = pathToFileURL('/nowhere/');
  const onGpu = (computeCapability: readonly [number, number], loaded: string[]): Device =>
    ({ kind: 'cuda', name: 'a GPU', computeCapability, loadCubin: (image: Uint8Array) => (loaded.push(String(image)), { kernel: () => ({}) }) }) as unknown as Device;
  const definitionOf = (cubins: Readonly<Record<string, string>>): PlanDefinition => ({ ...compileSpec(spec).definition, cubins });

  test.each<[readonly string[], readonly [number, number], string]>([
    [['sm_80', 'sm_90', 'sm_90a'], [9, 0], 'sm_90a'],
    [['sm_90a', 'sm_90'], [9, 0], 'sm_90a'],
    [['sm_80', 'sm_89', 'sm_86'], [8, 9], 'sm_89'],
  ])('of cubins for %j loads on compute capability %j the one for %s', async (names, capability, best) => {
    // The folder holds nothing: what is missing is what was chosen.
    const cubins = Object.fromEntries(names.map((name) => [name, `cubin/${name}.cubin`]));
    await expect(Plan.load(onGpu(capability, []), definitionOf(cubins), folder)).rejects.toThrow(`${best}.cubin`);
  });

  test('without machine code for a GPU says what it has', async () => {
    await expect(Plan.load(onGpu([10, 0], []), definitionOf({ sm_90a: 'cubin/sm_90a.cubin' }), folder)).rejects.toThrow(code('MOA6203', 'it was compiled for sm_90a'));
  });

  test('of another format is refused', async () => {
    await expect(Plan.load(device, { ...definitionOf({}), format: definitionFormat - 1 }, folder)).rejects.toThrow(code('MOA6201', `has format ${definitionFormat - 1}`));
  });
});
