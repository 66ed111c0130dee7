/** What the emulator must have counted: derived pair by pair from the mask, apart from the schedules that the runtime makes. */
import type { Device } from '../../src/runtime/device.ts';
import { findArchitecture } from '../../src/arch/registry.ts';
import { attends, keptTokens, newestKept, type OracleMask } from '../oracle/mask.ts';
import { masksOf, ringMask, type Case } from './case.ts';
import { shapeOf } from './shapes.ts';

const pageTokens = 64;

/** Query rows of an item (src/kernels/prefillPortable.ts, prefillHopper.ts). */
function itemRows({ shape, family, architecture }: Case): number {
  const { headDim } = shapeOf(shape);
  if (family === 'hopper') return headDim === 64 ? 192 : 128;
  return headDim === 256 && architecture !== undefined && findArchitecture(architecture)!.sharedBytesPerBlock < 128 * 1024 ? 64 : 128;
}

interface Visited {
  /** Of new tokens, numbered from the first new token on. */
  readonly own: readonly number[];
  /** Of the ring. */
  readonly sink: readonly number[];
  readonly window: readonly number[];
}

const visitedCache = new Map<string, Visited>();

/** The pages with a key that a row attends, for rows `first .. last` of a sequence that had `cached` tokens in a ring of this window. */
function visitedPages(mask: OracleMask, first: number, last: number, cached: number, ringWindow: number): Visited {
  const cacheKey = `${mask.sink} ${newestKept(mask)} ${first} ${last} ${cached} ${ringWindow}`;
  const known = visitedCache.get(cacheKey);
  if (known !== undefined) return known;
  const [own, sink, window] = [new Set<number>(), new Set<number>(), new Set<number>()];
  for (let i = first; i <= last; i += 1) {
    for (let j = 0; j <= i; j += 1) {
      if (!attends(mask, i, j)) continue;
      if (j >= cached) own.add(Math.floor((j - cached) / pageTokens));
      else if (j < mask.sink) sink.add(Math.floor(j / pageTokens));
      else window.add(Math.floor(((j - mask.sink) % ringWindow) / pageTokens));
    }
  }
  const visited = { own: [...own], sink: [...sink], window: [...window] };
  visitedCache.set(cacheKey, visited);
  return visited;
}

/** Rows of ring pages that hold a token. */
const ringRows = (pages: readonly number[], slots: number): number => pages.reduce((sum, page) => sum + Math.min(pageTokens, slots - page * pageTokens), 0);

/** The pages of a ring in which these tokens lie. */
function pagesOf(mask: OracleMask, tokens: readonly number[]): ReadonlySet<number> {
  const { sink } = mask;
  const window = newestKept(mask);
  const sinkSlots = Math.ceil(sink / pageTokens) * pageTokens;
  return new Set(tokens.map((j) => Math.floor((j < sink ? j : sinkSlots + ((j - sink) % window)) / pageTokens)));
}

/** The names of pages in the order in which they are visited: from the diagonal back, the ring from its newest token back, the sink. */
function inOrder({ own, sink, window }: Visited, mask: OracleMask, cached: number, ringWindow: number): string[] {
  const newest = Math.floor(((cached - 1 - mask.sink) % ringWindow) / pageTokens);
  const ringPages = Math.ceil(ringWindow / pageTokens);
  const behind = (page: number): number => (newest - page + ringPages) % ringPages;
  const falling = (a: number, b: number): number => b - a;
  return [
    ...own.toSorted(falling).map((page) => `new ${page}`),
    ...window.toSorted((a, b) => behind(a) - behind(b)).map((page) => `window ${page}`),
    ...sink.toSorted(falling).map((page) => `sink ${page}`),
  ];
}

interface Products {
  /** Of 64 rows with a tile of two pages, and with one page: S, and O. */
  readonly wide: number;
  readonly narrow: number;
  /** Pages copied, twice where one stands in for two. */
  readonly pages: number;
}

