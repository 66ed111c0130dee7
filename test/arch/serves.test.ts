import { describe, expect, test } from 'vitest';
import { architectureFor, choicesFor, served, tooSmall, type PackagedCode } from '../../src/arch/serves.ts';
import { compileSpec } from '../properties/plans.ts';

const KiB = 1024;
const code = (architecture: string, sharedBytes: number, ptx = false): PackagedCode => ({ architecture, ptx, sharedBytes });

describe('the GPUs that a package serves', () => {
  test.each<[string, PackagedCode[], string[], string[]]>([
    ['decode of sm_80 needs more than 8.6 and 8.9 have', [code('sm_80', 102_016)], ['8.0', '8.7'], ['8.6', '8.9']],
    ['a byte less than the limit of 99 KiB, and a byte more', [code('sm_80', 99 * KiB)], ['8.0', '8.6', '8.7', '8.9'], []],
    ['', [code('sm_80', 99 * KiB + 1)], ['8.0', '8.7'], ['8.6', '8.9']],
    ['with sm_86 all of them', [code('sm_80', 140_544), code('sm_86', 90_000)], ['8.0', '8.6', '8.7', '8.9'], []],
    ['PTX of sm_80 runs where blocks are large', [code('sm_80', 102_016, true)], ['8.0', '8.7', '9.0', '10.0', '10.3'], ['8.6', '8.9', '12.0', '12.1']],
    ['PTX of sm_90 beside a cubin that 8.6 has no room for', [code('sm_80', 102_016), code('sm_90', 99 * KiB, true)], ['8.0', '8.7', '9.0', '10.0', '10.3', '12.0', '12.1'], ['8.6', '8.9']],
    ['sm_90a', [code('sm_90a', 200_000)], ['9.0'], []],
    ['nothing', [], [], []],
  ])('%s', (_, codes, serves, small) => {
    expect(served(codes)).toEqual(serves);
    expect(tooSmall(codes)).toEqual(small);
  });

  test('what fits goes before what is newer', () => {
    const names = (codes: PackagedCode[], capability: readonly [number, number], bytes: number): string[] => choicesFor(codes, capability, bytes).map(({ code: { architecture }, as }) => `${architecture} ${as}`);
    expect(names([code('sm_80', 10, true), code('sm_86', 200)], [8, 9], 100)).toEqual(['sm_80 cubin', 'sm_80 ptx', 'sm_86 cubin']);
    expect(names([code('sm_80', 10, true), code('sm_90', 10, true), code('sm_90a', 10)], [9, 0], 100)).toEqual(['sm_90a cubin', 'sm_90 cubin', 'sm_90 ptx', 'sm_80 ptx']);
    expect(names([code('sm_90', 10)], [8, 0], 100)).toEqual([]);
  });

  test('what to compile for a GPU', () => {
    expect(([[8, 6], [8, 9], [9, 0], [12, 0], [12, 5], [7, 5]] as const).map(architectureFor)).toEqual(['sm_86', 'sm_89', 'sm_90', 'sm_120', 'sm_121', undefined]);
  });
});

test('a definition says which it serves: of cubins, and of sources what they are compiled for', () => {
  const spec = { shape: 'bf16_d128_3x1', rules: [[[128, 0, 1], [0, 1, 1], [0, 1, 1]]], rope: false } as const;
  expect(compileSpec({ ...spec, architecture: 'sm_80' }).definition.serves).toEqual(['8.0', '8.7']);
  expect(compileSpec({ ...spec, architecture: 'sm_86' }).definition.serves).toEqual(['8.6', '8.7', '8.9']);
});
