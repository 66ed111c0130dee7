import type { RopeFrequencies } from '../ir/ropeFrequencies.ts';

/**
 * The table of one rotation (templates/include/moa/rotate.cuh), and log2 of the positions of a
 * block.
 */
export interface RopeTable {
  readonly values: Float32Array;
  readonly shift: number;
  readonly pairs: number;
  readonly blocks: number;
}

/**
 * Angles from here on are not corrected to those of binary32, which are multiples of 1/8 there and
 * coarser: the kernel's series for the correction is exact to binary32 up to here, and the exact
 * angle is the better one.
 */
const largestRoundedAngle = 2 ** 20;

/**
 * The table for `positions` positions: blocks of about the root of that many, so that a bound of
 * 2^24 tokens takes 8,192 rows. Angles are computed in binary64 from the frequencies in binary32;
 * the rows of blocks hold the attention factor.
 */
export function buildRopeTable(
  { inverseFrequencies, attentionFactor }: RopeFrequencies,
  positions: number,
): RopeTable {
  const pairs = inverseFrequencies.length;
  const shift = Math.ceil(Math.log2(positions) / 2);
  const block = 2 ** shift;
  const blocks = Math.ceil(positions / block);
  const values = new Float32Array(pairs * (1 + 2 * (block + blocks)));
  inverseFrequencies.forEach((frequency, pair) => {
    if (frequency * positions < largestRoundedAngle) values[pair] = frequency;
  });
  fillAngles(values.subarray(pairs, pairs * (1 + 2 * block)), inverseFrequencies, 1, 1);
  fillAngles(values.subarray(pairs * (1 + 2 * block)), inverseFrequencies, block, attentionFactor);
  return { values, shift, pairs, blocks };
}

/**
 * Rows whose angles are sums of two: cosines of so few angles are computed one by one, since they
 * take nearly all the time.
 */
const run = 64;

/** Fills rows of cos and sin of each pair, `step` positions apart, times `factor`. */
function fillAngles(
  rows: Float32Array,
  frequencies: Float32Array,
  step: number,
  factor: number,
): void {
  const pairs = frequencies.length;
  const count = rows.length / (2 * pairs);
  const within = new Float64Array(2 * run);
  frequencies.forEach((frequency, pair) => {
    for (let row = 0; row < run; row += 1) {
      within[2 * row] = Math.cos(row * step * frequency);
      within[2 * row + 1] = Math.sin(row * step * frequency);
    }
    for (let first = 0; first < count; first += run) {
      const cos = factor * Math.cos(first * step * frequency);
      const sin = factor * Math.sin(first * step * frequency);
      for (let row = 0; row < Math.min(run, count - first); row += 1) {
        const at = 2 * ((first + row) * pairs + pair);
        rows[at] = cos * within[2 * row]! - sin * within[2 * row + 1]!;
        rows[at + 1] = sin * within[2 * row]! + cos * within[2 * row + 1]!;
      }
    }
  });
}

/**
 * The table of given cos and sin, `[positions][pairs][2]`: blocks of one position, whose own angle
 * is 0, and nothing to correct.
 */
export function givenRopeTable(cosSin: Float32Array, pairs: number): RopeTable {
  const values = new Float32Array(pairs * 3 + cosSin.length);
  for (let pair = 0; pair < pairs; pair += 1) values[pairs + 2 * pair] = 1;
  values.set(cosSin, pairs * 3);
  return { values, shift: 0, pairs, blocks: cosSin.length / (2 * pairs) };
}
