import { appendFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Profile } from '../../src/search/profile/profile.ts';
import { readProfile } from '../../src/search/profile/readProfile.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import { safetensorsBytes, said, scratchBytes, syntheticProfile, writeSafetensors, type SyntheticProfile, type TestTensor } from './support.ts';

const made = syntheticProfile({ layers: 2, queryHeads: 4, kvHeads: 2, lengths: [64, 256, 512], seed: 1 });
const lengths = [64, 256, 512];

async function read(path: string, sinkPages?: readonly number[]): Promise<{ profile: Profile | undefined; problems: string[] }> {
  const diagnostics = new DiagnosticList();
  const profile = await readProfile(path, diagnostics, sinkPages === undefined ? {} : { sinkPages });
  expect(profile === undefined).toBe(diagnostics.hasErrors);
  return { profile, problems: said(diagnostics) };
}

/** `loss_N(m)`, word by word from docs/search-formats.md. */
function lossOf({ block }: SyntheticProfile, length: number, layer: number, head: number, m: number, s: number): number {
  let sum = 0;
  for (let bi = 0; bi < length / 64; bi += 1) {
    for (let bj = s; bj < length / 64; bj += 1) {
      if (bi - bj - 1 >= m) sum += block(length, layer, head, 0, bi, bj);
      if (bi - bj >= m) sum += block(length, layer, head, 1, bi, bj);
    }
  }
  return sum;
}

test('a profile: facts, hash, losses by window, and maps', async () => {
  const { profile, problems } = await read(made.path, [0, 1, 3]);
  expect(problems).toEqual([]);
  expect(profile).toMatchObject({ kind: 'profile', file: made.path, sha256: made.sha256, page: 64, skipped: 0, model: { name: 'synthetic', layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64, elementType: 'bf16' } });
  expect(profile!.lengths.map(({ length, samples }) => [length, samples])).toEqual([[64, 4], [256, 5], [512, 6]]);
  for (const [index, length] of lengths.entries()) {
    for (const [layer, head] of [[0, 0], [0, 3], [1, 2]] as const) {
      for (const sink of [0, 1, 3]) {
        const losses = profile!.tail(index, layer, head, sink);
        expect(losses).toHaveLength(length / 64 + 1);
        losses.forEach((loss, m) => expect(loss).toBeCloseTo(lossOf(made, length, layer, head, m, sink), 12));
        expect([...losses].every((loss, m) => m === 0 || loss <= losses[m - 1]!)).toBe(true);
        expect(losses.at(-1)).toBe(0);
      }
      const map = await profile!.influenceMap(index, layer, head);
      const pages = length / 64;
      expect(map).toHaveLength(pages * pages);
      for (let at = 0; at < map.length; at += 1) {
        const [query, key] = [Math.floor(at / pages), at % pages];
        expect(map[at]).toBe(Math.fround(made.block(length, layer, head, 0, query, key) + made.block(length, layer, head, 1, query, key)));
      }
    }
  }
});

test('tensors in another order of the file', async () => {
  const { profile, problems } = await read(writeSafetensors(made.tensors.toReversed(), made.metadata));
  expect(problems).toEqual([]);
  const usual = (await read(made.path)).profile!;
  expect(profile!.sha256).not.toBe(made.sha256);
  for (const index of lengths.keys()) expect(profile!.tail(index, 1, 3, 1)).toEqual(usual.tail(index, 1, 3, 1));
});

test('a map of a file that changed since', async () => {
  const path = scratchBytes(made.bytes);
  const { profile } = await read(path);
  appendFileSync(path, 'x');
  await expect(profile!.influenceMap(0, 0, 0)).rejects.toThrow(/MOA710[34]/);
});

test('what it was not read for is a bug of the caller', async () => {
  const { profile } = await read(made.path);
  expect(() => profile!.tail(0, 0, 0, 2)).toThrow('internal error');
  expect(() => profile!.tail(0, 2, 0, 1)).toThrow('internal error');
});

