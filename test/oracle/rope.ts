/** RoPE in float64, NeoX pairing: dimensions d and d + headDim / 2 turn by `position * theta^(-2d / headDim)` (arXiv 2104.09864). */

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
