/**
 * How many pages of keys a block of query rows visits: the cost of a work item. The kernels walk them (templates/include/moa/prefill/keyPages.cuh); tests
 * hold what they visit equal to this.
 */
import { countTiles } from './classifyTiles.ts';
import type { MaskShape } from '../../src/mask/mask.ts';

/** What a sequence had in the cache before its new tokens: tokens, and the window slots of the ring that holds them. */
export interface CachedTokens {
  readonly tokens: number;
  readonly ringWindow: number;
}

export interface KeyGeometry {
  readonly sink: number;
  /** Tokens of a page. */
  readonly page: number;
}

/** Pages for rows `firstRow` to `lastRow` of the new tokens of a sequence, for a head with this window. */
export function countKeyPages(shape: MaskShape, { sink, page }: KeyGeometry, window: number, cached: CachedTokens, firstRow: number, lastRow: number): number {
  const origin = cached.tokens;
  const own = countTiles(shape, origin + firstRow, origin + lastRow, page, window, origin);
  return own + ringPages({ sink, page }, window, cached, firstRow);
}

/** The window slot of the newest token, of a sequence that has one behind the sink. */
export const newestSlot = ({ sink }: Pick<KeyGeometry, 'sink'>, { tokens, ringWindow }: CachedTokens): number => (tokens - 1 - sink) % ringWindow;

/** Of the ring: the window pages from the newest token back to the oldest that the first row attends, and the sink pages. */
function ringPages({ sink, page }: KeyGeometry, window: number, cached: CachedTokens, firstRow: number): number {
  const { tokens, ringWindow } = cached;
  if (tokens === 0) return 0;
  const sinkPages = Math.ceil(Math.min(tokens, sink) / page);
  const held = Math.max(0, Math.min(tokens - sink, ringWindow));
  const oldestAge = Math.min(held - 1, window - 2 - firstRow);
  if (oldestAge < 0) return sinkPages;
  const pages = Math.ceil(ringWindow / page);
  const newest = newestSlot({ sink }, cached);
  const oldest = newest - oldestAge < 0 ? newest - oldestAge + ringWindow : newest - oldestAge;
  const behind = Math.floor(newest / page) - Math.floor(oldest / page) + (oldest > newest ? pages : 0);
  return sinkPages + Math.min(pages, behind + 1);
}