describe('the description', () => {
  const described = JSON.parse(made.metadata['profile']!) as { model: Record<string, unknown>; lengths: Record<string, unknown>[] } & Record<string, unknown>;
  const changedBy = (change: object): Record<string, string> => ({ ...made.metadata, profile: JSON.stringify({ ...described, ...change }) });
  const model = (change: object): Record<string, string> => changedBy({ model: { ...described.model, ...change } });
  const length = (change: object): Record<string, string> => changedBy({ lengths: [{ ...described.lengths[0], ...change }, ...described.lengths.slice(1)] });

  test.each<[string, Record<string, string>, string]>([
    ['another format', { ...made.metadata, format: 'pt' }, 'MOA7105: the file is not a profile'],
    ['another version', { ...made.metadata, version: '2' }, 'MOA7105: the profile is not of version 1'],
    ['no description', { format: 'moa-profile', version: '1' }, 'MOA7106: the metadata has no "profile"'],
    ['more metadata', { ...made.metadata, more: '' }, 'MOA7106: unknown key of the metadata'],
    ['no JSON', { ...made.metadata, profile: '{' }, 'MOA1012'],
    ['a list', { ...made.metadata, profile: '[]' }, 'MOA7106: expected an object, found an array'],
    ['a misspelt key', changedBy({ skiped: 1, skipped: undefined }), 'MOA7106: unknown key "skiped"'],
    ['a missing key', changedBy({ data: undefined }), 'MOA7106: the key "data" is missing'],
    ['a page of 32', changedBy({ page: 32 }), 'MOA7106: 32 is not from 64 to 64'],
    ['a data hash', changedBy({ data: { sha256: 'x' } }), 'MOA7106: "x" is not a SHA-256 in hex'],
    ['skipped below 0', changedBy({ skipped: -1 }), 'MOA7106: -1 is not from 0'],
    ['heads', model({ kvHeads: 3 }), 'MOA7106: 4 query heads cannot be shared out evenly among 3 KV heads'],
    ['layers', model({ layers: 0 }), 'MOA7106: 0 is not from 1 to 1024'],
    ['a name', model({ name: 'a b' }), 'MOA7106: "a b" is not a name'],
    ['a type', model({ elementType: 'fp8' }), 'MOA7106: "fp8" is none of "bf16", "fp16"'],
    ['a soft cap', model({ softCap: 1e-9 }), 'MOA7106: 1e-9 is not from 0.001 to 1000'],
    ['learned sinks', model({ learnedSinks: 1 }), 'MOA7106: expected true or false, found 1'],
    ['a scale', model({ scale: 0 }), 'MOA7106: 0 is not from'],
    ['no lengths', changedBy({ lengths: [] }), 'MOA7106: 0 items; there have to be 1 to 16'],
    ['lengths that fall', changedBy({ lengths: described.lengths.toReversed() }), 'MOA7106: length 256 is not more than the one before it, 512'],
    ['a length of no whole pages', length({ length: 100 }), 'MOA7106: 100 is not a multiple of 64'],
    ['a fraction of samples', length({ samples: 1.5 }), 'MOA7106: expected an integer, found 1.5'],
    ['a loss that is a text', length({ loss: '1' }), 'MOA7106: expected a number, found "1"'],
    ['a loss too large', { ...made.metadata, profile: made.metadata['profile']!.replace('1.25', '1e999') }, 'MOA1015'],
  ])('%s', async (_, metadata, message) => {
    const { problems } = await read(writeSafetensors(made.tensors, metadata));
    expect(problems[0]).toContain(message);
  });
});

test('how the model makes scores', async () => {
  const described = JSON.parse(made.metadata['profile']!) as { model: object };
  const scores = { softCap: 50, learnedSinks: true, scale: 0.0625 };
  const { profile } = await read(writeSafetensors(made.tensors, { ...made.metadata, profile: JSON.stringify({ ...described, model: { ...described.model, ...scores } }) }));
  expect(profile!.model).toMatchObject(scores);
});

describe('the tensors', () => {
  const changed = (change: (tensor: TestTensor, index: number) => TestTensor | []): string => writeSafetensors(made.tensors.flatMap(change), made.metadata);

  test('missing, unknown, of another shape', async () => {
    expect((await read(changed((tensor, index) => (index === 1 ? [] : tensor)))).problems).toEqual(['MOA7107: the tensor influence.256 is missing']);
    expect((await read(changed((tensor, index) => (index === 1 ? { ...tensor, name: 'influence.128' } : tensor)))).problems).toEqual([
      'MOA7107: the tensor influence.256 is missing',
      'MOA7107: unknown tensor "influence.128"; a profile has influence.<N> for its lengths',
    ]);
    expect((await read(changed((tensor, index) => (index === 1 ? { ...tensor, shape: [2, 2, 4, 4, 4] } : tensor)))).problems).toEqual(['MOA7107: the tensor influence.256 is F32 of 2 x 2 x 4 x 4 x 4; F32 of 2 x 4 x 2 x 4 x 4 is needed']);
  });

  /** A value of `influence.256`. */
  const withValue = (layer: number, head: number, part: number, query: number, key: number, value: number): string =>
    changed((tensor, index) => {
      if (index !== 1) return tensor;
      const values = tensor.values.slice();
      values[(((layer * 4 + head) * 2 + part) * 4 + query) * 4 + key] = value;
      return { ...tensor, values };
    });

  test.each([
    [1, 3, 0, 3, 2, NaN, 'MOA7108: influence.256: layer 1, query head 3: NaN at block (3, 2), near part'],
    [0, 1, 1, 2, 2, Infinity, 'MOA7108: influence.256: layer 0, query head 1: Infinity at block (2, 2), far part'],
    [0, 0, 1, 0, 0, -1, 'MOA7108: influence.256: layer 0, query head 0: -1 at block (0, 0), far part'],
    [0, 2, 1, 1, 2, 1, 'MOA7109: influence.256: layer 0, query head 2: 1 at block (1, 2), far part, where no pair is causal'],
    [0, 2, 0, 2, 2, 1, 'MOA7109: influence.256: layer 0, query head 2: 1 at block (2, 2), near part, where no pair is causal'],
  ])('layer %d, head %d, part %d, block (%d, %d): %d', async (layer, head, part, query, key, value, message) => {
    expect((await read(withValue(layer, head, part, query, key, value))).problems).toEqual([message]);
  });

  test('-0 is zero', async () => {
    expect((await read(withValue(0, 0, 0, 0, 3, -0))).problems).toEqual([]);
  });

  test('a head of zeros is warned of', async () => {
    const path = changed((tensor, index) => {
      const values = tensor.values.slice();
      if (index === 1) values.fill(0, 5 * 32, 6 * 32);
      return { ...tensor, values };
    });
    expect((await read(path)).problems).toEqual(['MOA7110: influence.256: layer 1, query head 1: the influence is zero everywhere']);
  });
});

test('never throws, whatever bytes of a profile are changed', async () => {
  const bytes = safetensorsBytes(made.tensors.slice(0, 1), made.metadata);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(bytes.byteLength - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }), async (edits) => {
      const edited = Buffer.from(bytes);
      for (const [at, byte] of edits) edited[at] = byte;
      await read(scratchBytes(edited));
    }),
    { numRuns: 300 },
  );
});
