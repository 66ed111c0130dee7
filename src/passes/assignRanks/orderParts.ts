/**
 * Which rank gets which part of a layer. A part that is heavier than another is so in its layer only: taken by ranks in turn, the layers add up to nearly the
 * same on every rank. The sum is what a rank keeps in memory.
 */

/** By layer and part: the load at each length. */
export type PartLoads = readonly (readonly (readonly number[])[])[];

/** By layer: the part of each rank. Parts keep their places where no other order gives more even sums. */
export function orderParts(loads: PartLoads): number[][] {
  const ranks = loads[0]!.length;
  const inPlace = loads.map((parts) => parts.map((_, part) => part));
  if (ranks === 1) return inPlace;
  const dealt = deal(loads);
  return exchange(loads, rate(sums(loads, dealt)) < rate(sums(loads, inPlace)) ? dealt : inPlace);
}

/** What each rank keeps of all layers, at each length. */
function sums(loads: PartLoads, order: readonly (readonly number[])[]): number[][] {
  return loads[0]!.map((first, rank) => first.map((_, at) => loads.reduce((sum, parts, layer) => sum + parts[order[layer]![rank]!]![at]!, 0)));
}

/** The fullest rank beside the mean, at the worst length, and as a tie-break worth less, at all lengths together. */
function rate(ranks: readonly (readonly number[])[]): number {
  const ratios = ranks[0]!.map((_, at) => {
    const column = ranks.map((rank) => rank[at]!);
    return (Math.max(...column) * ranks.length) / column.reduce((sum, value) => sum + value, 0);
  });
  return Math.max(...ratios) + (1e-6 * ratios.reduce((sum, ratio) => sum + ratio, 0)) / ratios.length;
}

/** The layers with the largest differences first; in each, the heaviest part to the rank that has least so far. */
function deal(loads: PartLoads): number[][] {
  const lengths = loads[0]![0]!.length;
  const totals = Array.from({ length: lengths }, (_, at) => loads.reduce((sum, parts) => sum + parts.reduce((inLayer, load) => inLayer + load[at]!, 0), 0));
  const weights = loads.map((parts) => parts.map((load) => load.reduce((sum, value, at) => sum + value / totals[at]!, 0)));
  const spread = weights.map((parts) => Math.max(...parts) - Math.min(...parts));
  const order = loads.map((parts) => parts.map((_, part) => part));
  const held = loads[0]!.map(() => 0);
  for (const layer of loads.map((_, index) => index).sort((a, b) => spread[b]! - spread[a]! || a - b)) {
    const own = weights[layer]!;
    const ranks = held.map((_, rank) => rank).sort((a, b) => held[a]! - held[b]! || a - b);
    const parts = own.map((_, part) => part).sort((a, b) => own[b]! - own[a]! || a - b);
    ranks.forEach((rank, place) => {
      order[layer]![rank] = parts[place]!;
      held[rank]! += own[parts[place]!]!;
    });
  }
  return order;
}

/** The most sums that are looked at: a number and not a time, so that the result does not depend on the machine. */
const maxSums = 20_000_000;

/** Exchanges the parts of two ranks in a layer, one of them the fullest at the worst length, as long as that makes the sums more even. */
function exchange(loads: PartLoads, start: readonly (readonly number[])[]): number[][] {
  const order = start.map((parts) => [...parts]);
  const held = sums(loads, order);
  const swap = (layer: number, left: number, right: number): void => {
    const [a, b] = [order[layer]![left]!, order[layer]![right]!];
    [order[layer]![left], order[layer]![right]] = [b, a];
    loads[layer]![a]!.forEach((value, at) => {
      const more = loads[layer]![b]![at]! - value;
      held[left]![at]! += more;
      held[right]![at]! -= more;
    });
  };
  let best = rate(held);
  const sumsOfRound = loads.length * held.length ** 2;
  for (let round = 1; round * sumsOfRound <= maxSums; round += 1) {
    const fullest = fullestRank(held);
    let chosen: readonly [number, number] | undefined;
    for (let layer = 0; layer < loads.length; layer += 1) {
      for (let other = 0; other < held.length; other += 1) {
        if (other === fullest) continue;
        swap(layer, fullest, other);
        const found = rate(held);
        swap(layer, fullest, other);
        if (found < best) {
          best = found;
          chosen = [layer, other];
        }
      }
    }
    if (chosen === undefined) break;
    swap(chosen[0], fullest, chosen[1]);
  }
  return order;
}

function fullestRank(held: readonly (readonly number[])[]): number {
  const totals = held[0]!.map((_, at) => held.reduce((sum, rank) => sum + rank[at]!, 0));
  const worst = held.map((rank) => Math.max(...rank.map((value, at) => value / totals[at]!)));
  return worst.indexOf(Math.max(...worst));
}
