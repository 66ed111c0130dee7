import { expect, test } from 'vitest';

import { bytesOf, floatsOf, Kernel, unwritten, wordsOf } from './harness.ts';

const kernel = new Kernel('convert');
const modes = { unpackHalf: 0, unpackBfloat16: 1, packHalf: 2, packBfloat16: 3, exp2: 4, log: 5, divide: 6, largerThanOne: 7, oneOrLarger: 8 };

/** Results, as bits, over all inputs. */
function run(mode: keyof typeof modes, input: Uint32Array): Uint32Array {
  const padded = new Uint32Array(Math.ceil(input.length / 32) * 32);
  padded.set(input);
  const result = kernel.launch(
    {
      buffers: [bytesOf(padded), unwritten(padded.byteLength)],
      params: [{ buffer: 0 }, { buffer: 1 }, { i32: modes[mode] }, { i32: padded.length }],
      threads: 32,
    },
    0,
  );
  expect(result.findings).toEqual([]);
  return wordsOf(result.buffers[1] as Uint8Array).subarray(0, input.length);
}

const floats = (values: readonly number[]): Uint32Array => new Uint32Array(Float32Array.from(values).buffer);
const bitsToFloats = (bits: Uint32Array): Float32Array => floatsOf(bytesOf(Uint32Array.from(bits)));

interface Format {
  readonly mantissaBits: number;
  readonly bias: number;
}
const formats = { Half: { mantissaBits: 10, bias: 15 }, Bfloat16: { mantissaBits: 7, bias: 127 } } as const;

/** By definition, from the fields. */
function valueOf(bits: number, { mantissaBits, bias }: Format): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponentBits = 15 - mantissaBits;
  const exponent = (bits >> mantissaBits) & ((1 << exponentBits) - 1);
  const mantissa = bits & ((1 << mantissaBits) - 1);
  if (exponent === (1 << exponentBits) - 1) return mantissa === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - mantissaBits);
  return sign * (1 + mantissa * 2 ** -mantissaBits) * 2 ** (exponent - bias);
}

const all = Uint32Array.from({ length: 65536 }, (_, i) => i);

test.each(['Half', 'Bfloat16'] as const)('all 65536 values of %s are decoded exactly and encoded back', (name) => {
  const decoded = run(`unpack${name}`, all);
  const values = bitsToFloats(decoded);
  // Object.is tells 0 from -0 and takes one NaN for another.
  const wrong = [...all].filter((bits) => !Object.is(values[bits], valueOf(bits, formats[name])));
  expect(wrong).toEqual([]);
  const encoded = run(`pack${name}`, decoded);
  expect([...all].filter((bits) => encoded[bits] !== (Number.isNaN(values[bits]) ? 0x7fff : bits))).toEqual([]);
});

test.each(['Half', 'Bfloat16'] as const)('between any two neighbours of %s rounding is to nearest even', (name) => {
  const { mantissaBits, bias } = formats[name];
  const infinity = ((1 << (15 - mantissaBits)) - 1) << mantissaBits;
  const inputs: number[] = [];
  const expected: number[] = [];
  // The step past the largest finite value counts as if the next power of two were there: half of it rounds to infinity.
  const stepOf = (low: number): number => 2 ** (Math.max(low >> mantissaBits, 1) - bias - mantissaBits);
  for (let low = 0; low < infinity; low++) {
    const middle = valueOf(low, formats[name]) + stepOf(low) / 2;
    const [bits] = floats([middle]);
    if (bits === undefined) throw new Error('no bits');
    for (const [input, output] of [[bits - 1, low], [bits, low % 2 === 0 ? low : low + 1], [bits + 1, low + 1]] as const) {
      inputs.push(input, input + 0x80000000);
      expected.push(output, output + 0x8000);
    }
  }
  const got = run(`pack${name}`, Uint32Array.from(inputs));
  const wrong = expected.flatMap((value, i) => (got[i] === value ? [] : [[inputs[i], value, got[i]]]));
  expect(wrong).toEqual([]);
});

test('floats beyond the range of an element', () => {
  const huge = floats([65504, 65519, 65520, 1e30, -1e30, Infinity, -Infinity, NaN, 2 ** -25, 2 ** -26, 1e-40, -0]);
  expect([...run('packHalf', huge)]).toEqual([0x7bff, 0x7bff, 0x7c00, 0x7c00, 0xfc00, 0x7c00, 0xfc00, 0x7fff, 0, 0, 0, 0x8000]);
  expect([...run('packBfloat16', floats([3.4e38, Infinity, -Infinity, NaN, -0]))]).toEqual([0x7f80, 0x7f80, 0xff80, 0x7fff, 0x8000]);
});

test('elementary functions', () => {
  const points = [-Infinity, -1000, -150, -127, -126, -1.5, 0, 0.25, 10, 127, 128, Infinity];
  const powers = bitsToFloats(run('exp2', floats(points)));
  points.forEach((x, i) => {
    const exact = x < -126 ? 0 : Math.fround(2 ** x); // denormal results are flushed
    expect(powers[i], `2^${x}`).toSatisfy((got: number) => got === exact || Math.abs(got - exact) <= exact * 2 ** -22);
  });
  const logarithms = bitsToFloats(run('log', floats([1, Math.E, 1e10, 0])));
  expect(logarithms[0]).toBe(0);
  expect(logarithms[1]).toBeCloseTo(1, 6);
  expect(logarithms[2]).toBeCloseTo(Math.log(1e10), 5);
  expect(logarithms[3]).toBe(-Infinity);
  const quotients = bitsToFloats(run('divide', floats([2, 0, -4, 2 ** 126, 2 ** 127, Infinity])));
  expect([...quotients]).toEqual([1.5, Infinity, -0.75, 3 * 2 ** -126, 0, 0]);
  for (const mode of ['largerThanOne', 'oneOrLarger'] as const)
    expect([...bitsToFloats(run(mode, floats([0, 2, -Infinity, Infinity, NaN])))]).toEqual([1, 2, 1, Infinity, 1]);
});
