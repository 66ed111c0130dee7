import { readFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import { bytesOf, floatsOf, Kernel, seeds, Status, unwritten, type LaunchResult, type LaunchSpec } from './harness.ts';

const kernel = new Kernel('wgmma');
const text = readFileSync(new URL('fixtures/wgmma.cu', import.meta.url), 'utf8');
const lines = text.split('\n');
const lineOf = (mark: string): number => lines.findIndex((line) => line.includes(`// @${mark}`)) + 1;
const modes = (/enum Mode \{([^}]*)\}/.exec(text)?.[1] ?? '').split(',').map((name) => name.trim());

type Element = 'half' | 'bfloat16';
interface Shape {
  readonly element: Element;
  readonly n: number;
  readonly d: number;
}
/** In the order of the kernel's `shape`. */
const shapes: readonly Shape[] = [
  { element: 'half', n: 64, d: 64 },
  { element: 'half', n: 128, d: 64 },
  { element: 'half', n: 64, d: 128 },
  { element: 'half', n: 128, d: 128 },
  { element: 'bfloat16', n: 64, d: 64 },
  { element: 'bfloat16', n: 128, d: 128 },
  { element: 'half', n: 64, d: 256 },
  { element: 'bfloat16', n: 64, d: 256 },
];

/** Small integers, exact in both element types. */
const valueOfQ = (row: number, k: number): number => ((row * 7 + k * 3 + (row >> 3)) % 15) - 7;
const valueOfK = (n: number, k: number): number => ((n * 5 + k * 11 + (k >> 4)) % 13) - 6;
const valueOfP = (row: number, n: number): number => ((row * 3 + n * 13 + (n >> 5)) % 11) - 5;
const valueOfV = (n: number, d: number): number => ((n * 9 + d * 4 + (d >> 6) * 2) % 17) - 8;

function bitsOf(element: Element, value: number): number {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0] as number;
  if (element === 'bfloat16') return bits >>> 16;
  if (value === 0) return 0;
  return ((bits >>> 16) & 0x8000) | ((((bits >>> 23) & 0xff) - 112) << 10) | ((bits >>> 13) & 0x3ff);
}

function tile(element: Element, rows: number, columns: number, value: (row: number, column: number) => number): Uint8Array {
  return bytesOf(Uint16Array.from({ length: rows * columns }, (_, i) => bitsOf(element, value(Math.floor(i / columns), i % columns))));
}

function spec(mode: string, shape = 0): LaunchSpec {
  const i32 = modes.indexOf(mode);
  if (i32 < 0) throw new Error(`the fixture has no mode ${mode}`);
  const { element, n, d } = shapes[shape] as Shape;
  const inputs = [tile(element, 64, d, valueOfQ), tile(element, n, d, valueOfK), tile(element, 64, n, valueOfP), tile(element, n, d, valueOfV)];
  return {
    buffers: [...inputs, unwritten(64 * n * 4), unwritten(64 * d * 4)],
    params: [...[0, 1, 2, 3, 4, 5].map((buffer) => ({ buffer })), { i32 }, { i32: shape }],
    threads: 160,
    sharedBytes: (64 + 2 * n) * d * 2 + 16,
    findingCapacity: 256,
  };
}

/** Integers, so that the order of the sum does not matter. */
function product(columns: number, inner: number, a: (row: number, k: number) => number, b: (k: number, column: number) => number, start: number): Float32Array {
  return Float32Array.from({ length: 64 * columns }, (_, i) => {
    let sum = start;
    for (let k = 0; k < inner; k++) sum += a(Math.floor(i / columns), k) * b(k, i % columns);
    return sum;
  });
}
const scores = ({ n, d }: Shape): Float32Array => product(n, d, valueOfQ, (k, column) => valueOfK(column, k), 0);
const outputs = ({ n, d }: Shape): Float32Array => product(d, n, valueOfP, valueOfV, 1);
const s = (result: LaunchResult): Float32Array => floatsOf(result.buffers[4] as Buffer);
const o = (result: LaunchResult): Float32Array => floatsOf(result.buffers[5] as Buffer);

const forms = ['kRight', 'kQueriesHeld'].flatMap((mode) => shapes.map((shape, index) => ({ mode, ...shape, index })));
test.each(forms)('$mode: Q K^T and P V of $element, N $n, D $d', ({ mode, index, ...shape }) => {
  for (const result of kernel.launches(spec(mode, index), seeds(20))) {
    expect(result).toMatchObject({ status: Status.ok, findings: [] });
    expect(result.counters['wgmma']).toBe(4 * (shape.d / 16 + shape.n / 16));
    expect(s(result)).toEqual(scores(shape));
    expect(o(result)).toEqual(outputs(shape));
  }
});

