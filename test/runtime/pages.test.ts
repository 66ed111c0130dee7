/** Pages of a session: what they are counted at, which steps are refused, and what the device has of it all. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { DeviceBuffer } from '../../src/runtime/buffer.ts';
import type { Device } from '../../src/runtime/device.ts';
import type { Plan } from '../../src/runtime/plan.ts';
import type { Session } from '../../src/runtime/session.ts';
import type { SessionOptions } from '../../src/runtime/sessionTypes.ts';
import { emulatorTarget } from '../properties/harness.ts';
import { failure } from './failure.ts';
import { watch, type WatchedSession } from './fakes/tables.ts';

/**
 * Three layers of two rings. Three rings keep 128 tokens: the sink's page, and one of the window. Three keep all: a
 * page for each 64 tokens. So a sequence of at most 64 tokens holds 6 pages, of 128 tokens 12, of 192 tokens 15, of 256
 * tokens 18, of 300 tokens 21.
 */
const short = [128, 0, 1] as const;
const dense = [0, 1, 1] as const;
const spec = { shape: 'bf16_d64_2x2', rules: [[short, dense], [short, short], [dense, dense]], rope: false } as const;
const layers = [0, 1, 2];
const bound = 300;
const batch = 3;
const [queryHeads, headDim] = [2, 64];

const target = emulatorTarget();
let device: Device;
let plan: Plan;
let tensors: Readonly<Record<'q' | 'k' | 'v' | 'out' | 'lse', DeviceBuffer>>;
beforeAll(async () => {
  device = await target.device({ multiprocessors: 4 });
  plan = await target.load(device, spec);
  const zeros = (): DeviceBuffer => device.alloc(2 * bound * queryHeads * headDim * 2).fill(0);
  tensors = { q: zeros(), k: zeros(), v: zeros(), out: zeros(), lse: device.alloc(2 * bound * queryHeads * 4) };
});
afterAll(() => device.dispose());

function create(options: Partial<SessionOptions> = {}): WatchedSession {
  const all = { batch, lengthBound: bound, slots: 'free', poolByte: 0xff, ...options } as const;
  return watch(device, plan.definition, () => plan.createSession(all));
}

/** New tokens of each slot, in all layers. */
function prefill(session: Session, added: readonly number[], served: readonly number[] = layers): void {
  const cuSeqlens = [0];
  for (let slot = 0; slot < session.batch; slot += 1) cuSeqlens.push(cuSeqlens[slot]! + (added[slot] ?? 0));
  for (const layer of served) session.prefill(layer, { ...tensors, cuSeqlens });
}

function decode(session: Session, served: readonly number[] = layers): void {
  for (const layer of served) session.decode(layer, tensors);
}

/** Tokens that the newest one of each slot attended in the last layer that was decoded: queries and keys are zeros. */
function attended(session: Session): number[] {
  const sums = tensors.lse.read(new Float32Array(session.batch * queryHeads));
  return Array.from({ length: session.batch }, (_, slot) => Math.round(Math.exp(sums[slot * queryHeads]!)));
}

/** What the host says, in one value. */
const said = (session: Session): unknown => [session.usage(), layers.map((layer) => [...session.lengths(layer)])];

/** The usage by hand, which is what the device has. */
function expectUsage({ session, pages }: WatchedSession, held: number, shared = 0): void {
  expect(session.usage()).toMatchObject({ held, shared, free: session.usage().pages - held });
  expect(pages(), 'on the device').toEqual({ held, shared });
}

/** A call that is refused, and changes nothing on the host or on the device. */
function expectRefused(code: string, watched: readonly WatchedSession[], call: () => unknown): string {
  const before = watched.map(({ session, readAll }) => [said(session), readAll()]);
  const error = failure(call);
  expect(error.code).toBe(code);
  expect(watched.map(({ session, readAll }) => [said(session), readAll()])).toEqual(before);
  return error.message;
}

