/**
 * Shares the KV heads of a layer out among ranks, as many to each, so that the most loaded rank has as little as possible. Heads of equal cost are one
 * class, and a part is how many it takes of each class.
 *
 * The blocks that a contiguous split makes are kept unless something is better. First the heads in the order of their cost to the part that has least so
 * far, with costs of all lengths and of each, and exchanges of two heads while one helps; then a search through all partitions that may be better still, up
 * to a number of steps, which for 8 KV heads it never needs.
 */
import { invariant } from '../../util/invariant.ts';
import { compareUnevenness, unevenness, type CostVector, type Unevenness } from './balance.ts';

/** Heads of a layer that cost the same. */
export interface HeadClass {
  readonly cost: CostVector;
  /** KV heads, rising. */
  readonly members: readonly number[];
}

/** By part, then class: how many heads of it. */
export type Parts = readonly (readonly number[])[];

export interface Partition {
  readonly parts: Parts;
  readonly unevenness: Unevenness;
  /** No partition is below this. */
  readonly bound: Unevenness;
  /** Whether no partition is more even than this one. */
  readonly proven: boolean;
}

/** The most exchanges that are tried from one start, and steps of the search: numbers and not times, so that the result does not depend on the machine. */
const exchangeSteps = 50_000;
const searchSteps = 20_000;
/** Places, a class in a part each, from which on the search is not begun: so many steps would not come to an end of it. */
const searchPlaces = 4096;

/** Classes in the order of their first head. */
export function headClasses(costs: readonly CostVector[]): HeadClass[] {
  const classes = new Map<string, { cost: CostVector; members: number[] }>();
  costs.forEach((cost, head) => {
    const key = cost.join();
    const known = classes.get(key);
    if (known === undefined) classes.set(key, { cost, members: [head] });
    else known.members.push(head);
  });
  return [...classes.values()];
}

/** The parts of a contiguous split: the first heads to rank 0, and so on. */
export function contiguousParts(classes: readonly HeadClass[], ranks: number): number[][] {
  const size = headsOf(classes) / ranks;
  return Array.from({ length: ranks }, (_, rank) => classes.map(({ members }) => members.filter((head) => Math.floor(head / size) === rank).length));
}

export function partitionHeads(classes: readonly HeadClass[], ranks: number): Partition {
  const size = headsOf(classes) / ranks;
  invariant(Number.isInteger(size), 'the ranks get as many heads each');
  const totals = addUp(classes, classes.map(({ members }) => members.length));
  const problem: Problem = { classes, ranks, size, totals };
  const bound = unevenness(leastMost(problem), totals, ranks);
  const rate = (parts: Parts): Solution => ({ parts, unevenness: rateParts(problem, parts) });
  const contiguous = rate(contiguousParts(classes, ranks));
  if (compareUnevenness(contiguous.unevenness, bound) <= 0) return { ...contiguous, bound, proven: true };
  let best = contiguous;
  for (const dimensions of startsOf(totals.length)) {
    const exchanged = rate(exchange(problem, fillByCost(problem, dimensions)));
    if (compareUnevenness(exchanged.unevenness, best.unevenness) < 0) best = exchanged;
    if (compareUnevenness(best.unevenness, bound) <= 0) return { ...best, bound, proven: true };
  }
  if (classes.length * ranks > searchPlaces) return { ...best, bound, proven: false };
  const { solution, complete } = search(problem, best);
  return { ...solution, bound, proven: complete };
}

interface Problem {
  readonly classes: readonly HeadClass[];
  readonly ranks: number;
  /** Heads of a part. */
  readonly size: number;
  readonly totals: CostVector;
}

interface Solution {
  readonly parts: Parts;
  readonly unevenness: Unevenness;
}

const headsOf = (classes: readonly HeadClass[]): number => classes.reduce((sum, { members }) => sum + members.length, 0);

/** The load of a part, by dimension. */
export function addUp(classes: readonly HeadClass[], counts: readonly number[]): number[] {
  return classes[0]!.cost.map((_, at) => counts.reduce((sum, count, index) => sum + count * classes[index]!.cost[at]!, 0));
}

