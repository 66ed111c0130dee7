import { expect, test } from 'vitest';

import { bytesOf, floatsOf, Kernel, shortsOf, unwritten, wordsOf, type LaunchResult } from './harness.ts';

const kernel = new Kernel('matrix');

function run(mode: number, input: Uint32Array, outBytes: number): LaunchResult {
  const spec = {
    buffers: [bytesOf(input), unwritten(outBytes)],
    params: [{ buffer: 0 }, { buffer: 1 }, { i32: mode }],
    threads: 32,
    sharedBytes: 4096,
  };
  const results = kernel.launches(spec, [1, 2, 3]);
  for (const result of results) {
    expect(result.findings).toEqual([]);
    expect(result.buffers[1]).toEqual(results[0]?.buffers[1]);
  }
  return results[0] as LaunchResult;
}

/** Small integers, exact in both element types, with products that no other place has. */
const valueOfA = (row: number, k: number): number => ((row * 7 + k * 3) % 15) - 7;
const valueOfB = (k: number, n: number): number => ((k * 5 + n * 11) % 13) - 6;
const valueOfD = (row: number, n: number): number => row * 100 + n;

function bitsOf(element: 'half' | 'bfloat16', value: number): number {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0] as number;
  if (element === 'bfloat16') return bits >>> 16;
  if (value === 0) return 0;
  return ((bits >>> 16) & 0x8000) | ((((bits >>> 23) & 0xff) - 112) << 10) | ((bits >>> 13) & 0x3ff);
}

test.each(['half', 'bfloat16'] as const)('mma of %s has the fragment layout of PTX and adds to d', (element) => {
  const pack = (low: number, high: number): number => (bitsOf(element, low) | (bitsOf(element, high) << 16)) >>> 0;
  const input = new Uint32Array(32 * 10);
  const floats = new Float32Array(input.buffer);
  for (let lane = 0; lane < 32; lane++) {
    const g = lane >> 2;
    const t = lane & 3;
    const a = (row: number, k: number): number => pack(valueOfA(row, k), valueOfA(row, k + 1));
    const b = (k: number, n: number): number => pack(valueOfB(k, n), valueOfB(k + 1, n));
    input.set([a(g, 2 * t), a(g + 8, 2 * t), a(g, 2 * t + 8), a(g + 8, 2 * t + 8), b(2 * t, g), b(2 * t + 8, g)], lane * 10);
    floats.set([valueOfD(g, 2 * t), valueOfD(g, 2 * t + 1), valueOfD(g + 8, 2 * t), valueOfD(g + 8, 2 * t + 1)], lane * 10 + 6);
  }
  const result = run(element === 'half' ? 0 : 1, input, 32 * 16);
  const d = floatsOf(result.buffers[1] as Buffer);
  for (let lane = 0; lane < 32; lane++) {
    for (let i = 0; i < 4; i++) {
      const row = (lane >> 2) + (i >> 1) * 8;
      const n = (lane & 3) * 2 + (i & 1);
      let expected = valueOfD(row, n);
      for (let k = 0; k < 16; k++) expected += valueOfA(row, k) * valueOfB(k, n);
      expect(d[lane * 4 + i], `lane ${lane} register ${i}`).toBe(expected);
    }
  }
  expect(result.counters['mma']).toBe(1);
});

