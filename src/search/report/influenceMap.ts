import { pngDataUri } from './png.ts';
import { viridis, type Rgb } from './viridis.ts';

type Matrix = readonly (readonly number[])[];

/** Cells along a side, at most. */
const maxCells = 64;

/** Sums of squares of cells, so that at most 64 x 64 are left: the whole stays what it was. */
export function downsample(matrix: Matrix): Matrix {
  const factor = Math.ceil(matrix.length / maxCells);
  if (factor <= 1) return matrix;
  const size = Math.ceil(matrix.length / factor);
  const sums = Array.from({ length: size }, () => new Array<number>(size).fill(0));
  matrix.forEach((row, query) => {
    const into = sums[Math.floor(query / factor)]!;
    row.forEach((value, key) => (into[Math.floor(key / factor)]! += value));
  });
  return sums;
}

/** Of a colour that is logarithmic. */
export interface LogScale {
  readonly low: number;
  readonly high: number;
}

/** From the largest cell down to the smallest, but over five powers of ten at most. */
export function logScale(matrices: readonly Matrix[]): LogScale {
  let [high, least] = [0, Infinity];
  for (const value of matrices.flat(2)) {
    if (value > high) high = value;
    if (value > 0 && value < least) least = value;
  }
  if (high === 0) return { low: 0.1, high: 1 };
  return { low: Math.min(Math.max(least, high * 1e-5), high / 10), high };
}

/** From 0 to 1. */
export const positionOf = ({ low, high }: LogScale, value: number): number => (value <= low ? 0 : Math.min(Math.log(value / low) / Math.log(high / low), 1));

const colours = 255;
const palette: readonly Rgb[] = [[0, 0, 0], ...Array.from({ length: colours }, (_, index) => viridis(index / (colours - 1)))];

/** The lower triangle as an image of a pixel for each cell; the upper one is transparent. */
export function influenceImage(matrix: Matrix, scale: LogScale): string {
  const size = matrix.length;
  const pixels = new Uint8Array(size * size);
  matrix.forEach((row, query) => {
    for (let key = 0; key <= query; key += 1) pixels[query * size + key] = 1 + Math.round(positionOf(scale, row[key] ?? 0) * (colours - 1));
  });
  return pngDataUri({ width: size, height: size, pixels, palette });
}