export function rateParts({ classes, ranks, totals }: Pick<Problem, 'classes' | 'ranks' | 'totals'>, parts: Parts): Unevenness {
  const loads = parts.map((counts) => addUp(classes, counts));
  return unevenness(totals.map((_, at) => loads.reduce((most, load) => Math.max(most, load[at]!), 0)), totals, ranks);
}

/** What some part has at least, by dimension: the mean in whole units, and the heaviest head with the lightest that can be with it. */
function leastMost({ classes, ranks, size, totals }: Problem): number[] {
  return totals.map((total, at) => {
    const costs = classes.flatMap(({ cost, members }) => members.map(() => cost[at]!)).sort((a, b) => a - b);
    const withHeaviest = costs.at(-1)! + costs.slice(0, size - 1).reduce((sum, cost) => sum + cost, 0);
    return Math.max(Math.ceil(total / ranks), withHeaviest);
  });
}

/** A cost as one number: its parts of the whole, of some dimensions or of all. */
const weight = (load: CostVector, totals: CostVector, dimensions?: readonly number[]): number => load.reduce((sum, value, at) => sum + (dimensions?.includes(at) === false ? 0 : value / totals[at]!), 0);

/** The dimensions by which heads are filled in: all, all lengths' pages, and the pages of each length. */
const startsOf = (dimensions: number): number[][] => {
  const half = Array.from({ length: dimensions / 2 }, (_, at) => at);
  return [half.concat(half.map((at) => at + half.length)), ...(half.length > 1 ? [half, ...half.map((at) => [at])] : [half])];
};

/** Heads by falling cost, each to the part with the least load among those that are not full. */
function fillByCost({ classes, ranks, size, totals }: Problem, dimensions: readonly number[]): number[][] {
  const weights = classes.map(({ cost }) => weight(cost, totals, dimensions));
  const heads = classes.flatMap(({ members }, index) => members.map(() => index)).sort((a, b) => weights[b]! - weights[a]! || a - b);
  const parts = Array.from({ length: ranks }, () => classes.map(() => 0));
  const filled = parts.map(() => 0);
  const loads = parts.map(() => 0);
  for (const index of heads) {
    let to = -1;
    for (let part = 0; part < ranks; part += 1) if (filled[part]! < size && (to < 0 || loads[part]! < loads[to]!)) to = part;
    parts[to]![index]! += 1;
    filled[to]! += 1;
    loads[to]! += weights[index]!;
  }
  return parts;
}

/** Exchanges two heads of two parts as long as that makes the layer more even. */
function exchange({ classes, ranks, totals }: Problem, start: number[][]): number[][] {
  const parts = start.map((counts) => [...counts]);
  const loads = parts.map((counts) => addUp(classes, counts));
  const most = new Float64Array(totals.length);
  const others = new Float64Array(totals.length);
  let best = rateParts({ classes, ranks, totals }, parts);
  let steps = 0;
  let improved = true;

  /** Tries a head of class `given` of one part for one of class `taken` of another; `others` is what the other parts have at most. */
  const attempt = (left: number, given: number, right: number, taken: number): void => {
    const [less, more] = [classes[given]!.cost, classes[taken]!.cost];
    const [ours, theirs] = [loads[left]!, loads[right]!];
    for (let at = 0; at < most.length; at += 1) {
      const change = more[at]! - less[at]!;
      most[at] = Math.max(others[at]!, ours[at]! + change, theirs[at]! - change);
    }
    const found = unevenness(most, totals, ranks);
    if (compareUnevenness(found, best) >= 0) return;
    best = found;
    improved = true;
    for (const [part, from, to] of [[left, given, taken], [right, taken, given]] as const) {
      parts[part]![from]! -= 1;
      parts[part]![to]! += 1;
      loads[part] = addUp(classes, parts[part]!);
    }
  };

  while (improved) {
    improved = false;
    for (let left = 0; left < ranks; left += 1) {
      for (let right = left + 1; right < ranks; right += 1) {
        // As much work as that many exchanges.
        if ((steps += ranks) > exchangeSteps) return parts;
        others.forEach((_, at) => (others[at] = loads.reduce((largest, load, part) => (part === left || part === right ? largest : Math.max(largest, load[at]!)), 0)));
        for (let given = 0; given < classes.length; given += 1) {
          for (let taken = 0; taken < classes.length && parts[left]![given]! > 0; taken += 1) {
            if (taken === given || parts[right]![taken] === 0) continue;
            if ((steps += 1) > exchangeSteps) return parts;
            attempt(left, given, right, taken);
          }
        }
      }
    }
  }
  return parts;
}