test.each([false, true])('ldmatrix, transposed %s', (transposed) => {
  const input = new Uint32Array(32 + 1024);
  const elements = new Uint16Array(input.buffer, 128);
  elements.forEach((_, i) => (elements[i] = i));
  // Rows scattered over shared memory: lane i gives row i & 7 of matrix i >> 3.
  const offsetOf = (lane: number): number => ((lane * 37) % 256) * 16;
  for (let lane = 0; lane < 32; lane++) input[lane] = offsetOf(lane);
  const result = run(transposed ? 3 : 2, input, 32 * 16);
  const r = wordsOf(result.buffers[1] as Buffer);
  const element = (matrix: number, row: number, column: number): number => offsetOf(matrix * 8 + row) / 2 + column;
  for (let lane = 0; lane < 32; lane++) {
    for (let matrix = 0; matrix < 4; matrix++) {
      const g = lane >> 2;
      const t = lane & 3;
      const [low, high] = transposed
        ? [element(matrix, 2 * t, g), element(matrix, 2 * t + 1, g)]
        : [element(matrix, g, 2 * t), element(matrix, g, 2 * t + 1)];
      expect(r[lane * 4 + matrix], `lane ${lane} matrix ${matrix}`).toBe(low | (high << 16));
    }
  }
  expect(result.counters['ldmatrix']).toBe(1);
});

test('a row outside shared memory is a finding and loads NaN', () => {
  const input = new Uint32Array(32 + 1024);
  for (let lane = 0; lane < 32; lane++) input[lane] = lane * 16;
  input[9] = 4096;
  const spec = { buffers: [bytesOf(input), unwritten(512)], params: [{ buffer: 0 }, { buffer: 1 }, { i32: 2 }], threads: 32, sharedBytes: 4096 };
  const result = kernel.launch(spec, 0);
  expect(result.status).toBe(0);
  expect(result.findings.map((finding) => finding.kind)).toEqual(['shared-out-of-bounds']);
  expect(result.findings[0]?.message).toMatch(/matrix\.cu:\d+: block 0 thread 9 .*ldmatrixX4 of 16 bytes .*byte 4096 of 4096/);
  const r = wordsOf(result.buffers[1] as Buffer);
  expect(r[4 * 4 + 1]).toBe(0xffffffff); // lane 4 holds row 1 of matrix 1
  expect(r[4 * 4]).toBe(0);
});

test('ldmatrix and mma together give Q K^T and Q V', () => {
  const input = new Uint32Array(384);
  const elements = new Uint16Array(input.buffer);
  const value = (tile: number, row: number, column: number): number => ((tile * 3 + row * 5 + column * 7) % 9) - 4;
  for (let tile = 0; tile < 3; tile++)
    for (let row = 0; row < 16; row++)
      for (let column = 0; column < 16; column++) elements[tile * 256 + row * 16 + column] = bitsOf('half', value(tile, row, column));
  const out = floatsOf(run(4, input, 2 * 1024).buffers[1] as Buffer);
  for (let row = 0; row < 16; row++) {
    for (let column = 0; column < 16; column++) {
      let s = 0;
      let o = 0;
      for (let k = 0; k < 16; k++) {
        s += value(0, row, k) * value(1, column, k);
        o += value(0, row, k) * value(2, k, column);
      }
      expect(out[row * 16 + column], `S ${row} ${column}`).toBe(s);
      expect(out[256 + row * 16 + column], `O ${row} ${column}`).toBe(o);
    }
  }
});

test('NaN, infinities and denormals go through mma as IEEE says', () => {
  const half = { nan: 0x7e00, infinity: 0x7c00, least: 0x0001, one: 0x3c00 };
  const input = new Uint32Array(320);
  const shorts = new Uint16Array(input.buffer);
  // Column k = 0 of a times row k = 0 of b, which is 1 everywhere: d(row, n) = a(row, 0). Lane 4g + 0 holds a(g, 0) and b(0, g).
  for (let g = 0; g < 8; g++) shorts[g * 4 * 20 + 4 * 2] = half.one;
  [half.nan, half.infinity, half.least, half.infinity | 0x8000].forEach((bits, row) => (shorts[row * 4 * 20] = bits));
  const d = floatsOf(run(0, input, 512).buffers[1] as Buffer);
  expect([0, 1, 2, 3, 4].map((row) => d[row * 16])).toEqual([NaN, Infinity, 2 ** -24, -Infinity, 0]);
  expect(shortsOf(bytesOf(input))[8]).toBe(half.one);
});
