/** The table of variants: what its rows say of every architecture, and what launches take from them. */
import { describe, expect, test } from 'vitest';
import { architectures, findArchitecture } from '../../src/arch/registry.ts';
import { evaluate } from '../../src/ir/affine.ts';
import type { KernelName, KernelNode, KernelRope } from '../../src/ir/nodes.ts';
import { decodeHopper } from '../../src/kernels/decodeHopper.ts';
import { decodePortable } from '../../src/kernels/decodePortable.ts';
import { paramsName } from '../../src/kernels/paramStruct.ts';
import { prefillHopper } from '../../src/kernels/prefillHopper.ts';
import { prefillPortable } from '../../src/kernels/prefillPortable.ts';
import type { KernelRequest } from '../../src/kernels/variant.ts';
import type { HostVariables } from '../../src/kernels/variables.ts';
import { variantNames, variantOf, variantsFor } from '../../src/kernels/variants.ts';

const headDims = [64, 128, 256];
const called = (name: string) => findArchitecture(name)!;
const noRope: KernelRope = { rotaryDim: 0, pairing: 'halves' };

function request(architecture: string, headDim: number, groupSize = 1): KernelRequest {
  return {
    base: {
      kind: 'kernel',
      elementType: 'bf16',
      headDim,
      queryHeads: groupSize,
      kvHeads: 1,
      groupSize,
      sink: 64,
      architectures: [architecture],
      layers: [0],
    },
    architecture: called(architecture),
    layout: { pageTokens: 64, pageBytes: 64 * headDim * 4, cacheType: 'element' },
    scores: { softCap: 0, learnedSinks: false },
    specialised: true,
  };
}

describe('rows', () => {
  test('a kernel names the row that made it, for every architecture and head dimension', () => {
    for (const architecture of architectures) {
      for (const headDim of headDims) {
        const { prefill, decode, append, expand } = variantsFor(architecture);
        const asked = request(architecture.name, headDim);
        const tokens = { ...asked, rope: noRope, appends: true, tokens: 1, ageMask: false };
        const made = [
          [prefill, prefill.select(asked)],
          [decode, decode.select({ ...tokens, compute: undefined })],
          [append, append.select(tokens)],
          [expand, expand.select(asked)],
        ] as const;
        for (const [row, kernel] of made) expect(variantOf(kernel)).toBe(row);
      }
    }
  });

  test('only what runs on one chip alone has variants of its own', () => {
    for (const architecture of architectures) {
      const own = architecture.name.endsWith('a');
      const { prefill, decode } = variantsFor(architecture);
      expect(prefill).toBe(own ? prefillHopper : prefillPortable);
      expect(decode).toBe(own ? decodeHopper : decodePortable);
    }
  });

  test('one that the table lacks is an internal error', () => {
    const unknown = { role: 'append', variant: 'hopper' } as unknown as KernelName;
    expect(() => variantOf(unknown)).toThrow('internal error: there is a variant hopper of append');
  });

  test('variants whose structs of parameters have one name have one struct', () => {
    const lists = new Map<string, unknown>();
    for (const name of variantNames) {
      const { params } = variantOf(name);
      expect(lists.get(params.name) ?? params.fields).toBe(params.fields);
      lists.set(params.name, params.fields);
    }
    expect(paramsName({ role: 'prefill', variant: 'hopper' })).toBe('prefill-hopper');
    expect(
      paramsName({ role: 'decode', variant: 'hopper', learnedSinks: true, appends: false }),
    ).toBe('decode-sinks-tokens');
  });
});

