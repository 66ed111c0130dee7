/**
 * RoPE as Hugging Face transformers defines it (arXiv 2104.09864): frequencies and angles in
 * binary32, cos and sin of these angles. Elements i and i + rotaryDim / 2 turn together, or 2i and
 * 2i + 1; those from rotaryDim on do not.
 */

import { toElement, type OracleElement } from './rounding.ts';

export interface OracleRotation {
  readonly rotaryDim: number;
  readonly interleaved: boolean;
  /** Binary32, one for each pair. */
  readonly frequencies: Float32Array;
  /** Of cos and sin. */
  readonly factor: number;
}

const { fround } = Math;

/** All of a head in halves, `theta^(-2i / headDim)`. */
export function thetaRotation(headDim: number, theta: number): OracleRotation {
  const frequencies = Float32Array.from(
    { length: headDim / 2 },
    (_, pair) => 1 / fround(theta ** fround((2 * pair) / headDim)),
  );
  return { rotaryDim: headDim, interleaved: false, frequencies, factor: 1 };
}

/** The elements of pair `pair`. */
export function elementsOf(
  { rotaryDim, interleaved }: OracleRotation,
  pair: number,
): readonly [number, number] {
  return interleaved ? [2 * pair, 2 * pair + 1] : [pair, pair + rotaryDim / 2];
}

/** The element that turns with `element`; itself where it does not turn. */
export function partnerOf({ rotaryDim, interleaved }: OracleRotation, element: number): number {
  if (element >= rotaryDim) return element;
  if (interleaved) return element ^ 1;
  return element < rotaryDim / 2 ? element + rotaryDim / 2 : element - rotaryDim / 2;
}

/**
 * Row `row` of `values` (`[rows][headDim]`) turned to `position`, in binary64 from the binary32
 * angle on.
 */
export function rotatedRow(
  values: Float32Array,
  row: number,
  headDim: number,
  position: number,
  rotation: OracleRotation,
): Float64Array {
  const out = Float64Array.from(values.subarray(row * headDim, (row + 1) * headDim));
  rotation.frequencies.forEach((frequency, pair) => {
    const angle = fround(position * frequency);
    const [cos, sin] = [rotation.factor * Math.cos(angle), rotation.factor * Math.sin(angle)];
    const [i, j] = elementsOf(rotation, pair);
    const [x, y] = [values[row * headDim + i]!, values[row * headDim + j]!];
    out[i] = x * cos - y * sin;
    out[j] = y * cos + x * sin;
  });
  return out;
}

/** a b + c in binary32, rounded once but for ties that no value here meets. */
const multiplyAdd = (a: number, b: number, c: number): number => fround(a * b + c);
const multiply = (a: number, b: number): number => fround(a * b);

/**
 * cos and sin with the roundings that kernels promise (templates/include/moa/rotate.cuh) in a
 * session of `bound` tokens: those of the position's block and of its place in the block, turned by
 * each other, and turned back by what the rounding of the angle left.
 */
export function promisedAngle(
  frequency: number,
  factor: number,
  position: number,
  bound: number,
): readonly [number, number] {
  const block = 2 ** Math.ceil(Math.log2(bound) / 2);
  const within = (position % block) * frequency;
  const before = (position - (position % block)) * frequency;
  const [cosC, sinC] = [fround(factor * Math.cos(before)), fround(factor * Math.sin(before))];
  const [cosF, sinF] = [fround(Math.cos(within)), fround(Math.sin(within))];
  const cosT = multiplyAdd(cosC, cosF, -multiply(sinC, sinF));
  const sinT = multiplyAdd(sinC, cosF, multiply(cosC, sinF));
  const error = position * frequency - multiply(position, frequency);
  const square = multiply(error, error);
  const errorCos = multiplyAdd(square, -0.5, 1);
  const errorSin = multiply(error, multiplyAdd(square, fround(-1 / 6), 1));
  return [
    multiplyAdd(cosT, errorCos, multiply(sinT, errorSin)),
    multiplyAdd(sinT, errorCos, -multiply(cosT, errorSin)),
  ];
}

/**
 * `rotatedRow` with those roundings: one product rounded, the other added to it and rounded once,
 * then rounded to the element type.
 */
export function turnedRow(
  type: OracleElement,
  values: Float32Array,
  row: number,
  headDim: number,
  position: number,
  rotation: OracleRotation,
  bound: number,
): Float32Array {
  const out = values.slice(row * headDim, (row + 1) * headDim);
  rotation.frequencies.forEach((frequency, pair) => {
    const [cos, sin] = promisedAngle(frequency, rotation.factor, position, bound);
    const [i, j] = elementsOf(rotation, pair);
    const [x, y] = [values[row * headDim + i]!, values[row * headDim + j]!];
    out[i] = toElement(type, multiplyAdd(x, cos, -multiply(y, sin)));
    out[j] = toElement(type, multiplyAdd(y, cos, multiply(x, sin)));
  });
  return out;
}
