/** Several tokens at once with a count for each sequence: the other rows are ignored, whatever is in them. */
import { describe, expect, test } from 'vitest';
import type { DeviceBuffer } from '../../src/runtime/buffer.ts';
import { encodeElements } from '../../src/runtime/elements.ts';
import type { Session } from '../../src/runtime/session.ts';
import type { PlanSpec } from './plans.ts';
import { Random } from './random.ts';
import { target, timeout } from './suite.ts';

const spec = { shape: 'bf16_d64_2x1', rules: [[[128, 0, 1], [192, 0, 1]]], slack: 64, decodeTokens: 16 } as const satisfies Omit<PlanSpec, 'rope'>;
const [batch, queryHeads, kvHeads, headDim] = [3, 2, 1, 64];
const code = (number: string) => expect.objectContaining({ code: number });

describe.each(['portable', 'hopper'] as const)('counts of a decode on %s', (family) => {
  test.each([false, true])('with RoPE %s: as all rows and a truncation, bit for bit, whatever lies in the other rows', { timeout }, async (rope) => {
    const device = await target.device({ multiprocessors: 8 });
    using plan = await target.load(device, { ...spec, rope, family });
    const options = { batch, lengthBound: 300, decodeTokens: 16, poolByte: 0xff, ...(rope ? { rope: { theta: 10_000 } } : {}) };
    using counted = plan.createSession(options);
    using whole = plan.createSession(options);
    const random = new Random(7);
    const rows = (count: number, heads: number, fill?: number): Uint16Array => encodeElements('bf16', Float32Array.from({ length: count * heads * headDim }, () => fill ?? random.normal()));
    const tensors = (q: Uint16Array, k: Uint16Array, v: Uint16Array) => ({ q: device.upload(q), k: device.upload(k), v: device.upload(v), out: device.alloc(q.byteLength).fill(0xff), lse: device.alloc((q.length / headDim) * 4).fill(0xff) });

    const lengths = [150, 30, 0];
    const [q, k, v] = [rows(180, queryHeads), rows(180, kvHeads), rows(180, kvHeads)];
    for (const session of [counted, whole]) session.prefill(0, { ...tensors(q, k, v), cuSeqlens: [0, 150, 180, 180] });

    for (const [tokens, counts] of [[4, [2, 4, 0]], [16, [5, 0, 16]], [1, [0, 1, 1]], [7, [7, 7, 7]], [3, [0, 0, 0]]] as const) {
      const given = { q: rows(batch * tokens, queryHeads), k: rows(batch * tokens, kvHeads), v: rows(batch * tokens, kvHeads) };
      const poisoned = { q: given.q.slice(), k: given.k.slice(), v: given.v.slice() };
      counts.forEach((count, slot) => {
        for (const [name, heads] of [['q', queryHeads], ['k', kvHeads], ['v', kvHeads]] as const) {
          const row = heads * headDim;
          poisoned[name].fill(slot % 2 === 0 ? 0x7fff : 0x7f80, (slot * tokens + count) * row, (slot + 1) * tokens * row);
        }
      });
      const own = tensors(poisoned.q, poisoned.k, poisoned.v);
      const all = tensors(given.q, given.k, given.v);
      counted.decode(0, { ...own, tokens, counts });
      whole.decode(0, { ...all, tokens });
      counts.forEach((count, slot) => {
        lengths[slot]! += count;
        whole.truncate(slot, lengths[slot]!);
      });
      expect([...counted.lengths(0)]).toEqual(lengths);
      const read = (buffer: DeviceBuffer) => buffer.read(new Uint16Array(buffer.bytes / 2));
      counts.forEach((count, slot) => {
        const row = queryHeads * headDim;
        const [begin, end, last] = [slot * tokens * row, (slot * tokens + count) * row, (slot + 1) * tokens * row];
        expect(read(own.out).subarray(begin, end), `slot ${slot} of ${counts.join()}`).toEqual(read(all.out).subarray(begin, end));
        expect(new Set(read(own.out).subarray(end, last)), 'rows that are no token').toEqual(new Set(count < tokens ? [0] : []));
        // Rows that are no token lie as they were given.
        expect(read(own.q).subarray(end, last)).toEqual(poisoned.q.subarray(end, last));
        const lse = own.lse.read(new Float32Array(batch * tokens * queryHeads)).subarray((slot * tokens + count) * queryHeads, (slot + 1) * tokens * queryHeads);
        expect(lse.every((value) => value === -Infinity)).toBe(true);
      });
      for (const buffer of [...Object.values(own), ...Object.values(all)]) buffer.dispose();
    }
    expect(cachesOf(counted)).toEqual(cachesOf(whole));
  });

  test('rows that would not fit, and are no token, leave a full ring as it is', { timeout }, async () => {
    const device = await target.device({ multiprocessors: 8 });
    using plan = await target.load(device, { shape: spec.shape, rules: [[[0, 1, 1], [0, 1, 1]]], decodeTokens: 4, rope: false, family });
    using counted = plan.createSession({ batch: 1, lengthBound: 128, decodeTokens: 4 });
    using exact = plan.createSession({ batch: 1, lengthBound: 128, decodeTokens: 4 });
    const random = new Random(8);
    const rows = (count: number, heads: number): Uint16Array => encodeElements('bf16', Float32Array.from({ length: count * heads * headDim }, () => random.normal()));
    const [prompt, step] = [126, 4].map((count) => ({ q: rows(count, queryHeads), k: rows(count, kvHeads), v: rows(count, kvHeads) })) as [Record<'q' | 'k' | 'v', Uint16Array>, Record<'q' | 'k' | 'v', Uint16Array>];
    const tensors = ({ q, k, v }: typeof prompt) => ({ q: device.upload(q), k: device.upload(k), v: device.upload(v), out: device.alloc(q.byteLength) });
    for (const session of [counted, exact]) session.prefill(0, { ...tensors(prompt), cuSeqlens: [0, 126] });
    counted.decode(0, { ...tensors(step), tokens: 4, counts: [2] });
    exact.decode(0, { ...tensors(step), tokens: 2 });
    expect([...counted.lengths(0)]).toEqual([128]);
    expect(counted.cachedTokens(0, 0, 0)).toEqual(exact.cachedTokens(0, 0, 0));
  });
});

