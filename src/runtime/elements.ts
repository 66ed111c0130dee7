import type { ElementType } from '../ir/nodes.ts';
import { invariant } from '../util/invariant.ts';

/**
 * Conversions between numbers and the 16-bit storage of kernels. All round once, to nearest, ties to even; overflow gives infinity;
 * a NaN stays a NaN, quiet, with its sign and upper payload.
 */

/** Values to the bits of `type`. `out` must have their length. */
export function encodeElements(type: ElementType, values: ArrayLike<number>, out = new Uint16Array(values.length)): Uint16Array {
  invariant(out.length === values.length, `encodeElements: ${values.length} values into ${out.length}`);
  const float32Bits = values instanceof Float32Array ? new Uint32Array(values.buffer, values.byteOffset, values.length) : oddRounded(values);
  if (type === 'bf16') encodeBf16(float32Bits, out);
  else encodeFp16(float32Bits, out);
  return out;
}

/** The bits of `type` to values, exactly. `out` must have their length. */
export function decodeElements(type: ElementType, bits: Uint16Array, out = new Float32Array(bits.length)): Float32Array {
  invariant(out.length === bits.length, `decodeElements: ${bits.length} elements into ${out.length}`);
  const outBits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  if (type === 'bf16') {
    for (let i = 0; i < bits.length; i += 1) outBits[i] = bits[i]! << 16;
  } else {
    const table = fp16Table();
    for (let i = 0; i < bits.length; i += 1) outBits[i] = table[bits[i]!]!;
  }
  return out;
}

/** One value, rounded to `type`. */
export function roundToElement(type: ElementType, value: number): number {
  return decodeElements(type, encodeElements(type, [value]))[0]!;
}

function encodeBf16(bits: Uint32Array, out: Uint16Array): void {
  for (let i = 0; i < bits.length; i += 1) {
    const b = bits[i]!;
    // A NaN whose payload is in the low half only would round to infinity: set the quiet bit instead.
    out[i] = (b & 0x7fffffff) > 0x7f800000 ? (b >>> 16) | 0x40 : (b + 0x7fff + ((b >>> 16) & 1)) >>> 16;
  }
}

function encodeFp16(bits: Uint32Array, out: Uint16Array): void {
  for (let i = 0; i < bits.length; i += 1) {
    const b = bits[i]!;
    const sign = (b >>> 16) & 0x8000;
    const magnitude = b & 0x7fffffff;
    if (magnitude >= 0x477ff000) {
      // 65520 and above is nearer to the next power of two than to 65504, the largest fp16.
      out[i] = magnitude > 0x7f800000 ? sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff) : sign | 0x7c00;
    } else if (magnitude >= 0x38800000) {
      // Normal, 2^-14 and above: move the exponent from bias 127 to bias 15; a carry out of the fraction raises it.
      out[i] = sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
    } else if (magnitude > 0x33000000) {
      // Subnormal: the fraction with its leading 1, in units of 2^-24. 2^-25 itself ties to zero.
      const fraction = (magnitude & 0x7fffff) | 0x800000;
      const shift = 126 - (magnitude >>> 23);
      out[i] = sign | ((fraction + (1 << (shift - 1)) - 1 + ((fraction >>> shift) & 1)) >>> shift);
    } else {
      out[i] = sign;
    }
  }
}

/**
 * The float32 bits of doubles, rounded to odd: an inexact value becomes the neighbour whose last bit is 1. Rounding that to 16 bits
 * gives what rounding the double at once would give; rounding to nearest twice would not.
 */
function oddRounded(values: ArrayLike<number>): Uint32Array {
  const floats = new Float32Array(values.length);
  const bits = new Uint32Array(floats.buffer);
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i]!;
    const nearest = Math.fround(value);
    floats[i] = nearest;
    if (nearest === value || value !== value) continue;
    const towardsZero = Math.abs(nearest) > Math.abs(value) ? bits[i]! - 1 : bits[i]!;
    bits[i] = towardsZero | 1;
  }
  return bits;
}

let fp16Bits: Uint32Array | undefined;

/** The float32 bits of every fp16: 256 KiB, made when first needed. */
function fp16Table(): Uint32Array {
  fp16Bits ??= Uint32Array.from({ length: 65536 }, (_, h) => {
    const sign = (h & 0x8000) << 16;
    const exponent = (h >>> 10) & 0x1f;
    const fraction = h & 0x3ff;
    if (exponent === 31) return (sign | 0x7f800000 | (fraction << 13) | (fraction === 0 ? 0 : 0x400000)) >>> 0;
    if (exponent !== 0) return (sign | ((exponent + 112) << 23) | (fraction << 13)) >>> 0;
    if (fraction === 0) return sign >>> 0;
    // Subnormal: fraction x 2^-24. With its leading 1 at bit n it is 1.x times 2^(n - 24).
    const n = 31 - Math.clz32(fraction);
    return (sign | ((n + 103) << 23) | ((fraction << (23 - n)) & 0x7fffff)) >>> 0;
  });
  return fp16Bits;
}
