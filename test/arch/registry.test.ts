import { describe, expect, test } from 'vitest';
import { architectures, bestFor, findArchitecture, runsOn } from '../../src/arch/registry.ts';

const KiB = 1024;
const called = (name: string) => findArchitecture(name)!;

describe('the table of architectures', () => {
  test('rises by compute capability, with what runs on one chip alone behind the one it extends', () => {
    const order = architectures.map(({ name, computeCapability: [major, minor] }) => 2 * (major * 100 + minor) + Number(name.endsWith('a')));
    expect(order).toEqual([...new Set(order)].toSorted((a, b) => a - b));
    for (const { name } of architectures) expect(findArchitecture(name.replace('a', ''))).toBeDefined();
  });

  test('names are those of the compute capabilities', () => {
    for (const { name, computeCapability } of architectures) expect(name.replace(/a$/, '')).toBe(`sm_${computeCapability.join('')}`);
  });

  test("kernels with one chip's instructions are for the architecture with its suffix", () => {
    for (const { name, family } of architectures) expect(name.endsWith('a')).toBe(family === 'hopper');
    expect(called('sm_90a')).toEqual({ ...called('sm_90'), name: 'sm_90a', family: 'hopper' });
  });

  test('launches overlap from compute capability 9.0 on (PTX ISA, griddepcontrol)', () => {
    for (const { dependentLaunch, computeCapability } of architectures) expect(dependentLaunch).toBe(computeCapability[0] >= 9);
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
    ['sm_90a', [9, 0], true],
    ['sm_90a', [9, 1], false],
    ['sm_90a', [10, 0], false],
    ['sm_90a', [8, 9], false],
  ])('machine code for %s on compute capability %j: %s', (name, capability, runs) => {
    expect(runsOn(called(name), capability)).toBe(runs);
  });

  test('every architecture runs on itself', () => {
    for (const architecture of architectures) expect(runsOn(architecture, architecture.computeCapability)).toBe(true);
  });
});

describe('bestFor', () => {
  const names = architectures.map(({ name }) => name);

  test.each<[readonly string[], readonly [number, number], string | undefined]>([
    [['sm_90', 'sm_90a'], [9, 0], 'sm_90a'],
    [['sm_90a', 'sm_90'], [9, 0], 'sm_90a'],
    [['sm_90', 'sm_90a'], [9, 1], 'sm_90'],
    [['sm_80', 'sm_86'], [8, 9], 'sm_86'],
    [['sm_80', 'sm_86'], [8, 0], 'sm_80'],
    [['sm_80', 'sm_90a'], [10, 0], undefined],
    [['sm_81', 'toString'], [8, 9], undefined],
    [[], [8, 0], undefined],
  ])('of %j for compute capability %j: %s', (given, capability, best) => {
    expect(bestFor(given, capability)).toBe(best);
  });

  test('of all: its own version, with its own instructions where there are any', () => {
    for (const { computeCapability } of architectures) {
      const own = architectures.filter((known) => known.computeCapability.join('.') === computeCapability.join('.'));
      expect(bestFor(names, computeCapability)).toBe(own.at(-1)!.name);
    }
  });
});
