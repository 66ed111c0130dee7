/**
 * Adds to `losses[m]`, for m = 0 .. pages, the influence that a window of m pages leaves out behind a sink of `sink` pages (`loss_N(m)` of
 * docs/search-formats.md). `blocks` is one head: near parts, then far parts, each pages x pages with rows of queries. Sums are made in
 * doubles and always in the same order: by distance, and from the farthest on, so that a loss never rises with m.
 */
export function addTails(blocks: Float32Array, pages: number, sink: number, losses: Float64Array): void {
  const far = pages * pages;
  for (let query = sink; query < pages; query += 1) {
    const row = query * pages;
    for (let key = sink; key <= query; key += 1) {
      // Pairs of part near have floor((i - j) / 64) = distance - 1, and there are none on the diagonal but with floor 0.
      const distance = query - key;
      losses[distance]! += blocks[far + row + key]!;
      if (distance > 0) losses[distance - 1]! += blocks[row + key]!;
    }
  }
  for (let m = pages - 1; m >= 0; m -= 1) losses[m]! += losses[m + 1]!;
}
