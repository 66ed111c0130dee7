/** E4M3 by a table of its 127 magnitudes (OCP 8-bit Floating Point Specification 1.0): nearest, ties to even, saturating. */

/** The magnitude of codes 0 to 126. */
const magnitudes = Float64Array.from({ length: 127 }, (_, code) => {
  const [exponent, fraction] = [code >> 3, code & 7];
  return exponent === 0 ? (fraction / 8) * 2 ** -6 : (1 + fraction / 8) * 2 ** (exponent - 7);
});

export function e4m3Code(value: number): number {
  if (Number.isNaN(value)) return 0x7f;
  const magnitude = Math.abs(value);
  const sign = value < 0 || Object.is(value, -0) ? 0x80 : 0;
  let [low, high] = [0, 126];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (magnitudes[middle]! <= magnitude) low = middle;
    else high = middle - 1;
  }
  if (low === 126) return sign | 126;
  const [below, above] = [magnitude - magnitudes[low]!, magnitudes[low + 1]! - magnitude];
  return sign | (below < above || (below === above && low % 2 === 0) ? low : low + 1);
}

export const e4m3Value = (code: number): number => (code & 0x80 ? -1 : 1) * magnitudes[code & 0x7f]!;