describe('usage', () => {
  test('of sequences, forks and what is left of them, by hand', () => {
    const watched = create();
    using session = watched.session;
    const { pageBytes } = plan.definition.layout;
    expect(pageBytes).toBe(2 * 64 * headDim * 2);
    expect(session.usage()).toEqual({ pages: batch * 21, pageBytes, held: 0, shared: 0, free: batch * 21 });
    expect(session.usage().pages * pageBytes).toBe(session.memory.cache);
    expect([session.add(), session.add({ lengthBound: 100 })]).toEqual([0, 1]);
    expectUsage(watched, 0);
    prefill(session, [70, 10]);
    expectUsage(watched, 12 + 6);
    decode(session);
    expectUsage(watched, 12 + 6);
    prefill(session, [129]);
    expectUsage(watched, 18 + 6);

    expect(session.fork(0), '200 tokens').toBe(2);
    expectUsage(watched, 18 + 6, 18);
    // Token 200 lies in one page of each ring: one of the two copies it, the other keeps it.
    decode(session);
    expectUsage(watched, 18 + 6 + 6, 18 - 6);
    expect(attended(session)).toEqual([201, 12, 201]);
    // Up to token 260: a new page of the rings that keep all; all others are its own, or are not written.
    prefill(session, [0, 0, 60]);
    expectUsage(watched, 30 + 3, 12);

    session.truncate(1, 0);
    expectUsage(watched, 33 - 6, 12);
    // The copies of 6 pages were its own; what it shared is the other's.
    session.remove(0);
    expectUsage(watched, 21);
    session.remove(1);
    expect([session.fork(2), session.fork(2)]).toEqual([0, 1]);
    expectUsage(watched, 21, 21);
    // Of three that write, two copy.
    decode(session);
    expectUsage(watched, 21 + 12, 21 - 6);
    expect(attended(session)).toEqual([262, 262, 262]);
    session.remove(2);
    expectUsage(watched, 21 + 6, 21 - 6);
    session.remove(1);
    expectUsage(watched, 21);
    session.remove(0);
    expectUsage(watched, 0);
    session.dispose();
    expect(failure(() => session.usage()).code).toBe('MOA6005');
  });

  test('counts the pages of a step once, with its first layer', () => {
    const watched = create();
    using session = watched.session;
    session.add();
    prefill(session, [64]);
    for (const layer of layers) {
      decode(session, [layer]);
      expectUsage(watched, 12);
    }
    prefill(session, [64], [1]);
    expectUsage(watched, 15);
    prefill(session, [64], [0, 2]);
    expectUsage(watched, 15);
  });

  test('never counts a page too few behind a truncation of a fork', () => {
    const watched = create();
    using session = watched.session;
    const check = (held: number, shared: number): void => {
      const usage = session.usage();
      expect(watched.pages()).toEqual({ held, shared });
      expect(usage.held).toBeGreaterThanOrEqual(held);
      expect(usage.shared).toBeGreaterThanOrEqual(shared);
      expect(usage.held + usage.free).toBe(usage.pages);
    };
    session.add();
    prefill(session, [100]);
    session.fork(0);
    check(12, 12);
    session.truncate(1, 50);
    check(12, 6);
    // Token 100 of the one is in pages that it has alone now; token 50 of the other in shared ones.
    decode(session);
    check(12 + 6, 0);
    expect(attended(session).slice(0, 2)).toEqual([101, 51]);
    session.remove(0);
    expectUsage(watched, 6);
  });

  test('is what a session without pages of its own says', () => {
    using session = plan.createSession({ batch: 1, lengthBound: bound, pages: 0 });
    expect(session.usage()).toMatchObject({ pages: 0, held: 0, shared: 0, free: 0 });
    expect(failure(() => decode(session)).code).toBe('MOA6109');
    session.remove(0);
    decode(session);
    expect([...session.lengths(0)]).toEqual([-1]);
  });
});

test('a new session does not fill its pool, unless it is told with what', () => {
  for (const poolByte of [undefined, 0, 0xff]) {
    using filled = vi.spyOn(DeviceBuffer.prototype, 'fill');
    const given = poolByte === undefined ? {} : { poolByte };
    using session = plan.createSession({ batch, lengthBound: bound, ...given });
    const ofPool = filled.mock.contexts.filter((buffer) => (buffer as DeviceBuffer).bytes >= session.memory.cache);
    expect(ofPool).toHaveLength(poolByte === undefined ? 0 : 1);
  }
});