describe('tiles', () => {
  test('every row has one for the head dimensions of kernels, and rows of attention for no others', () => {
    for (const name of variantNames) {
      const { tiles, features } = variantOf(name);
      for (const architecture of architectures) {
        for (const headDim of headDims) expect(tiles(headDim, architecture)).toBeDefined();
        if (features.attends) expect(tiles(96, architecture)).toBeUndefined();
      }
    }
  });

  test.each(headDims)(
    'prefill of headDim %s: whole warps of 16 rows that divide the tile, in the shared memory of every architecture',
    (headDim) => {
      const tiles = prefillPortable.tiles(headDim, called('sm_80'))!;
      for (const { rows, warps, minBlocksPerSm } of tiles) {
        expect(rows % (warps * 16)).toBe(0);
        expect(minBlocksPerSm).toBeGreaterThanOrEqual(1);
      }
      for (const { name, sharedBytesPerBlock } of architectures) {
        const { sharedBytes } = prefillPortable.select(request(name, headDim));
        expect(sharedBytes).toBeLessThanOrEqual(sharedBytesPerBlock);
      }
    },
  );

  test.each(headDims)(
    'decode of headDim %s: pages in flight beside one in use, and space for the blocks of a launch',
    (headDim) => {
      const tiles = [
        decodePortable.tiles(headDim, called('sm_80'))!,
        decodePortable.tiles(headDim, called('sm_90'))!,
        decodeHopper.tiles(headDim, called('sm_90a'))!,
      ];
      for (const { stages, groups, blocksPerSm, residentBlocksPerSm } of tiles) {
        expect(stages).toBeGreaterThanOrEqual(2);
        expect(groups).toBeGreaterThanOrEqual(1);
        expect(blocksPerSm).toBeGreaterThanOrEqual(1);
        expect(residentBlocksPerSm % blocksPerSm).toBe(0);
      }
      // Where launches do not overlap, nothing is kept for the next one.
      expect(tiles[0]!.residentBlocksPerSm).toBe(tiles[0]!.blocksPerSm);
      expect(tiles[0]).not.toBe(tiles[1]);
    },
  );

  test('decode multiplies on tensor cores from some group size on', () => {
    for (const architecture of architectures) {
      const { decode } = variantsFor(architecture);
      const units = [1, 2, 3, 4, 5, 6, 7, 8, 16].map((groupSize) => {
        const asked = request(architecture.name, 64, groupSize);
        const tokens = { ...asked, rope: noRope, appends: true, tokens: 1, ageMask: false };
        return decode.select({ ...tokens, compute: undefined }).compute;
      });
      expect(units).toEqual(units.toSorted());
      expect(units.at(-1)).toBe('tensorCores');
    }
  });
});

describe('the blocks of a launch', () => {
  const blocks = (kernel: KernelNode, variables: HostVariables & { readonly blocks?: number }): number =>
    evaluate(variantOf(kernel).grid(kernel), { multiprocessors: 10, ...variables });
  const hopper = request('sm_90a', 128, 4);
  const portable = request('sm_90', 128, 4);
  const tokens = { appends: true, tokens: 1, ageMask: false, compute: undefined };

  test('are one for each item, and of decode as many as were planned', () => {
    expect(blocks(prefillPortable.select(portable), { items: 1000 })).toBe(1000);
    for (const row of [decodePortable, decodeHopper]) {
      expect(blocks(row.select({ ...hopper, ...tokens, rope: noRope }), { blocks: 7 })).toBe(7);
    }
  });

  test('that stay are as many as run at once, at most one for each item', () => {
    const kernel = prefillHopper.select(hopper);
    const atOnce = 10 * prefillHopper.blocksPerSm(kernel);
    expect(blocks(kernel, { items: 1000 })).toBe(atOnce);
    expect(blocks(kernel, { items: 3 })).toBe(3);
  });

  test('with loops over tasks are at most 16 for each multiprocessor', () => {
    const { append, expand } = variantsFor(called('sm_90'));
    // Of a token a row of keys and one of values, and with RoPE 4 of queries: 8 threads each, 128 in a block.
    const plain = append.select({ ...portable, rope: noRope });
    const found = [1, 8, 9, 1279, 1280, 1281, 5000].map((count) => blocks(plain, { tokens: count }));
    expect(found).toEqual([1, 1, 2, 160, 160, 160, 160]);
    const rotates = append.select({ ...portable, rope: { ...noRope, rotaryDim: 128 } });
    expect([1, 2, 3, 8].map((count) => blocks(rotates, { tokens: count }))).toEqual([1, 1, 2, 3]);
    expect(blocks(expand.select(portable), {})).toBe(40);
  });
});
