/** What the emulator must have counted: derived pair by pair from the mask, apart from the schedules that the runtime makes. */
import type { Device } from '../../src/runtime/device.ts';
import { keptTokens, tilesWithPairs, type OracleMask } from '../oracle/mask.ts';
import { masksOf, ringMask, type Case } from './case.ts';
import { shapeOf } from './shapes.ts';

/** Rows and columns of a prefill tile (src/arch/tiles.ts). */
const tile = { rows: 128, columns: 64 };
const pageTokens = 64;

const tileCache = new Map<string, readonly number[]>();

function tilesOf(mask: OracleMask, first: number, last: number): readonly number[] {
  const key = `${mask.sink} ${mask.window} ${first} ${last}`;
  let tiles = tileCache.get(key);
  if (tiles === undefined) tileCache.set(key, (tiles = tilesWithPairs(mask, first, last, tile.columns)));
  return tiles;
}

function expectEqual(what: string, found: number, expected: number): void {
  if (found !== expected) throw new Error(`${what}: ${found} counted, ${expected} are needed`);
}

/** After `resetCounters` and one prefill of a layer of a new session. */
export function checkPrefillCounts(device: Device, testCase: Case, layer: number): void {
  const { headDim, queryHeads, kvHeads } = shapeOf(testCase.shape);
  const masks = masksOf(testCase, layer);
  const groupSize = queryHeads / kvHeads;
  let [tiles, copiedRows, kept, blocks, tokens, columnsOfTiles] = [0, 0, 0, 0, 0, 0];
  for (const length of testCase.prefill) {
    tokens += length;
    for (const mask of masks) {
      for (let first = 0; first < length; first += tile.rows) {
        const last = Math.min(first + tile.rows, length) - 1;
        const visited = tilesOf(mask, first, last);
        blocks += 1;
        tiles += visited.length;
        columnsOfTiles += visited.length * tile.columns * 2 + tile.rows;
        copiedRows += last - first + 1;
        for (const t of visited) copiedRows += 2 * (Math.min((t + 1) * tile.columns, length) - t * tile.columns);
      }
    }
    for (let kvHead = 0; kvHead < kvHeads; kvHead += 1) kept += keptTokens(ringMask(masks, groupSize, kvHead), length).length;
  }
  const { counters } = device;
  const rowBytes = headDim * 2;
  expectEqual('prefill tiles', counters.tiles, tiles);
  expectEqual('bytes that prefill copied to shared memory', counters.asyncCopyBytes, copiedRows * rowBytes);
  expectEqual('zero fills of prefill', counters.zeroFills, ((columnsOfTiles - copiedRows) * rowBytes) / 16);
  // S and O of a tile: a 16 x 8 x 16 product each step, over all rows, columns and dimensions.
  expectEqual('matrix products of prefill', counters.mma, tiles * 2 * (tile.rows / 16) * (tile.columns / 8) * (headDim / 16));
  const rotated = testCase.rope === true ? tokens * (queryHeads + kvHeads) * rowBytes : 0;
  const results = tokens * queryHeads * (rowBytes + 4);
  expectEqual('bytes stored by append and prefill', counters.globalStoreBytes, (kept * 2 * rowBytes) / (testCase.cacheType === 'e4m3' ? 2 : 1) + rotated + results + (tokens > 0 ? testCase.prefill.length * 4 : 0));
  if (blocks > counters.blocks) throw new Error(`${counters.blocks} blocks ran for ${blocks} blocks of rows`);
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