/** Of an item, or of a part of one, that visits `pages`; for each of its groups of 64 rows with a row the pages that it attends. */
function productsOf(pages: readonly string[], groups: readonly ReadonlySet<string>[], tilePages: number, skips: boolean): Products {
  if (tilePages === 1) return { wide: 0, narrow: pages.length * groups.length, pages: pages.length };
  const steps = Array.from({ length: Math.ceil(pages.length / 2) }, (_, n) => pages.slice(2 * n, 2 * n + 2));
  // Three groups leave out steps without a key for them; a group without any computes the last.
  const computed = groups.map((attended) => {
    const own = steps.map((_, n) => n).filter((n) => !skips || steps[n]!.some((page) => attended.has(page)));
    return own.length > 0 ? own : [steps.length - 1];
  });
  // One page is half a tile, but where a group begins with it.
  const isNarrow = (n: number): boolean => steps[n]!.length === 1 && computed.every(([first]) => first !== n);
  const all = computed.flat();
  const narrow = all.filter(isNarrow).length;
  return { wide: all.length - narrow, narrow, pages: pages.length + (pages.length % 2 === 1 && !isNarrow(steps.length - 1) ? 1 : 0) };
}

function expectEqual(what: string, found: number, expected: number): void {
  if (found !== expected) throw new Error(`${what}: ${found} counted, ${expected} are needed`);
}

/** After `resetCounters` and the prefill of `chunk`: of each sequence the first and the end of its new tokens. */
export function checkPrefillCounts(device: Device, testCase: Case, layer: number, chunk: readonly (readonly [number, number])[]): void {
  const { headDim, queryHeads, kvHeads } = shapeOf(testCase.shape);
  const family = testCase.family ?? 'portable';
  const masks = masksOf(testCase, layer);
  const groupSize = queryHeads / kvHeads;
  const rows = itemRows(testCase);
  const longest = family === 'hopper' ? Math.max(2, testCase.splitPages ?? Infinity) : Infinity;
  let [items, pages, wide, narrow, copiedPages, parts, copiedRows, zeroRows, tokens, kept, expandedPages] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  /** Items in which a group of 64 rows has one. */
  const itemsOfGroup = Array.from({ length: rows / 64 }, () => 0);
  for (const [begin, end] of chunk) {
    tokens += end - begin;
    masks.forEach((mask, head) => {
      const ringWindow = newestKept(ringMask(masks, groupSize, Math.floor(head / groupSize)));
      for (let first = begin; first < end; first += rows) {
        const last = Math.min(first + rows, end) - 1;
        const visited = visitedPages(mask, first, last, begin, ringWindow);
        const order = inOrder(visited, mask, begin, ringWindow);
        const groups = Array.from({ length: Math.ceil((last + 1 - first) / 64) }, (_, n) =>
          new Set(inOrder(visitedPages(mask, first + 64 * n, Math.min(first + 64 * n + 63, last), begin, ringWindow), mask, begin, ringWindow)),
        );
        const cut = order.length > longest ? 2 * Math.ceil(order.length / 4) : order.length;
        for (const part of [order.slice(0, cut), order.slice(cut)].filter(({ length }) => length > 0)) {
          const products = productsOf(part, groups, headDim === 256 ? 1 : 2, rows > 128);
          items += 1;
          wide += products.wide;
          narrow += products.narrow;
          copiedPages += products.pages;
          groups.forEach((_, n) => (itemsOfGroup[n]! += 1));
        }
        if (cut < order.length) parts += 2 * groups.length;
        pages += order.length;
        const live = visited.own.map((page) => Math.min((page + 1) * pageTokens, end - begin) - page * pageTokens).reduce((a, b) => a + b, 0)
          + ringRows(visited.sink, Math.min(begin, mask.sink)) + ringRows(visited.window, Math.min(begin - mask.sink, ringWindow));
        copiedRows += last - first + 1 + 2 * live;
        zeroRows += rows - (last - first + 1) + 2 * (order.length * pageTokens - live);
      }
    });
    for (let kvHead = 0; kvHead < kvHeads; kvHead += 1) {
      if (end === begin) continue;
      const ring = ringMask(masks, groupSize, kvHead);
      kept += keptTokens(ring, end).filter((j) => j >= begin).length;
      if (testCase.cacheType === 'e4m3') expandedPages += pagesOf(ring, keptTokens(ring, begin)).size;
    }
  }
  const { counters } = device;
  const rowBytes = headDim * 2;
  expectEqual('pages that prefill visits', counters.tiles, pages);
  if (family === 'hopper') {
    expectEqual('bytes that prefill copied in bulk', counters.bulkCopyBytes, (items * rows + 2 * copiedPages * pageTokens) * rowBytes);
    expectEqual('bytes that prefill copied otherwise', counters.asyncCopyBytes, 0);
    // Of each of four warps: S over headDim, O over the keys of a tile. One S more where a group comes to an item without a row for it, or to the end:
    // how often that is depends on which block takes which item, but where all items are alike.
    const computed = 4 * ((wide + narrow) * (headDim / 16) + wide * 8 + narrow * 4);
    const blocks = Math.min(items, device.multiprocessors);
    const least = itemsOfGroup.map((own) => (own === items ? blocks : Math.min(own, 1)));
    const most = itemsOfGroup.map((own) => (own === items ? blocks : own));
    const more = (counters.wgmma - computed) / (4 * (headDim / 16));
    const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
    if (more < sum(least) || more > sum(most)) {
      throw new Error(`products of warpgroups of prefill: ${counters.wgmma} counted, ${computed} and ${sum(least)} to ${sum(most)} more S are needed, not ${more}`);
    }
  } else {
    expectEqual('bytes that prefill copied to shared memory', counters.asyncCopyBytes, copiedRows * rowBytes);
    expectEqual('zero fills of prefill', counters.zeroFills, (zeroRows * rowBytes) / 16);
    // S and O of a page: a 16 x 8 x 16 product each step, over all rows, columns and dimensions.
    expectEqual('matrix products of prefill', counters.mma, pages * 2 * (rows / 16) * (pageTokens / 8) * (headDim / 16));
  }
  const rotated = testCase.rope === true ? tokens * (queryHeads + kvHeads) * rowBytes : 0;
  const results = tokens * queryHeads * (rowBytes + 4) + parts * 64 * (headDim + 2) * 4;
  const expanded = expandedPages * 2 * pageTokens * rowBytes;
  expectEqual('bytes stored by append, expand and prefill', counters.globalStoreBytes, expanded + (kept * 2 * rowBytes) / (testCase.cacheType === 'e4m3' ? 2 : 1) + rotated + results + 4 * chunk.filter(([begin, end]) => end > begin).length);
  if (family === 'portable' && items > counters.blocks) throw new Error(`${counters.blocks} blocks ran for ${items} blocks of rows`);
}

