import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hashOfFile, isDone, keyOf, makeFolder, removeKey, writeKey, writeWhole } from '../../src/search/workFolder.ts';
import { codesOf, diagnosticsOf, scratchFolder, smallFileSystem } from '../toolchain/helpers.ts';

test('a key depends on every fact, and not on the order of keys', () => {
  const facts = { model: [['a', 1]], lengths: [128, 192], samples: null };
  expect(keyOf(facts)).toMatch(/^[0-9a-f]{64}$/);
  expect(keyOf({ samples: null, lengths: [128, 192], model: [['a', 1]] })).toBe(keyOf(facts));
  const others = [{ ...facts, lengths: [192, 128] }, { ...facts, lengths: [128] }, { ...facts, samples: 1 }, { ...facts, model: [['a', 2]] }, { ...facts, more: 0 }];
  expect(new Set([facts, ...others].map(keyOf)).size).toBe(6);
});

test('a result is done when it is there with its key', () => {
  const result = join(scratchFolder(), 'result');
  const [key, other] = [keyOf(1), keyOf(2)];
  expect(isDone(result, key)).toBe(false);
  writeKey(result, key);
  expect(isDone(result, key)).toBe(false);
  writeFileSync(result, '');
  expect([isDone(result, key), isDone(result, other)]).toEqual([true, false]);
  writeKey(result, other);
  expect([isDone(result, key), isDone(result, other)]).toEqual([false, true]);
  removeKey(result);
  removeKey(result);
  expect([isDone(result, key), isDone(result, other)]).toEqual([false, false]);
});

describe('a file is written whole or not at all', () => {
  test('new, or over another', () => {
    const folder = scratchFolder();
    const path = join(folder, 'file');
    for (const text of ['first', '', 'é'.repeat(100_000)]) {
      writeWhole(path, text);
      expect(readFileSync(path, 'utf8')).toBe(text);
    }
    // What an earlier process with the same number left does not hinder.
    writeFileSync(`${path}.${process.pid}.part`, 'old');
    writeWhole(path, 'again');
    expect([readdirSync(folder), readFileSync(path, 'utf8')]).toEqual([['file'], 'again']);
  });

  test('when it cannot be renamed, what was there stays and nothing is left over', async () => {
    const folder = scratchFolder();
    mkdirSync(join(folder, 'taken'));
    writeFileSync(join(folder, 'taken', 'inside'), 'old');
    const error = await diagnosticsOf(() => writeWhole(join(folder, 'taken'), 'new'));
    expect([error.exitCode, codesOf(error), error.diagnostics[0]!.message]).toEqual([1, ['MOA5001'], expect.stringContaining(join(folder, 'taken'))]);
    expect([readdirSync(folder), readFileSync(join(folder, 'taken', 'inside'), 'utf8')]).toEqual([['taken'], 'old']);
  });

  test('where there is no folder, or a file in its place', async () => {
    const folder = scratchFolder();
    writeFileSync(join(folder, 'file'), 'old');
    expect(codesOf(await diagnosticsOf(() => writeWhole(join(folder, 'none', 'file'), 'new')))).toEqual(['MOA5001']);
    expect(codesOf(await diagnosticsOf(() => writeWhole(join(folder, 'file', 'file'), 'new')))).toEqual(['MOA5004']);
    expect(codesOf(await diagnosticsOf(() => makeFolder(join(folder, 'file', 'folder'))))).toEqual(['MOA5004']);
    expect([readdirSync(folder), readFileSync(join(folder, 'file'), 'utf8')]).toEqual([['file'], 'old']);
    makeFolder(join(folder, 'a', 'b'));
    makeFolder(join(folder, 'a', 'b'));
    expect(readdirSync(join(folder, 'a'))).toEqual(['b']);
  });

  test('on a disk that is full', async ({ skip }) => {
    const disk = smallFileSystem(64);
    if (disk === undefined) return skip('no file system can be mounted here');
    try {
      const path = join(disk.folder, 'file');
      writeWhole(path, 'old');
      expect(codesOf(await diagnosticsOf(() => writeWhole(path, 'new'.repeat(100_000))))).toEqual(['MOA5006']);
      expect([readdirSync(disk.folder), readFileSync(path, 'utf8')]).toEqual([['file'], 'old']);
    } finally {
      disk.unmount();
    }
  });
});

test('the hash of a file', async () => {
  const path = join(scratchFolder(), 'data');
  const bytes = Buffer.alloc(200_000, 'data');
  writeFileSync(path, bytes);
  expect(await hashOfFile(path)).toBe(createHash('sha256').update(bytes).digest('hex'));
});
