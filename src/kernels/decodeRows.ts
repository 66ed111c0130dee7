/** How the rows of queries of a KV head fill tiles of decode: what kernels, schedules and sessions agree on. */

/**
 * Rows of queries that a decode kernel takes at once, at most: two tiles of the 8 columns of m16n8k16. With headDim 256 one: the queries and O of two would take
 * 192 registers of a thread.
 */
export const decodeTileRows = (headDim: number): number => (headDim > 128 ? 8 : 16);

/** How many tiles of at most `rows` rows the rows of queries of a KV head fill in decode: its query heads, of each token. */
export function decodeRowTiles({ headDim, queryHeads, kvHeads }: Readonly<Record<'headDim' | 'queryHeads' | 'kvHeads', number>>, tokens: number): { readonly tiles: number; readonly rows: number } {
  const all = (queryHeads / kvHeads) * tokens;
  const rows = Math.min(decodeTileRows(headDim), all);
  return { tiles: Math.ceil(all / rows), rows };
}

/**
 * Whether decode of one token appends it: if a ring's rows of queries fill one tile, so that one segment reads its page. Otherwise it is appended by a launch before, as
 * several tokens are.
 */
export const decodeAppends = (shape: Parameters<typeof decodeRowTiles>[0]): boolean => decodeRowTiles(shape, 1).tiles === 1;
