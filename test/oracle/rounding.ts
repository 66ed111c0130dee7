/** Rounding to the 16-bit element types in float64 arithmetic: its own code, apart from the conversions of the runtime. */

export type OracleElement = 'bf16' | 'fp16';

interface Format {
  /** Bits of the fraction after the leading 1. */
  readonly fractionBits: number;
  /** Exponent of the smallest normal number. */
  readonly minExponent: number;
  readonly largest: number;
}

const formats: Readonly<Record<OracleElement, Format>> = {
  bf16: { fractionBits: 7, minExponent: -126, largest: (2 - 2 ** -7) * 2 ** 127 },
  fp16: { fractionBits: 10, minExponent: -14, largest: 65504 },
};

const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);

/** By the 11 exponent bits of a float64. To compute a power takes longer than all the rest of a rounding. */
const stepsOf = ({ fractionBits, minExponent }: Format): Float64Array =>
  Float64Array.from({ length: 2048 }, (_, bits) => 2 ** (Math.max(bits - 1023, minExponent) - fractionBits));
const steps: Readonly<Record<OracleElement, Float64Array>> = { bf16: stepsOf(formats.bf16), fp16: stepsOf(formats.fp16) };

/** Distance between neighbouring elements at the magnitude of `value`. */
export function elementStep(type: OracleElement, value: number): number {
  float[0] = value;
  return steps[type][(words[1]! >>> 20) & 0x7ff]!;
}

/** Adding and subtracting it rounds a float64 of moderate size to an integer, ties to even. */
const roundingConstant = 1.5 * 2 ** 52;

/** `value` as an element: nearest, ties to even. */
export function toElement(type: OracleElement, value: number): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  const step = elementStep(type, value);
  const rounded = (value / step + roundingConstant - roundingConstant) * step;
  return Math.abs(rounded) > formats[type].largest ? Math.sign(value) * Infinity : rounded;
}
