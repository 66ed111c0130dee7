/** The inner problem: at given prices of the resources, the best choice of each layer. Layers do not know of each other then, so it is solved exactly. */
import type { Problem } from './problem.ts';

/** At most `maxRules` candidates of a layer, and what its heads cost at given prices when each takes the cheapest of them. */
export interface PricedSet {
  readonly set: readonly number[];
  readonly price: number;
}

/** The prices of a layer: `C x H`, its values and what its resources cost at the multipliers. */
export function layerPrices(problem: Problem, multipliers: Float64Array, layer: number, into: Float64Array): Float64Array {
  const { candidates, heads, value, resources } = problem;
  const size = candidates * heads;
  const start = layer * size;
  for (let i = 0; i < size; i += 1) into[i] = value[start + i]!;
  resources.forEach(({ cost }, k) => {
    const multiplier = multipliers[k]!;
    if (multiplier === 0) return;
    if (cost.length === candidates) {
      for (let candidate = 0; candidate < candidates; candidate += 1) {
        const part = multiplier * cost[candidate]!;
        for (let i = candidate * heads; i < (candidate + 1) * heads; i += 1) into[i]! += part;
      }
    } else {
      for (let i = 0; i < size; i += 1) into[i]! += multiplier * cost[start + i]!;
    }
  });
  return into;
}

/** The cheapest candidate of each head among `set`; the first of equals. */
export function chooseWithin(prices: Float64Array, heads: number, set: readonly number[]): Uint16Array {
  const choice = new Uint16Array(heads);
  for (let head = 0; head < heads; head += 1) {
    let best = set[0]!;
    for (const candidate of set) if (prices[candidate * heads + head]! < prices[best * heads + head]!) best = candidate;
    choice[head] = best;
  }
  return choice;
}

/**
 * Calls `visit(price, set)` for each set of `maxRules` candidates that costs at most `limitOf()`, which may fall meanwhile. `set` is reused. Smaller sets
 * cost no less than one that holds them, so they are not visited; with fewer candidates than `maxRules`, the set of all is.
 */
export function visitSets(problem: Problem, prices: Float64Array, limitOf: () => number, visit: (price: number, set: readonly number[]) => void): void {
  const { candidates, heads, maxRules } = problem;
  const size = maxRules === 0 ? candidates : Math.min(maxRules, candidates);
  if (size === candidates || size > 3) {
    const all = Array.from({ length: candidates }, (_, candidate) => candidate);
    visit(sumOfMinima(prices, heads, all), all);
    return;
  }
  const set = new Array<number>(size).fill(0);
  const visitRows = (depth: number, from: number, row: Float64Array, rowStart: number): void => {
    // `row` holds the cheapest of the candidates chosen so far, for each head; the last one is only summed.
    const last = depth === size - 1;
    const next = last ? row : rows[depth]!;
    for (let candidate = from; candidate <= candidates - (size - depth); candidate += 1) {
      set[depth] = candidate;
      const start = candidate * heads;
      if (last) {
        const price = sumOfPairMinima(prices, start, row, rowStart, heads, limitOf());
        if (price <= limitOf()) visit(price, set);
      } else {
        for (let head = 0; head < heads; head += 1) {
          const price = prices[start + head]!;
          next[head] = depth === 0 || price < row[rowStart + head]! ? price : row[rowStart + head]!;
        }
        visitRows(depth + 1, candidate + 1, next, 0);
      }
    }
  };
  const rows = [new Float64Array(heads), new Float64Array(heads)];
  const nothing = new Float64Array(heads).fill(Infinity);
  visitRows(0, 0, nothing, 0);
}

/** The sum over heads of the cheaper of two rows; once above `limit` it may stop, and the result is above `limit`. */
function sumOfPairMinima(a: Float64Array, aStart: number, b: Float64Array, bStart: number, heads: number, limit: number): number {
  let sum = 0;
  let head = 0;
  while (head < heads) {
    const end = Math.min(head + 8, heads);
    for (; head < end; head += 1) {
      const left = a[aStart + head]!;
      const right = b[bStart + head]!;
      sum += left < right ? left : right;
    }
    if (sum > limit) return sum;
  }
  return sum;
}

function sumOfMinima(prices: Float64Array, heads: number, set: readonly number[]): number {
  let sum = 0;
  for (let head = 0; head < heads; head += 1) {
    let least = Infinity;
    for (const candidate of set) least = Math.min(least, prices[candidate * heads + head]!);
    sum += least;
  }
  return sum;
}

/** The cheapest set of a layer. */
export function cheapestSet(problem: Problem, prices: Float64Array): PricedSet {
  let best: PricedSet = { set: [], price: Infinity };
  visitSets(problem, prices, () => best.price, (price, set) => {
    if (price < best.price) best = { set: [...set], price };
  });
  return best;
}

/** The `count` cheapest sets of a layer that cost at most `limit`, cheapest first. */
export function cheapestSets(problem: Problem, prices: Float64Array, count: number, limit: number = Infinity): PricedSet[] {
  const kept: PricedSet[] = [];
  let bound = limit;
  const trim = (): void => {
    kept.sort((a, b) => a.price - b.price);
    if (kept.length > count) kept.length = count;
    if (kept.length === count) bound = Math.min(bound, kept.at(-1)!.price);
  };
  visitSets(problem, prices, () => bound, (price, set) => {
    kept.push({ set: [...set], price });
    if (kept.length >= 2 * count) trim();
  });
  trim();
  return kept;
}

/** What all layers choose at given multipliers, and the bound on every assignment's value that follows (Lagrange). */
export interface Pricing {
  readonly choices: readonly Uint16Array[];
  /** The price of each layer's choice. */
  readonly prices: Float64Array;
  readonly bound: number;
}

/**
 * Solves the inner problem: `sum over layers of (min over sets of the sum over heads of the cheapest price) - sum of multiplier x limit`. For any
 * multipliers of at least 0 this is at most the value of any assignment that holds the limits (Geoffrion 1974).
 */
export function priceAll(problem: Problem, multipliers: Float64Array): Pricing {
  const { layers, heads, candidates } = problem;
  const room = new Float64Array(candidates * heads);
  const prices = new Float64Array(layers);
  const choices: Uint16Array[] = [];
  let bound = 0;
  for (let layer = 0; layer < layers; layer += 1) {
    const { set, price } = cheapestSet(problem, layerPrices(problem, multipliers, layer, room));
    choices.push(chooseWithin(room, heads, set));
    prices[layer] = price;
    bound += price;
  }
  problem.resources.forEach(({ limit }, k) => (bound -= multipliers[k]! * limit));
  return { choices, prices, bound };
}

