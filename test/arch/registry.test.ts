import { describe, expect, test } from 'vitest';
import { architectures, findArchitecture, runsOn } from '../../src/arch/registry.ts';
import { decodeTiles, prefillTiles } from '../../src/arch/tiles.ts';

const KiB = 1024;
const called = (name: string) => findArchitecture(name)!;

describe('the table of architectures', () => {
  test('rises by compute capability, without repeats', () => {
    const order = architectures.map(({ computeCapability: [major, minor] }) => major * 100 + minor);
    expect(order).toEqual([...new Set(order)].toSorted((a, b) => a - b));
    expect(new Set(architectures.map(({ name }) => name)).size).toBe(architectures.length);
  });

  test('names are those of the compute capabilities', () => {
    for (const { name, computeCapability } of architectures) expect(name).toBe(`sm_${computeCapability.join('')}`);
  });

  test('an SM has a KiB more than its largest block: what CUDA keeps for a block', () => {
    for (const { sharedBytesPerBlock, sharedBytesPerSm } of architectures) expect(sharedBytesPerSm - sharedBytesPerBlock).toBe(KiB);
  });

  test.each([
    ['sm_80', 163],
    ['sm_86', 99],
    ['sm_89', 99],
    ['sm_90', 227],
    ['sm_100', 227],
    ['sm_120', 99],
  ])('%s has %i KiB for a block', (name, size) => {
    expect(called(name).sharedBytesPerBlock).toBe(size * KiB);
  });

  test('is frozen, and finds by name only', () => {
    expect(Object.isFrozen(architectures) && architectures.every((architecture) => Object.isFrozen(architecture))).toBe(true);
    expect(findArchitecture('sm_81')).toBeUndefined();
    expect(findArchitecture('toString')).toBeUndefined();
  });
});

describe('runsOn', () => {
  test.each<[string, readonly [number, number], boolean]>([
    ['sm_80', [8, 0], true],
    ['sm_80', [8, 9], true],
    ['sm_86', [8, 0], false],
    ['sm_86', [8, 9], true],
    ['sm_80', [9, 0], false],
    ['sm_90', [8, 9], false],
    ['sm_90', [9, 0], true],
    ['sm_100', [10, 3], true],
    ['sm_103', [10, 0], false],
    ['sm_120', [10, 0], false],
    ['sm_120', [12, 1], true],
  ])('machine code for %s on compute capability %j: %s', (name, capability, runs) => {
    expect(runsOn(called(name), capability)).toBe(runs);
  });

  test('every architecture runs on itself', () => {
    for (const architecture of architectures) expect(runsOn(architecture, architecture.computeCapability)).toBe(true);
  });
});

describe('tiles', () => {
  test('both kernels have tiles for the same head dimensions', () => {
    expect(Object.keys(prefillTiles)).toEqual(Object.keys(decodeTiles));
  });

  test.each(Object.entries(prefillTiles))('prefill of headDim %s: whole warps of 16 rows that divide the tile, in the shared memory of every architecture', (headDim, { rows, columns, warps, minBlocksPerSm }) => {
    expect(rows % (warps * 16)).toBe(0);
    expect(columns % 16).toBe(0);
    expect(minBlocksPerSm).toBeGreaterThanOrEqual(1);
    // Q, K and V of two bytes an element.
    const bytes = (rows + 2 * columns) * Number(headDim) * 2;
    for (const { sharedBytesPerBlock } of architectures) expect(bytes).toBeLessThanOrEqual(sharedBytesPerBlock);
  });

  test('decode has at least two stages wanted', () => {
    for (const { stages } of Object.values(decodeTiles)) expect(stages).toBeGreaterThanOrEqual(2);
  });
});