describe('a pool that is smaller than what all may need', () => {
  test('refuses the step that would not fit, and serves the next one after a sequence has ended', () => {
    const watched = create({ pages: 30 });
    using session = watched.session;
    expect([session.add(), session.add(), session.add()], 'who comes needs no page').toEqual([0, 1, 2]);
    session.remove(2);
    prefill(session, [200]);
    expectUsage(watched, 18);
    for (const served of [[0], [1], [2]]) {
      const message = expectRefused('MOA6109', [watched], () => prefill(session, [0, 129], served));
      expect(message).toContain('the new tokens need 15 pages, and 12 of the pool are free');
    }
    expectRefused('MOA6109', [watched], () => prefill(session, [100, 128]));
    prefill(session, [0, 128]);
    expectUsage(watched, 30);
    // A token of either alone: that of the first lies in a page that is there.
    expectRefused('MOA6109', [watched], () => prefill(session, [0, 1]));
    const message = expectRefused('MOA6109', [watched], () => decode(session));
    expect(message).toContain('the new tokens need 3 pages, and 0 of the pool are free');
    expect(message).toContain('remove or truncate a sequence');
    prefill(session, [1]);
    expectUsage(watched, 30);
    expect(session.add()).toBe(2);
    expectRefused('MOA6109', [watched], () => prefill(session, [0, 0, 1]));
    session.remove(2);

    session.remove(0);
    expectUsage(watched, 12);
    decode(session);
    expectUsage(watched, 15);
    expect(attended(session)[1]).toBe(129);
    expect([...session.lengths(0)]).toEqual([-1, 129, -1]);
  });

  test('refuses a step whose shared pages would have to be copied, and not the fork', () => {
    const watched = create({ pages: 20 });
    using session = watched.session;
    session.add();
    prefill(session, [200]);
    expect(session.fork(0)).toBe(1);
    expectUsage(watched, 18, 18);
    const message = expectRefused('MOA6109', [watched], () => decode(session));
    expect(message).toContain('the new tokens need 6 pages, and 2 of the pool are free');
    expectRefused('MOA6109', [watched], () => prefill(session, [0, 1]));
    session.remove(0);
    expectUsage(watched, 18);
    decode(session);
    expectUsage(watched, 18);
    expect(attended(session)[1]).toBe(201);
  });

  test('serves it after a truncation too, in the middle of what others hold', () => {
    const watched = create({ pages: 18 });
    using session = watched.session;
    session.add();
    session.add();
    prefill(session, [100, 64]);
    expectUsage(watched, 18);
    expectRefused('MOA6109', [watched], () => decode(session));
    session.truncate(0, 64);
    expectUsage(watched, 12);
    expectRefused('MOA6109', [watched], () => decode(session));
    session.truncate(0, 10);
    decode(session);
    expectUsage(watched, 18);
    expect(attended(session).slice(0, 2)).toEqual([11, 65]);
  });

  test.each([
    ['first', 'second'],
    ['second', 'first'],
  ] as const)('refuses a graph of the %s session and the %s: nothing has changed in either', (...order) => {
    const sessions = { first: create(), second: create({ pages: 18 }) };
    const both = Object.values(sessions);
    using first = sessions.first.session;
    using second = sessions.second.session;
    for (const session of [first, second]) {
      session.add();
      session.add();
      prefill(session, [100, 63]);
    }
    using graph = device.capture(() => order.forEach((name) => decode(sessions[name].session)));
    graph.launch();
    expectUsage(sessions.first, 18);
    expectUsage(sessions.second, 18);
    const message = expectRefused('MOA6109', both, () => graph.launch());
    expect(message).toContain('the new tokens need 6 pages, and 0 of the pool are free');
    // Nothing is under way: a fork is possible, and what was planned before is.
    second.remove(second.fork(0));
    decode(first);
    expectUsage(sessions.first, 24);
    expectRefused('MOA6109', both, () => graph.launch());
    expectRefused('MOA6109', both, () => decode(second));
    second.remove(0);
    graph.launch();
    expect([[...first.lengths(0)], [...second.lengths(2)]]).toEqual([[103, 66, -1], [-1, 65, -1]]);
    expectUsage(sessions.first, 24);
    expectUsage(sessions.second, 12);
    const [last, rows] = order[1] === 'first' ? [first, [103, 66]] : [second, [0, 65]];
    expect(attended(last).slice(0, 2)).toEqual(rows);
  });
});