/**
 * Every partition once, class by class and in a class part by part; a branch ends where what its parts have, and the least that must come, is no more even
 * than the best that is known. Parts that are alike so far take no more than the one before them, so no two partitions differ only in the order of parts.
 */
function search({ classes, ranks, size, totals }: Problem, known: Solution): { readonly solution: Solution; readonly complete: boolean } {
  // The costliest class first: its places decide most.
  const order = classes.map((_, index) => index).sort((a, b) => weight(classes[b]!.cost, totals) - weight(classes[a]!.cost, totals) || a - b);
  const costs = order.map((index) => classes[index]!.cost);
  const counts = order.map((index) => classes[index]!.members.length);
  const dimensions = totals.length;
  const extreme = (pick: (...values: number[]) => number): number[][] => costs.map((_, depth) => totals.map((_total, at) => (depth + 1 < costs.length ? pick(...costs.slice(depth + 1).map((cost) => cost[at]!)) : 0)));
  const [lightestAfter, heaviestAfter] = [extreme(Math.min), extreme(Math.max)];
  const parts = Array.from({ length: ranks }, () => order.map(() => 0));
  const loads = parts.map(() => new Float64Array(dimensions));
  const open = parts.map(() => size);
  let best = known;
  let steps = 0;

  /** What some part will have at least, when part `part` has all that it takes of class `depth`. */
  const raise = (least: Float64Array, depth: number, part: number): Float64Array => {
    const raised = least.slice();
    const [room, load] = [open[part]!, loads[part]!];
    for (let at = 0; at < dimensions; at += 1) {
      const atLeast = load[at]! + room * lightestAfter[depth]![at]!;
      // What this part cannot take any more, the others share.
      const others = Math.ceil((totals[at]! - load[at]! - room * heaviestAfter[depth]![at]!) / (ranks - 1));
      raised[at] = Math.max(raised[at]!, atLeast, others);
    }
    return raised;
  };

  /** Whether parts `part` and the one before it had the same of every class before `depth`. */
  const alike = (depth: number, part: number): boolean => {
    for (let earlier = 0; earlier < depth; earlier += 1) if (parts[part]![earlier] !== parts[part - 1]![earlier]) return false;
    return true;
  };

  const visit = (depth: number, part: number, left: number, room: number, least: Float64Array): void => {
    if (steps >= searchSteps) return;
    if (part === ranks) {
      if (depth + 1 < costs.length) visit(depth + 1, 0, counts[depth + 1]!, open.reduce((sum, each) => sum + each, 0), least);
      else best = { parts: parts.map((taken) => classes.map((_, index) => taken[order.indexOf(index)]!)), unevenness: unevenness(least, totals, ranks) };
      return;
    }
    const others = room - open[part]!;
    const highest = Math.min(left, open[part]!, part > 0 && alike(depth, part) ? parts[part - 1]![depth]! : size);
    for (let taken = highest; taken >= Math.max(0, left - others); taken -= 1) {
      steps += 1;
      put(depth, part, taken);
      const raised = raise(least, depth, part);
      if (compareUnevenness(unevenness(raised, totals, ranks), best.unevenness) < 0) visit(depth, part + 1, left - taken, others, raised);
      put(depth, part, -taken);
    }
  };

  const put = (depth: number, part: number, taken: number): void => {
    parts[part]![depth]! += taken;
    open[part]! -= taken;
    costs[depth]!.forEach((cost, at) => (loads[part]![at]! += taken * cost));
  };

  visit(0, 0, counts[0]!, ranks * size, new Float64Array(dimensions));
  return { solution: best, complete: steps < searchSteps };
}