test.each(['kPipelined', 'kNamedLater'])('%s: a wait lands what it covers and names; the rest is NaN', (mode) => {
  const shape = shapes[1] as Shape;
  for (const result of kernel.launches(spec(mode, 1), seeds(20))) {
    expect(result.findings).toEqual([]);
    expect(s(result)).toEqual(scores(shape));
    expect(o(result)).toEqual(outputs(shape));
  }
});

describe('every seed finds', () => {
  test.each([
    ['kNoFence', 'wgmma', 'first', 'wgmmaShared with no wgmmaFence since the last commit or wait'],
    ['kSecondFence', 'wgmma', 'noFence', 'with no wgmmaFence'],
    ['kNoWait', 'pending-wgmma', 'second', 'it never waited for this product'],
    ['kOtherBatch', 'pending-wgmma', 'second', 'it never waited for this product'],
    ['kNoCommit', 'pending-wgmma', 'second', 'it never committed this product'],
    ['kNotNamed', 'pending-wgmma', 'second', 'no wait from the one that covers this product on named its accumulator'],
    ['kAccumulatorWritten', 'wgmma', 'wait', 'wrote to the accumulator of the product at'],
    ['kFragmentsWritten', 'wgmma', 'registers', 'wrote to the registers of A, or they went out of scope'],
    ['kNoProxyFence', 'proxy', 'first', 'where a thread stored and called no asyncProxyFence since'],
    ['kSwizzle', 'wgmma', 'first', 'its swizzle is not that of 128 bytes'],
    ['kBaseOffset', 'wgmma', 'first', 'its base offset is not 0'],
    ['kReservedBits', 'wgmma', 'first', 'bits that mean nothing are set'],
    ['kStart', 'wgmma', 'first', 'its start is not in the first row of a swizzle'],
    ['kRowEnd', 'wgmma', 'first', 'a row of the swizzle has too few bytes'],
    ['kStride', 'wgmma', 'first', 'its strides are not multiples of 1024 bytes'],
    ['kOutside', 'shared-out-of-bounds', 'first', 'wgmmaShared reads row 8, chunk 1 of an operand: byte 24592 of 24592'],
    ['kUnaligned', 'wgmma', 'unaligned', 'multiples of 16 bytes are possible'],
    ['kOtherDescriptors', 'warpgroup', 'second', 'warps 0 and 2 of one warpgroup issued different products, 2 and 2'],
    ['kFewerProducts', 'warpgroup', 'first', 'warps 0 and 3 of one warpgroup issued different products, 2 and 1'],
    ['kOtherWait', 'warpgroup', 'otherWait', 'warps 0 and 2 of one warpgroup fenced, committed or waited at different lines'],
    ['kPartOfGroup', 'warpgroup', 'second', 'warps 4 and 5 of one warpgroup issued different products, 2 and 0'],
    ['kLanesDiffer', 'divergence', 'first', 'wgmmaShared with other arguments than lane 0'],
    ['kOtherShape', 'wgmma', 'first', 'on an accumulator that is in flight with another shape'],
  ])('%s: %s', (mode, kind, mark, message) => {
    for (const result of kernel.launches(spec(mode), seeds(30))) {
      expect(result.findings[0]?.kind).toBe(kind);
      expect(result.findings[0]?.message).toContain(`wgmma.cu:${lineOf(mark)}: block 0 thread `);
      expect(result.findings[0]?.message).toContain(message);
    }
  });

  test.each(['kNoWait', 'kOtherBatch', 'kNoCommit', 'kNotNamed'])('%s: NaN, for every seed', (mode) => {
    for (const result of kernel.launches(spec(mode), seeds(30))) expect(s(result).every(Number.isNaN)).toBe(true);
  });
});

describe('many seeds show', () => {
  const expected = product(64, 16, valueOfQ, (k, column) => valueOfK(column, k), 0).map((value) => 2 * value);
  const isWrong = (result: LaunchResult): boolean => result.findings.length > 0 || s(result).some((value, i) => value !== expected[i]);
  const share = (mode: string, shows: (result: LaunchResult) => boolean): number => kernel.launches(spec(mode), seeds(100)).filter(shows).length / 100;

  test('a store over what a product reads', () => {
    expect(share('kStoreInFlight', isWrong)).toBeGreaterThan(0.6);
  });
  test('a product of what no wait has shown', () => {
    expect(share('kNoFullWait', (result) => result.findings.some(({ kind }) => kind === 'in-flight'))).toBeGreaterThan(0.2);
  });
  test('a copy over what a product reads', () => {
    expect(share('kReleasedEarly', isWrong)).toBeGreaterThan(0.6);
  });
});

test('a product is cheap enough for whole prefills', () => {
  for (const [mode, products] of [['kSpeedShared', 8], ['kSpeedRegisters', 8]] as const) {
    const time = Math.min(...kernel.time(spec(mode, 3), 3)) / (20 * 4 * products);
    console.log(`${mode}: 64 x 128 x 16, one warp's part: ${(time / 1000).toFixed(1)} us`);
    expect(time).toBeLessThan(100_000);
  }
});
