/** RoPE in float64, NeoX pairing: dimensions d and d + headDim / 2 turn by `position * theta^(-2d / headDim)` (arXiv 2104.09864). */

import { toElement, type OracleElement } from './rounding.ts';

/** Row `row` of `values` (`[rows][headDim]`) turned to `position`. */
export function rotatedRow(values: Float32Array, row: number, headDim: number, position: number, theta: number): Float64Array {
  const half = headDim / 2;
  const out = new Float64Array(headDim);
  for (let d = 0; d < half; d += 1) {
    const angle = position * theta ** ((-2 * d) / headDim);
    const [x, y] = [values[row * headDim + d]!, values[row * headDim + d + half]!];
    out[d] = x * Math.cos(angle) - y * Math.sin(angle);
    out[d + half] = y * Math.cos(angle) + x * Math.sin(angle);
  }
  return out;
}

/**
 * The same with the roundings that kernels promise (templates/include/moa/rotate.cuh): cos and sin in binary32, one product rounded, the other added
 * to it and rounded once, then rounded to the element type.
 */
export function turnedRow(type: OracleElement, values: Float32Array, row: number, headDim: number, position: number, theta: number): Float32Array {
  const half = headDim / 2;
  const out = new Float32Array(headDim);
  for (let d = 0; d < half; d += 1) {
    const angle = position * theta ** ((-2 * d) / headDim);
    const [cos, sin] = [Math.fround(Math.cos(angle)), Math.fround(Math.sin(angle))];
    const [x, y] = [values[row * headDim + d]!, values[row * headDim + d + half]!];
    // Products of an element and a binary32 are exact in binary64, and so, but for the last bits, are the sums.
    out[d] = toElement(type, Math.fround(x * cos - Math.fround(y * sin)));
    out[d + half] = toElement(type, Math.fround(y * cos + Math.fround(x * sin)));
  }
  return out;
}
