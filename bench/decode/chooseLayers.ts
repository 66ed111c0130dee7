/**
 * Which layers stand for a plan when not all are measured. Layers differ in bytes, so they are sorted by them and cut into `count` equal
 * slices; the layer nearest to the mean of a slice stands for it.
 *
 *     bytes 10 90 20 80 60, count 2   becomes   layers 2 3: of 10 20 60 and of 80 90
 *
 * The mean of the choice is near the mean of the plan, and equal arguments give equal layers. Rising.
 */
export function chooseLayers(bytesOfLayers: readonly number[], count: number): number[] {
  const sorted = bytesOfLayers.map((bytes, layer) => ({ bytes, layer })).sort((a, b) => a.bytes - b.bytes || a.layer - b.layer);
  const slices = Array.from({ length: count }, (_, slice) => {
    const at = (end: number): number => Math.round((end * sorted.length) / count);
    return sorted.slice(at(slice), at(slice + 1));
  });
  const chosen = slices.map((slice) => {
    const mean = slice.reduce((sum, { bytes }) => sum + bytes, 0) / slice.length;
    return slice.reduce((best, next) => (Math.abs(next.bytes - mean) < Math.abs(best.bytes - mean) ? next : best)).layer;
  });
  return chosen.sort((a, b) => a - b);
}

/** The fewest layers, chosen as above, that hold `enough` bytes together; all when there are not as many bytes. */
export function chooseLayersOf(bytesOfLayers: readonly number[], enough: number): number[] {
  for (let count = 1; count < bytesOfLayers.length; count += 1) {
    const layers = chooseLayers(bytesOfLayers, count);
    if (layers.reduce((sum, layer) => sum + bytesOfLayers[layer]!, 0) >= enough) return layers;
  }
  return bytesOfLayers.map((_, layer) => layer);
}