/** Of rings that both have as long as they are needed: the last tokens of the longest window. */
function cachesOf(session: Session): unknown {
  return Array.from({ length: batch }, (_, slot) => {
    const { positions, keys, values } = session.cachedTokens(0, slot, 0);
    const recent = [...positions].map((position, n) => [position, n] as const).filter(([position]) => position < 64 || position > session.lengths(0)[slot]! - 128);
    return recent.map(([position, n]) => [position, [...keys.subarray(n * headDim, (n + 1) * headDim)], [...values.subarray(n * headDim, (n + 1) * headDim)]]);
  });
}

test('counts that are none are refused, and nothing is counted', { timeout }, async () => {
  const device = await target.device({ multiprocessors: 8 });
  using plan = await target.load(device, { ...spec, rope: false });
  using session = plan.createSession({ batch: 2, lengthBound: 10, decodeTokens: 4 });
  using one = plan.createSession({ batch: 2, lengthBound: 10 });
  using buffer = device.alloc(1 << 14).fill(0);
  using words = device.upload(Int32Array.of(1, 2));
  using floats = device.tensor([2], 'fp32');
  const call = { q: buffer, k: buffer, v: buffer, out: buffer, tokens: 4 };
  for (const counts of [[1], [1, 2, 3], [-1, 0], [0, 5], [0.5, 1], [NaN, 1], ['1', 1], [1n, 1], null, 3, {}, '11', new Map(), floats, words.slice(0, 4), buffer.slice(2, 8)]) {
    expect(() => session.decode(0, { ...call, counts: counts as never }), String(counts)).toThrow(code('MOA6113'));
  }
  expect(() => session.decode(0, { ...call, tokens: 1, counts: [2, 0] })).toThrow(code('MOA6113'));
  expect(() => one.decode(0, { ...call, tokens: 1, counts: [1, 1] })).toThrow(code('MOA6111'));
  expect(() => session.prefill(0, { ...call, tokens: undefined, counts: [1, 1], cuSeqlens: [0, 1, 2] } as never)).toThrow(code('MOA6112'));
  using other = device.upload(Int32Array.of(4, 9));
  expect(() => session.decode(0, { ...call, counts: other })).toThrow(code('MOA6113'));
  expect([...session.lengths(0)]).toEqual([0, 0]);

  using step = session.capture(() => session.decode(0, { ...call, counts: words }));
  words.write(Int32Array.of(5, 0));
  expect(() => step.launch()).toThrow(code('MOA6113'));
  words.write(Int32Array.of(4, 1));
  step.launch();
  step.launch();
  expect([...session.lengths(0)]).toEqual([8, 2]);
  expect(() => step.launch()).toThrow(code('MOA6101'));
  words.write(Int32Array.of(2, 4));
  step.launch();
  expect([...session.lengths(0)]).toEqual([10, 6]);
  session.decode(0, { ...call, counts: Uint8Array.of(0, 4) });
  expect([...session.lengths(0)]).toEqual([10, 10]);
  words.dispose();
  expect(() => step.launch()).toThrow(code('MOA6005'));
});
