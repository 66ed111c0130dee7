/**
 * What a head loses with a window: from its influence at the profiled lengths, and beyond them (docs/search-formats.md). A *tail* is `loss(m)` for windows of m whole
 * pages, m = 0 .. N/page: the influence of all pairs outside the sink that are m pages or more apart.
 */

import { PAGE } from './profile/profile.ts';

export const SCALINGS: readonly number[] = [1, 0.75, 0.5, 0.25, 0];

/** The loss with a window of `pages`, which need not be whole: linear between whole pages, 0 from the tail's end on. */
export function lossAt(tail: Float64Array, pages: number): number {
  const last = tail.length - 1;
  if (pages >= last) return 0;
  const below = Math.floor(pages);
  const part = pages - below;
  return part === 0 ? tail[below]! : tail[below]! * (1 - part) + tail[below + 1]! * part;
}

/**
 * How a head's distances grow with the sequence: as `N^gamma`. Gamma is that of `SCALINGS` at which the shape of the longer tail, with distances divided by
 * `ratio^gamma`, is closest to that of the shorter one (least squares); the larger of equals.
 * @param ratio length of the longer profile / length of the shorter one
 */
export function scalingOf(shorter: Float64Array, longer: Float64Array, ratio: number): number {
  const [shortWhole, longWhole] = [shorter[1] ?? 0, longer[1] ?? 0];
  if (shortWhole === 0 || longWhole === 0) return SCALINGS[0]!;
  let best = SCALINGS[0]!;
  let least = Infinity;
  for (const gamma of SCALINGS) {
    const stretch = ratio ** gamma;
    // Both shapes begin with 1 at one page of the shorter length.
    const whole = lossAt(longer, stretch);
    let sum = 0;
    for (let m = 1; m < shorter.length - 1; m += 1) sum += (shorter[m]! / shortWhole - (whole === 0 ? 0 : lossAt(longer, m * stretch) / whole)) ** 2;
    if (sum < least) {
      least = sum;
      best = gamma;
    }
  }
  return best;
}

/** The tails of one head, at the profiled lengths, rising. */
export interface HeadTails {
  readonly lengths: readonly number[];
  readonly tails: readonly Float64Array[];
  /** The model's own window in the head's layer, in tokens; null or absent: none. */
  readonly window?: number | null;
}

/**
 * The loss of a head at `length`, profiled or longer than all profiled ones, as a function of its window in whole pages. A window as long as the
 * model's own loses nothing, and distances within one that the longest profile fills do not grow with the sequence.
 */
export function lossFunction(head: HeadTails, length: number): (pages: number) => number {
  const { lengths, tails, window = null } = head;
  const profiled = lengths.indexOf(length);
  const at = profiled >= 0 ? profiled : lengths.length - 1;
  const stretch = profiled >= 0 ? 1 : stretchOf(head, length);
  const whole = window === null ? Infinity : window / PAGE;
  return (pages) => (pages >= whole ? 0 : lossAt(tails[at]!, pages / stretch));
}

/** By how much distances at `length` are longer than at the longest profiled length. */
function stretchOf({ lengths, tails, window = null }: HeadTails, length: number): number {
  const last = lengths.length - 1;
  const longest = lengths[last]!;
  if (window !== null && window <= longest) return 1;
  const gamma = last === 0 ? SCALINGS[0]! : scalingOf(tails[last - 1]!, tails[last]!, longest / lengths[last - 1]!);
  return (length / longest) ** gamma;
}
