/** What a session hands to its kernels, and what it refuses: with kernels that only take notes. */
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { definitionFormat, type PlanDefinition } from '../../src/ir/planDefinition.ts';
import type { KernelName } from '../../src/ir/nodes.ts';
import { paramStruct } from '../../src/kernels/paramStruct.ts';
import { Device, type DeviceBuffer, type Kernel } from '../../src/runtime/index.ts';
import type { LaunchConfig } from '../../src/runtime/kernel.ts';
import { Plan } from '../../src/runtime/plan.ts';
import { RuntimeError } from '../../src/runtime/runtimeError.ts';
import { sinkTable } from '../../src/runtime/sinkLogits.ts';
import { compileSpec, type PlanSpec } from '../properties/plans.ts';

const spec: PlanSpec = { shape: 'bf16_d64_2x2', rules: [[[128, 0, 1], [0, 1, 1]], [[128, 0, 1], [128, 0, 1]], [[0, 1, 1], [0, 1, 1]]], rope: true };
const code = (number: string, message = '') => expect.objectContaining({ code: number, message: expect.stringContaining(message) });

let device: Device;
let tensor: DeviceBuffer;
beforeAll(async () => {
  device = await Device.open('emulator');
  tensor = device.alloc(1 << 16);
});
afterAll(() => device.dispose());

type NotedLaunch = LaunchConfig & KernelName;

const decodeName: KernelName = { role: 'decode', variant: 'portable' };

/** A plan whose kernels run nothing and keep their launches. */
function noting(of: PlanSpec, definition: PlanDefinition = compileSpec(of).definition): { readonly plan: Plan; readonly launches: NotedLaunch[] } {
  const launches: NotedLaunch[] = [];
  const kernelOf = ({ role, variant }: KernelName): Kernel => ({ launch: (config: LaunchConfig) => launches.push({ ...config, params: config.params.slice(), role, variant }), occupancy: () => 1 }) as unknown as Kernel;
  return { plan: Plan.create(device, definition, [], new Map(definition.kernels.map((kernel) => [kernel.name, kernelOf(kernel)]))), launches };
}

const decodeField = (launch: LaunchConfig, name: string): number => field({ ...launch, ...decodeName }, name);

function field(launch: NotedLaunch, name: string): number {
  const { fields, bytes } = paramStruct(launch);
  const { type, offset } = fields.find((one) => one.name === name)!;
  expect(launch.params).toHaveLength(bytes);
  const view = new DataView(launch.params.buffer, launch.params.byteOffset);
  return type === 'pointer' ? Number(view.getBigUint64(offset, true)) : view.getInt32(offset, true);
}

describe('scores', () => {
  const tensors = () => ({ q: tensor, k: tensor, v: tensor, out: tensor });

  test('are scaled as the session says, else as the model', () => {
    const { definition } = compileSpec(spec);
    const scaled = { ...definition, attention: { softCap: 0, learnedSinks: false, scale: 0.3 } };
    for (const [of, options, scale] of [[definition, {}, 1 / 8], [scaled, {}, 0.3], [scaled, { scale: 0.7 }, 0.7]] as const) {
      const { plan, launches } = noting(spec, of);
      using session = plan.createSession({ batch: 1, lengthBound: 200, ...options });
      session.decode(0, tensors());
      const { offset } = paramStruct(decodeName).fields.find(({ name }) => name === 'scale')!;
      expect(new DataView(launches[0]!.params.buffer).getFloat32(offset, true)).toBe(Math.fround(scale));
    }
  });

  test('a layer has its own learned sinks, and the layers of a session are those of the plan', () => {
    const withSinks = { ...spec, learnedSinks: true };
    const { plan, launches } = noting(withSinks);
    using session = plan.createSession({ batch: 1, lengthBound: 200, layers: [0, 2], sinkLogits: [[1, 2], [3, 4], [5, -Infinity]] });
    session.decode(0, tensors());
    session.decode(2, tensors());
    const { fields, bytes } = paramStruct({ ...decodeName, learnedSinks: true });
    const { offset } = fields.find(({ name }) => name === 'sinkLogits')!;
    const [first, second] = launches.map(({ params }) => {
      expect(params).toHaveLength(bytes);
      return Number(new DataView(params.buffer, params.byteOffset).getBigUint64(offset, true));
    });
    expect(second! - first!).toBe(2 * 4);
    expect(sinkTable([0, 2], [[1, 2], [3, 4], [5, -Infinity]])).toEqual(Float32Array.of(1, 2, 5, -Infinity));
  });
});