/** After `resetCounters` and one decode of a layer that made sequences `lengths` tokens long. */
export function checkDecodeCounts(device: Device, testCase: Case, layer: number, lengths: readonly number[]): void {
  const { headDim, queryHeads, kvHeads } = shapeOf(testCase.shape);
  const masks = masksOf(testCase, layer);
  const cacheBytes = testCase.cacheType === 'e4m3' ? 1 : 2;
  let [pages, rows] = [0, 0];
  // With headDim 256, eight query heads read a page together, otherwise all.
  const readers = headDim === 256 ? Math.ceil(queryHeads / kvHeads / 8) : 1;
  for (const length of lengths) {
    for (let kvHead = 0; kvHead < kvHeads; kvHead += 1) {
      const ring = ringMask(masks, queryHeads / kvHeads, kvHead);
      const kept = keptTokens(ring, length);
      pages += readers * pagesOf(ring, kept).size;
      rows += readers * kept.length;
    }
  }
  const { counters } = device;
  expectEqual('pages that decode read', counters.pages, pages);
  if (testCase.family === 'hopper') {
    expectEqual('pages that decode copied in bulk', counters.bulkCopies, pages);
    expectEqual('bytes that decode copied in bulk', counters.bulkCopyBytes, pages * pageTokens * headDim * 2 * cacheBytes);
    expectEqual('bytes that decode copied otherwise', counters.asyncCopyBytes, 0);
  } else {
    expectEqual('bytes that decode copied to shared memory', counters.asyncCopyBytes, rows * headDim * 2 * cacheBytes);
    expectEqual('zero fills of decode', counters.zeroFills, ((pages * pageTokens - rows) * headDim * 2 * cacheBytes) / 16);
  }
  const { ablations = [] } = testCase;
  // Four warps, K Q^T and V^T P^T, for each eight heads that the kernel has room for.
  const headTiles = ablations.includes('cuda-cores') ? 0 : headDim === 256 ? 1 : ablations.includes('unspecialised') ? 2 : Math.ceil(queryHeads / kvHeads / 8);
  expectEqual('matrix products of decode', counters.mma, pages * 4 * 2 * (headDim / 16) * headTiles);
}
