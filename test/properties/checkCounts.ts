/** What the emulator must have counted: derived pair by pair from the mask, apart from the schedules that the runtime makes. */
import type { Device } from '../../src/runtime/device.ts';
import type { KernelFamily } from '../../src/arch/arch.ts';
import { attends, keptTokens, type OracleMask } from '../oracle/mask.ts';
import { masksOf, ringMask, type Case } from './case.ts';
import { shapeOf } from './shapes.ts';

const pageTokens = 64;

/** Query rows of an item (src/arch/tiles.ts). */
const itemRows = (family: KernelFamily, headDim: number): number => (family === 'hopper' && headDim === 64 ? 192 : 128);

interface Visited {
  /** Of new tokens, numbered from the first new token on. */
  readonly own: readonly number[];
  /** Of the ring, and its rows that hold a token. */
  readonly ring: number;
  readonly ringRows: number;
}

const visitedCache = new Map<string, Visited>();

/** The pages with a key that a row attends, for rows `first .. last` of a sequence that had `cached` tokens in a ring of this window. */
function visitedPages(mask: OracleMask, first: number, last: number, cached: number, ringWindow: number): Visited {
  const cacheKey = `${mask.sink} ${mask.window} ${first} ${last} ${cached} ${ringWindow}`;
  const known = visitedCache.get(cacheKey);
  if (known !== undefined) return known;
  const [own, sinkPages, windowPages] = [new Set<number>(), new Set<number>(), new Set<number>()];
  for (let i = first; i <= last; i += 1) {
    for (let j = 0; j <= i; j += 1) {
      if (!attends(mask, i, j)) continue;
      if (j >= cached) own.add(Math.floor((j - cached) / pageTokens));
      else if (j < mask.sink) sinkPages.add(Math.floor(j / pageTokens));
      else windowPages.add(Math.floor(((j - mask.sink) % ringWindow) / pageTokens));
    }
  }
  const held = Math.min(cached - mask.sink, ringWindow);
  const rowsOf = (pages: Set<number>, slots: number): number => [...pages].reduce((sum, page) => sum + Math.min(pageTokens, slots - page * pageTokens), 0);
  const visited = { own: [...own], ring: sinkPages.size + windowPages.size, ringRows: rowsOf(sinkPages, Math.min(cached, mask.sink)) + rowsOf(windowPages, held) };
  visitedCache.set(cacheKey, visited);
  return visited;
}

function expectEqual(what: string, found: number, expected: number): void {
  if (found !== expected) throw new Error(`${what}: ${found} counted, ${expected} are needed`);
}

/** After `resetCounters` and the prefill of `chunk`: of each sequence the first and the end of its new tokens. */
export function checkPrefillCounts(device: Device, testCase: Case, layer: number, chunk: readonly (readonly [number, number])[]): void {
  const { headDim, queryHeads, kvHeads } = shapeOf(testCase.shape);
  const family = testCase.family ?? 'mmaSync';
  const masks = masksOf(testCase, layer);
  const groupSize = queryHeads / kvHeads;
  const rows = itemRows(family, headDim);
  let [items, pages, pairs, singles, copiedPages, copiedRows, zeroRows, tokens, kept] = [0, 0, 0, 0, 0, 0, 0, 0, 0];
  for (const [begin, end] of chunk) {
    tokens += end - begin;
    masks.forEach((mask, head) => {
      const ringWindow = ringMask(masks, groupSize, Math.floor(head / groupSize)).window;
      for (let first = begin; first < end; first += rows) {
        const last = Math.min(first + rows, end) - 1;
        const { own, ring, ringRows } = visitedPages(mask, first, last, begin, ringWindow);
        const visited = own.length + ring;
        items += 1;
        pages += visited;
        // A tile has two pages. An item's first one is whole, its last one may be half.
        pairs += visited === 1 ? 1 : Math.floor(visited / 2);
        singles += visited === 1 ? 0 : visited % 2;
        copiedPages += visited === 1 ? 2 : visited;
        const live = own.map((page) => Math.min((page + 1) * pageTokens, end - begin) - page * pageTokens).reduce((a, b) => a + b, 0);
        copiedRows += last - first + 1 + 2 * (live + ringRows);
        zeroRows += rows - (last - first + 1) + 2 * ((own.length + ring) * pageTokens - live - ringRows);
      }
    });
    for (let kvHead = 0; kvHead < kvHeads; kvHead += 1) {
      if (end > begin) kept += keptTokens(ringMask(masks, groupSize, kvHead), end).filter((j) => j >= begin).length;
    }
  }
  const { counters } = device;
  const rowBytes = headDim * 2;
  expectEqual('pages that prefill visits', counters.tiles, pages);
  if (family === 'hopper') {
    expectEqual('bytes that prefill copied in bulk', counters.bulkCopyBytes, (items * rows + 2 * copiedPages * pageTokens) * rowBytes);
    expectEqual('bytes that prefill copied otherwise', counters.asyncCopyBytes, 0);
    // Of each warp: S over headDim, O over the keys of a tile; and in each block one S more, when there is no further item.
    const blocks = Math.min(items, device.multiprocessors);
    expectEqual('products of warpgroups of prefill', counters.wgmma, (rows / 16) * ((pairs + singles + blocks) * (headDim / 16) + pairs * 8 + singles * 4));
  } else {
    expectEqual('bytes that prefill copied to shared memory', counters.asyncCopyBytes, copiedRows * rowBytes);
    expectEqual('zero fills of prefill', counters.zeroFills, (zeroRows * rowBytes) / 16);
    // S and O of a page: a 16 x 8 x 16 product each step, over all rows, columns and dimensions.
    expectEqual('matrix products of prefill', counters.mma, pages * 2 * (rows / 16) * (pageTokens / 8) * (headDim / 16));
  }
  const rotated = testCase.rope === true ? tokens * (queryHeads + kvHeads) * rowBytes : 0;
  const results = tokens * queryHeads * (rowBytes + 4);
  expectEqual('bytes stored by append and prefill', counters.globalStoreBytes, (kept * 2 * rowBytes) / (testCase.cacheType === 'e4m3' ? 2 : 1) + rotated + results + (tokens > 0 ? chunk.length * 4 : 0));
  if (family === 'mmaSync' && items > counters.blocks) throw new Error(`${counters.blocks} blocks ran for ${items} blocks of rows`);
}

/** After `resetCounters` and one decode of a layer that made sequences `lengths` tokens long. */
export function checkDecodeCounts(device: Device, testCase: Case, layer: number, lengths: readonly number[]): void {
  const { headDim, queryHeads, kvHeads, sink } = shapeOf(testCase.shape);
  const masks = masksOf(testCase, layer);
  const cacheBytes = testCase.cacheType === 'e4m3' ? 1 : 2;
  const sinkSlots = Math.ceil(sink / pageTokens) * pageTokens;
  let [pages, rows] = [0, 0];
  for (const length of lengths) {
    for (let kvHead = 0; kvHead < kvHeads; kvHead += 1) {
      const ring = ringMask(masks, queryHeads / kvHeads, kvHead);
      const kept = keptTokens(ring, length);
      const used = new Set(kept.map((j) => Math.floor((j < sink ? j : sinkSlots + ((j - sink) % ring.window)) / pageTokens)));
      pages += used.size;
      rows += kept.length;
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
  const headTiles = ablations.includes('cuda-cores') ? 0 : ablations.includes('unspecialised') ? 2 : Math.ceil(queryHeads / kvHeads / 8);
  expectEqual('matrix products of decode', counters.mma, pages * 4 * 2 * (headDim / 16) * headTiles);
}
