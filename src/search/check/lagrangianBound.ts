import type { ModelShape } from '../../ir/nodes.ts';
import type { Certificate } from './certificate.ts';
import { Costs } from './costs.ts';

/**
 * What no plan's value can be below: `lowerBound(mu)` of docs/search-formats.md, at the certificate's multipliers. It is one whatever the
 * multipliers are, as long as none is negative.
 */
export function lagrangianBound({ layers, queryHeads }: ModelShape, certificate: Certificate, costs: Costs): number {
  const { candidates, constraints, multipliers, objective, rulesPerLayer } = certificate;
  const { headsPerLayer, queryHeadsPerHead } = costs;
  /** What candidates use in a layer that is not a loss. */
  const sharedIn = (layer: number): number[] =>
    candidates.map((candidate) =>
      constraints.reduce((sum, constraint, k) => (constraint.kind === 'loss' ? sum : sum + multipliers[k]! * Costs.use(constraint, costs.kept(layer, candidate, constraint.length))), 0),
    );
  const losses = [
    ...objective.map(({ length, weight }) => ({ length, factor: weight })),
    ...constraints.flatMap(({ kind, length }, k) => (kind === 'loss' ? [{ length, factor: multipliers[k]! }] : [])),
  ];

  /** Of one layer: candidates x heads. */
  const penalised = new Float64Array(candidates.length * headsPerLayer);
  let bound = 0;
  const byWindow = new Map<number | null, { readonly shared: readonly number[]; readonly windows: readonly (readonly number[])[] }>();
  for (let layer = 0; layer < layers; layer += 1) {
    const own = costs.own(layer);
    const known = byWindow.get(own) ?? { shared: sharedIn(layer), windows: losses.map(({ length }) => candidates.map((candidate) => costs.window(layer, candidate, length))) };
    byWindow.set(own, known);
    for (const [c, fixed] of known.shared.entries()) {
      for (let head = 0; head < headsPerLayer; head += 1) {
        let cost = fixed;
        const first = layer * queryHeads + head * queryHeadsPerHead;
        for (const [term, { length, factor }] of losses.entries()) {
          for (let queryHead = first; queryHead < first + queryHeadsPerHead; queryHead += 1) cost += factor * costs.loss(queryHead, length, known.windows[term]![c]!);
        }
        penalised[c * headsPerLayer + head] = cost;
      }
    }
    bound += leastOfSets(penalised, candidates.length, headsPerLayer, rulesPerLayer);
  }
  return constraints.reduce((sum, constraint, k) => sum - multipliers[k]! * costs.limit(constraint), bound);
}

/**
 * The least, over the sets of at most `most` candidates (0: any number), of the sum over heads of the cheapest candidate in the set. `costs`
 * is candidates x heads. All sets are gone through; one is left when what it has summed, with the least that can follow, is no better.
 */
export function leastOfSets(costs: Float64Array, candidates: number, heads: number, most: number): number {
  /** What heads from an index on cost at least. */
  const rest = new Float64Array(heads + 1);
  for (let head = heads - 1; head >= 0; head -= 1) {
    let least = Infinity;
    for (let c = 0; c < candidates; c += 1) least = Math.min(least, costs[c * heads + head]!);
    rest[head] = rest[head + 1]! + least;
  }
  if (most === 0 || most >= candidates) return rest[0]!;
  let best = Infinity;
  /** Sets that add `more` candidates, from `first` on, to one whose heads cost `chosen`. Larger sets are no dearer, so all have `most`. */
  const extend = (chosen: Float64Array, first: number, more: number): void => {
    for (let c = first; c <= candidates - more; c += 1) {
      if (more > 1) {
        extend(chosen.map((cost, head) => Math.min(cost, costs[c * heads + head]!)), c + 1, more - 1);
        continue;
      }
      let sum = 0;
      let head = 0;
      for (; head < heads && sum + rest[head]! < best; head += 1) sum += Math.min(chosen[head]!, costs[c * heads + head]!);
      if (head === heads && sum < best) best = sum;
    }
  };
  extend(new Float64Array(heads).fill(Infinity), 0, most);
  return best;
}
