import { expect, test } from 'vitest';
import { decodeElements, encodeElements, roundToElement } from '../../src/runtime/elements.ts';

const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
const formats = [
  { type: 'bf16', exponentBits: 8, fractionBits: 7, quiet: 0x40 },
  { type: 'fp16', exponentBits: 5, fractionBits: 10, quiet: 0x200 },
] as const;

/** The value by the definition of the format. */
function valueOf(bits: number, exponentBits: number, fractionBits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >> fractionBits;
  const fraction = (bits & ((1 << fractionBits) - 1)) / 2 ** fractionBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

test.each(formats)('$type: every bit pattern decodes to its value and back to itself', ({ type, exponentBits, fractionBits, quiet }) => {
  const values = decodeElements(type, all);
  const fromFloats = encodeElements(type, values);
  const fromNumbers = encodeElements(type, Array.from(values));
  const wrong: number[] = [];
  for (let i = 0; i < 65536; i += 1) {
    const expected = valueOf(i, exponentBits, fractionBits);
    const same = Number.isNaN(expected)
      ? Number.isNaN(values[i]) && fromFloats[i] === (i | quiet) && (fromNumbers[i]! & 0x7fff) > ((2 ** exponentBits - 1) << fractionBits)
      : Object.is(values[i], expected) && fromFloats[i] === i && fromNumbers[i] === i;
    if (!same) wrong.push(i);
  }
  expect(wrong).toEqual([]);
});

// Between each two neighbours: the middle goes to the even one; the next float32 and the next double beside it go to the nearer.
test.each(formats)('$type: rounds to nearest, ties to even, between all neighbours', ({ type, exponentBits, fractionBits }) => {
  const infinity = (2 ** exponentBits - 1) << fractionBits;
  const wrong: string[] = [];
  const check = (value: number, expected: number) => {
    const got = [encodeElements(type, [value])[0], encodeElements(type, [-value])[0]! ^ 0x8000];
    if (Math.fround(value) === value) got.push(encodeElements(type, Float32Array.of(value))[0]);
    if (got.some((bits) => bits !== expected)) wrong.push(`${value} -> ${got.join()} but ${expected}`);
  };
  for (let low = 0; low < infinity; low += 1) {
    const a = valueOf(low, exponentBits, fractionBits);
    // Beyond the largest value, rounding goes on as if the exponent did.
    const b = low + 1 === infinity ? 2 ** (2 ** (exponentBits - 1)) : valueOf(low + 1, exponentBits, fractionBits);
    const middle = a + (b - a) / 2;
    check(middle, low % 2 === 0 ? low : low + 1);
    check(middle - (b - a) * 2 ** -12, low);
    check(middle + (b - a) * 2 ** -12, low + 1);
    // Not float32 values: rounding twice would take them for the middle.
    check(middle - (b - a) * 2 ** -40, low);
    check(middle + (b - a) * 2 ** -40, low + 1);
  }
  expect(wrong.slice(0, 5)).toEqual([]);
});

test('overflow, infinity, zero and tiny numbers', () => {
  expect(encodeElements('fp16', [65504, 65519.99, 65520, 1e300, Infinity, -Infinity, -0, 1e-300, 2 ** -25])).toEqual(
    Uint16Array.of(0x7bff, 0x7bff, 0x7c00, 0x7c00, 0x7c00, 0xfc00, 0x8000, 0, 0),
  );
  expect(encodeElements('bf16', [3.4028234663852886e38, 1e300, -0, 1e-300])).toEqual(Uint16Array.of(0x7f80, 0x7f80, 0x8000, 0));
  expect(roundToElement('bf16', 1.01)).toBe(1.0078125);
});

test('writes into a part of an array and refuses a wrong length', () => {
  const out = new Uint16Array(4);
  encodeElements('bf16', new Float32Array([0, 1, 2]).subarray(1), out.subarray(1, 3));
  expect(out).toEqual(Uint16Array.of(0, 0x3f80, 0x4000, 0));
  expect(() => encodeElements('bf16', [1], out)).toThrow('internal error');
});