describe('decode', () => {
  const tensors = () => ({ q: tensor, k: tensor, v: tensor, out: tensor });

  test('is one launch, that may begin before the one before it has ended', () => {
    const { plan, launches } = noting(spec);
    using session = plan.createSession({ batch: 3, lengthBound: 200 });
    session.decode(0, tensors());
    expect(launches.map(({ programmatic }) => programmatic)).toEqual([true]);
    expect(['slots', 'groupSize', 'queryHeads', 'kvHeads', 'sink'].map((name) => decodeField(launches[0]!, name))).toEqual([3, 1, 2, 2, plan.definition.limits.sink]);
    session.prefill(1, { ...tensors(), cuSeqlens: [0, 1, 2, 3] });
    expect(launches.slice(1).map(({ programmatic }) => programmatic)).toEqual([false, false]);
  });

  test('reads early where the launch before wrote another layer, and only there', () => {
    const { plan, launches } = noting(spec);
    using session = plan.createSession({ batch: 1, lengthBound: 200 });
    const early = (layer: number): boolean => {
      session.decode(layer, tensors());
      return decodeField(launches.at(-1)!, 'early') !== 0;
    };
    expect(early(0), 'the first of a session').toBe(false);
    expect([early(1), early(2), early(0)], 'layer after layer').toEqual([true, true, true]);
    expect([early(0), early(0), early(1)], 'the same layer again').toEqual([false, false, true]);
    session.reset();
    expect([early(0), early(1)], 'behind a reset').toEqual([false, true]);
    session.reset();
    session.prefill(1, { ...tensors(), cuSeqlens: [0, 1] });
    expect(early(1), 'behind a prefill of its layer').toBe(false);
    session.reset();
    session.prefill(1, { ...tensors(), cuSeqlens: [0, 1] });
    expect(early(2), 'behind a prefill of another layer').toBe(true);
    session.assumeFilled(100, 0);
    expect(early(2), 'behind what fills the cache').toBe(false);
  });

  test('a captured step begins when all before it has ended, and what follows it knows nothing of it', () => {
    const { plan, launches } = noting(spec);
    using session = plan.createSession({ batch: 1, lengthBound: 200 });
    session.decode(0, tensors());
    const from = launches.length;
    // The capture needs one launch of its own.
    expect(() =>
      session.capture(() => {
        for (const layer of [0, 1, 2]) session.decode(layer, tensors());
      }),
    ).not.toThrow();
    session.decode(1, tensors());
    expect(launches.slice(from).map((launch) => decodeField(launch, 'early'))).toEqual([1, 1, 1, 0]);
  });

  test('layers have their lengths in sectors of their own', () => {
    const { plan, launches } = noting(spec);
    using session = plan.createSession({ batch: 9, lengthBound: 200 });
    for (const layer of [0, 1, 2]) session.decode(layer, tensors());
    const addresses = launches.map((launch) => decodeField(launch, 'lengths'));
    expect(addresses.map((address) => address - addresses[0]!)).toEqual([0, 64, 128]);
  });

  test('with RoPE takes the kernels that rotate', () => {
    const { plan, launches } = noting(spec);
    using plain = plan.createSession({ batch: 1, lengthBound: 200 });
    using rope = plan.createSession({ batch: 1, lengthBound: 200, rope: { theta: 10_000 } });
    plain.decode(0, tensors());
    rope.decode(0, tensors());
    expect(launches.map((launch) => decodeField(launch, 'rope') !== 0)).toEqual([false, true]);
  });
});

