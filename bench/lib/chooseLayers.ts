/**
 * Which layers stand for a plan when not all are measured. Layers differ in weight (bytes that are read, pairs that are attended), so they are
 * sorted by it and cut into `count` equal slices; the layer nearest to the mean of a slice stands for it.
 *
 *     weights 10 90 20 80 60, count 2   becomes   layers 2 3: of 10 20 60 and of 80 90
 *
 * The mean of the choice is near the mean of the plan, and equal arguments give equal layers. Rising.
 */
export function chooseLayers(weights: readonly number[], count: number): number[] {
  const sorted = weights.map((weight, layer) => ({ weight, layer })).sort((a, b) => a.weight - b.weight || a.layer - b.layer);
  const slices = Array.from({ length: count }, (_, slice) => {
    const at = (end: number): number => Math.round((end * sorted.length) / count);
    return sorted.slice(at(slice), at(slice + 1));
  });
  const chosen = slices.map((slice) => {
    const mean = slice.reduce((sum, { weight }) => sum + weight, 0) / slice.length;
    return slice.reduce((best, next) => (Math.abs(next.weight - mean) < Math.abs(best.weight - mean) ? next : best)).layer;
  });
  return chosen.sort((a, b) => a - b);
}

/** The fewest layers, chosen as above, that weigh `enough` together and are at least `fewest`; all when there is not as much. */
export function chooseLayersOf(weights: readonly number[], enough: number, fewest = 1): number[] {
  for (let count = fewest; count < weights.length; count += 1) {
    const layers = chooseLayers(weights, count);
    if (layers.reduce((sum, layer) => sum + weights[layer]!, 0) >= enough) return layers;
  }
  return weights.map((_, layer) => layer);
}