describe('in the middle of a step', () => {
  test('a sequence is not forked, and others are', () => {
    const watched = create({ batch: 4 });
    using session = watched.session;
    session.add();
    session.add();
    prefill(session, [10, 10]);
    prefill(session, [5], [0]);
    const message = expectRefused('MOA6114', [watched], () => session.fork(0));
    expect(message).toContain('sequence 0 has 10 tokens in layer 1, and pages for 15: a step is under way');
    expect(session.fork(1), 'it has none of these tokens').toBe(2);
    prefill(session, [5], [1]);
    expect(expectRefused('MOA6114', [watched], () => session.fork(0))).toContain('in layer 2');
    prefill(session, [5], [2]);
    expect(session.fork(0)).toBe(3);
    session.remove(3);
    for (const served of [[0], [1]]) {
      decode(session, served);
      for (const slot of [0, 1, 2]) expectRefused('MOA6114', [watched], () => session.fork(slot));
    }
    decode(session, [2]);
    expect(attended(session).slice(0, 3)).toEqual([16, 11, 11]);
    expect(session.fork(2)).toBe(3);
    expect(layers.map((layer) => [...session.lengths(layer)])).toEqual(layers.map(() => [16, 11, 11, 11]));
  });

  test('a sequence goes back to what all layers have, and is in step again', () => {
    const watched = create();
    using session = watched.session;
    session.add();
    prefill(session, [62]);
    for (const layer of [0, 0, 0, 1]) decode(session, [layer]);
    expect(layers.map((layer) => session.lengths(layer)[0])).toEqual([65, 63, 62]);
    expectUsage(watched, 12);
    const message = expectRefused('MOA6110', [watched], () => session.truncate(0, 63));
    expect(message).toContain('sequence 0 has 62 tokens in layer 2, fewer than 63');
    expectRefused('MOA6114', [watched], () => session.fork(0));
    session.truncate(0, 62);
    expect(layers.map((layer) => session.lengths(layer)[0])).toEqual([62, 62, 62]);
    // The pages of token 64 are given back.
    expectUsage(watched, 6);
    expect(session.fork(0)).toBe(1);
    decode(session);
    expect(layers.map((layer) => [...session.lengths(layer)])).toEqual(layers.map(() => [63, 63, -1]));
    expect(attended(session).slice(0, 2)).toEqual([63, 63]);
    expectUsage(watched, 12);
  });

  test('the pages of a sequence stay when another layer, which has not its tokens yet, brings those of another', () => {
    const watched = create();
    using session = watched.session;
    session.add();
    session.add();
    prefill(session, [130], [0]);
    expectUsage(watched, 15);
    prefill(session, [0, 70], [1]);
    expectUsage(watched, 15 + 12);
    expect([...watched.read('reserved')]).toEqual([130, 70, 0]);
    decode(session, [0]);
    expectUsage(watched, 15 + 12);
    session.remove(0);
    expectUsage(watched, 12);
  });

  test('a sequence ends, or one comes, and the other layers of the step follow', () => {
    const watched = create();
    using session = watched.session;
    session.add();
    session.add();
    prefill(session, [64, 20]);
    decode(session, [0]);
    expectUsage(watched, 12 + 6);
    session.remove(1);
    expectUsage(watched, 12);
    expect(session.add()).toBe(1);
    decode(session, [1, 2]);
    expectUsage(watched, 12 + 6);
    expect(attended(session).slice(0, 2)).toEqual([65, 1]);
    expect(layers.map((layer) => [...session.lengths(layer)])).toEqual([[65, 0, -1], [65, 1, -1], [65, 1, -1]]);
    expectRefused('MOA6114', [watched], () => session.fork(1));
    expect(session.fork(0), 'all layers have its token').toBe(2);
  });
});

test('join and leave are names for add and remove', () => {
  const watched = create();
  using session = watched.session;
  expect([session.join(), session.add(), session.join({ lengthBound: 7 })]).toEqual([0, 1, 2]);
  expect([...session.lengthBounds()]).toEqual([bound, bound, 7]);
  expect([...watched.read('bounds')]).toEqual([bound, bound, 7]);
  const errors = [() => session.join(), () => session.add()].map((call) => failure(call));
  expect(errors.map(({ code }) => code)).toEqual(['MOA6108', 'MOA6108']);
  expect(errors[0]!.message).toBe(errors[1]!.message);
  prefill(session, [70, 1, 7]);
  expectUsage(watched, 12 + 6 + 6);
  session.leave(0);
  expectUsage(watched, 6 + 6);
  session.remove(2);
  expectUsage(watched, 6);
  expect([...watched.read('bounds')]).toEqual([0, bound, 0]);
  for (const call of [() => session.leave(0), () => session.remove(0)]) expect(failure(call).code).toBe('MOA6107');
});