test('assumeFilled: lengths, pages in use, and what the pool holds', () => {
  const { plan } = noting(spec);
  using session = plan.createSession({ batch: 2, lengthBound: 300 });
  session.assumeFilled(100, 0x3c);
  for (const layer of [0, 1, 2]) expect([...session.lengths(layer)]).toEqual([100, 100]);
  expect(session.pagesInUse(2)).toBe(2 * 2 * 2);
  const { keys } = session.cachedTokens(2, 1, 1) as unknown as { keys: Uint16Array };
  expect(new Set(keys)).toEqual(new Set([0x3c3c]));
  session.assumeFilled(300, 0);
  expect(() => session.decode(0, { q: tensor, k: tensor, v: tensor, out: tensor })).toThrow(code('MOA6101'));
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
    const [first, second, other] = launches.map((launch) => decodeField(launch, 'kvScales'));
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
    session.prefill(0, tensors([0, 70, 70, 130]));
    session.prefill(0, tensors([0, 1, 2, 2]));
    expect(launches.map(({ role }) => role)).toEqual(['append', 'prefill', 'append', 'expand', 'prefill', 'append']);
    const [whole, , rotate, expand, attend, append] = launches;
    const pool = field(whole!, 'pool');
    expect([field(rotate!, 'pool'), field(expand!, 'pool'), field(append!, 'pool')]).toEqual([0, pool, pool]);
    expect(field(attend!, 'pool')).toBe(field(expand!, 'expanded'));
    expect(field(attend!, 'pool')).not.toBe(pool);
    expect(field(expand!, 'pageTable')).toBe(field(append!, 'pageTable'));
    // 70 tokens of the first sequence in two rings; the second holds none yet, and the third gets none.
    expect([expand!.grid, field(expand!, 'ringCount'), expand!.programmatic]).toEqual([2 * 2, 2, false]);
  });

  test('take room once, for the layer and the lengths that need most, and more where more sequences go on', () => {
    const { plan } = noting({ ...spec, cacheType: 'e4m3' });
    const session = plan.createSession(options);
    using allocated = vi.spyOn(device, 'alloc');
    /** What was allocated that has room for a page. */
    const rooms = (): DeviceBuffer[] => allocated.mock.results.map(({ value }) => value as DeviceBuffer).filter(({ bytes }) => bytes >= pageBytes);
    session.prefill(1, tensors([0, 10, 20, 30]));
    session.prefill(0, tensors([0, 10, 20, 30]));
    expect(rooms()).toEqual([]);
    for (const [layer, cuSeqlens] of [[1, [0, 1, 1, 1]], [0, [0, 1, 1, 1]], [1, [0, 200, 200, 200]], [1, [0, 0, 60, 60]]] as const) session.prefill(layer, tensors(cuSeqlens));
    expect(rooms().map(({ bytes }) => bytes)).toEqual([most * pageBytes]);
    session.prefill(0, tensors([0, 1, 2, 3]));
    session.prefill(1, tensors([0, 1, 2, 2]));
    expect(rooms().map(({ bytes }) => bytes)).toEqual([most * pageBytes, 3 * most * pageBytes]);
    expect(session.memory.expanded).toBe(3 * most * (pageBytes + 4));
    expect(rooms().map(({ isDisposed }) => isDisposed)).toEqual([true, false]);
    session.dispose();
    expect(rooms().map(({ isDisposed }) => isDisposed)).toEqual([true, true]);
  });

  test('without room for their pages launch nothing, and the session goes on', () => {
    const { plan, launches } = noting({ ...spec, cacheType: 'e4m3' });
    using session = plan.createSession(options);
    session.prefill(1, tensors([0, 1, 1, 1]));
    session.decode(0, tensors([]));
    const before = launches.length;
    {
      const alloc = device.alloc.bind(device);
      using _ = vi.spyOn(device, 'alloc').mockImplementation((bytes) => {
        if (bytes >= pageBytes) throw new RuntimeError('outOfMemory', 'there is no room for a page');
        return alloc(bytes);
      });
      expect(() => session.prefill(1, tensors([0, 1, 2, 2]))).toThrow(code('MOA6006', 'no room for a page'));
    }
    expect(launches).toHaveLength(before);
    expect([...session.lengths(1)]).toEqual([1, 0, 0]);
    session.decode(0, tensors([]));
    expect(field(launches.at(-1)!, 'early'), 'what wrote the layer was the launch before').toBe(0);
    session.prefill(1, tensors([0, 1, 2, 2]));
    expect([...session.lengths(1)]).toEqual([2, 1, 0]);
  });

  test('are none where the cache has 16 bits', () => {
    const { plan, launches } = noting(spec);
    using session = plan.createSession(options);
    for (let n = 0; n < 2; n += 1) session.prefill(0, tensors([0, 1, 1, 1]));
    expect(launches.map(({ role }) => role)).toEqual(['append', 'prefill', 'prefill', 'append']);
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
