import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { cacheKey, decodeEntry, encodeEntry } from '../../src/toolchain/cacheEntry.ts';
import { cacheFolder } from '../../src/toolchain/cacheFolder.ts';
import { clearCache, KernelCache, listCache } from '../../src/toolchain/kernelCache.ts';
import { compileForChildren, scratchFolder, smallFileSystem } from './helpers.ts';

const key = cacheKey([['name', 'value']]);
const parts = new Map([['cubin', new Uint8Array([1, 2, 3, 4])], ['empty', new Uint8Array()], ['report', Buffer.from('{}')]]);
const plain = (found: ReadonlyMap<string, Uint8Array> | undefined) => found && Object.fromEntries([...found].map(([name, bytes]) => [name, [...bytes]]));
const stored = plain(parts);
const newFolder = (): string => join(scratchFolder(), 'cache');
const codes = (cache: KernelCache): string[] => cache.warnings.map(({ code }) => code);

describe('entries', () => {
  const entry = encodeEntry(key, parts);

  test('round trip', () => {
    expect(plain(decodeEntry(key, entry))).toEqual(stored);
    expect(plain(decodeEntry(key, encodeEntry(key, new Map())))).toEqual({});
    expect(decodeEntry(cacheKey([]), entry)).toBeUndefined();
  });

  test('any bit of any byte changed, any length cut, anything appended', () => {
    for (let at = 0; at < entry.length; at += 1) {
      for (const flip of [1, 0x20, 0x80, 0xff]) {
        const damaged = Uint8Array.from(entry);
        damaged[at] = (damaged[at] ?? 0) ^ flip;
        expect(decodeEntry(key, damaged)).toBeUndefined();
      }
      expect(decodeEntry(key, entry.subarray(0, at))).toBeUndefined();
    }
    expect(decodeEntry(key, Buffer.concat([entry, Buffer.from([0])]))).toBeUndefined();
  });

  test('no two lists of fields share a key', () => {
    const lists = [[['a', 'bc']], [['ab', 'c']], [['a', 'b'], ['c', '']], [['a', ''], ['b', 'c']], [['a', '1:b']], []] as const;
    expect(new Set(lists.map((fields) => cacheKey(fields))).size).toBe(lists.length);
  });
});

describe('the folder', () => {
  test('XDG_CACHE_HOME, then HOME', () => {
    expect(cacheFolder({ XDG_CACHE_HOME: '/x', HOME: '/h' })).toBe('/x/moa-compile');
    expect(cacheFolder({ XDG_CACHE_HOME: 'relative', HOME: '/h' })).toBe('/h/.cache/moa-compile');
    expect(cacheFolder({ HOME: '/h' })).toBe('/h/.cache/moa-compile');
  });

  test('it is made with mode 0700', () => {
    const folder = newFolder();
    KernelCache.open(folder);
    for (const path of [folder, join(folder, 'v1')]) expect(fs.statSync(path).mode & 0o777).toBe(0o700);
  });

  test.each([
    ['group-writable', (folder: string) => (fs.mkdirSync(folder), fs.chmodSync(folder, 0o770))],
    ['world-writable', (folder: string) => (fs.mkdirSync(folder), fs.chmodSync(folder, 0o702))],
    ['a link', (folder: string) => fs.symlinkSync(scratchFolder(), folder)],
    ['a file', (folder: string) => fs.writeFileSync(folder, '')],
    ['below a file', (folder: string) => (fs.rmdirSync(join(folder, '..')), fs.writeFileSync(join(folder, '..'), ''))],
    ['in a parent that anyone may write to', (folder: string) => fs.chmodSync(join(folder, '..'), 0o777)],
    ['with an inner folder that others may write to', (folder: string) => (fs.mkdirSync(join(folder, 'v1'), { recursive: true }), fs.chmodSync(join(folder, 'v1'), 0o777))],
  ])('it is not used when it is %s', (_, prepare) => {
    const folder = newFolder();
    prepare(folder);
    const cache = KernelCache.open(folder);
    expect(codes(cache)).toEqual(['MOA5101']);
    expect(cache.store(key, parts)).toBe(false);
    expect(cache.load(key)).toBeUndefined();
  });

  test.skipIf(process.getuid?.() !== 0)('it is not used when it belongs to someone else (needs root)', () => {
    const folder = newFolder();
    fs.mkdirSync(folder, { mode: 0o700 });
    fs.chownSync(folder, 12345, 12345);
    expect(codes(KernelCache.open(folder))).toEqual(['MOA5101']);
  });

  test('no cache', () => {
    const cache = KernelCache.none();
    expect([cache.store(key, parts), cache.load(key), cache.warnings]).toEqual([false, undefined, []]);
  });
});

describe('loads and stores', () => {
  test('what was stored is loaded, also by another', () => {
    const folder = newFolder();
    const cache = KernelCache.open(folder);
    expect(cache.load(key)).toBeUndefined();
    expect(cache.store(key, parts)).toBe(true);
    expect(plain(KernelCache.open(folder).load(key))).toEqual(stored);
    expect(fs.readdirSync(join(folder, 'v1'))).toEqual([key]);
  });

  test('a damaged entry is removed, with one warning, and can be stored anew', () => {
    const cache = KernelCache.open(newFolder());
    const path = join(cache.folder ?? '', key);
    for (const damage of [Buffer.from('x'), Buffer.alloc(0), encodeEntry(cacheKey([['other', '']]), parts)]) {
      fs.writeFileSync(path, damage);
      expect(cache.load(key)).toBeUndefined();
      expect(fs.existsSync(path)).toBe(false);
    }
    expect(codes(cache)).toEqual(['MOA5103']);
    cache.store(key, parts);
    expect(plain(cache.load(key))).toEqual(stored);
  });

  test('links, folders and pipes in the place of an entry are never followed or waited for', () => {
    const cache = KernelCache.open(newFolder());
    const path = join(cache.folder ?? '', key);
    fs.writeFileSync(`${path}.real`, encodeEntry(key, parts));
    fs.symlinkSync(`${path}.real`, path);
    expect(cache.load(key)).toBeUndefined();
    fs.rmSync(path);
    fs.mkdirSync(path);
    expect(cache.load(key)).toBeUndefined();
    expect(cache.store(key, parts)).toBe(false);
    expect(codes(cache)).toEqual(['MOA5102']);
    expect(fs.readdirSync(cache.folder ?? '').filter((name) => name.startsWith('.tmp-'))).toEqual([]);
  });

  test('a folder that went away', () => {
    const folder = newFolder();
    const cache = KernelCache.open(folder);
    fs.rmSync(folder, { recursive: true });
    expect(cache.load(key)).toBeUndefined();
    expect(cache.store(key, parts)).toBe(false);
    expect(codes(cache)).toEqual(['MOA5102']);
  });

  test('old temporary files are removed, young ones stay', () => {
    const folder = newFolder();
    KernelCache.open(folder);
    const [old, young] = ['.tmp-1-a', '.tmp-1-b'].map((name) => join(folder, 'v1', name)) as [string, string];
    fs.writeFileSync(old, '');
    fs.writeFileSync(young, '');
    const past = Date.now() / 1000 - 7200;
    fs.utimesSync(old, past, past);
    KernelCache.open(folder);
    expect([fs.existsSync(old), fs.existsSync(young)]).toEqual([false, true]);
  });

  test('list and clear', () => {
    const folder = newFolder();
    expect(listCache(folder)).toEqual({ folder, items: [], bytes: 0 });
    KernelCache.open(folder).store(key, parts);
    fs.writeFileSync(join(folder, 'README'), 'not ours');
    const report = listCache(folder);
    expect(report.items).toMatchObject([{ key, bytes: encodeEntry(key, parts).length }]);
    expect(clearCache(folder)).toEqual(report);
    expect(fs.readdirSync(folder)).toEqual(['README']);
    expect(listCache(folder).bytes).toBe(0);
  });
});

describe('disks', () => {
  test('of every size from too small to enough: an entry is whole or absent', (context) => {
    const disk = smallFileSystem(64);
    if (disk === undefined) return context.skip('mounting is not permitted');
    try {
      const large = new Map([['cubin', new Uint8Array(20_000).fill(7)]]);
      for (let filled = 0; filled <= 64; filled += 4) {
        fs.rmSync(join(disk.folder, 'cache'), { recursive: true, force: true });
        const filler = join(disk.folder, 'filler');
        try {
          fs.writeFileSync(filler, new Uint8Array(filled * 1024));
        } catch {
          // Full from the start.
        }
        const cache = KernelCache.open(join(disk.folder, 'cache'));
        const kept = cache.store(key, large);
        expect(cache.load(key)?.get('cubin')?.length).toBe(kept ? 20_000 : undefined);
        expect(cache.warnings.length).toBe(kept ? 0 : 1);
      }
    } finally {
      disk.unmount();
    }
  });

  test('read-only', async (context) => {
    const disk = smallFileSystem(256);
    if (disk === undefined) return context.skip('mounting is not permitted');
    try {
      const folder = join(disk.folder, 'cache');
      KernelCache.open(folder).store(key, parts);
      const [code] = await once(spawn('mount', ['-o', 'remount,ro', disk.folder]), 'exit');
      if (code !== 0) return context.skip('remounting is not permitted');
      const cache = KernelCache.open(folder);
      expect(plain(cache.load(key))).toEqual(stored);
      expect(cache.store(cacheKey([]), parts)).toBe(false);
      expect(codes(cache)).toEqual(['MOA5102']);
      const absent = KernelCache.open(join(disk.folder, 'other'));
      expect(absent.store(key, parts)).toBe(false);
      expect(codes(absent)).toEqual(['MOA5101']);
    } finally {
      disk.unmount();
    }
  });
});

describe('processes', () => {
  const program = `
    import { KernelCache } from './toolchain/kernelCache.js';
    const [folder, rounds] = process.argv.slice(2);
    const cache = KernelCache.open(folder);
    for (let round = 0; round < Number(rounds); round += 1) {
      for (let name = 0; name < 4; name += 1) {
        const key = String(name).repeat(64);
        const found = cache.load(key)?.get('cubin');
        if (found !== undefined && !found.every((byte) => byte === name)) throw new Error('wrong content');
        cache.store(key, new Map([['cubin', new Uint8Array(50_000).fill(name)]]));
        if (round === 0 && name === 0) console.log('started');
      }
    }
    if (cache.warnings.length > 0) throw new Error(cache.warnings[0].message);`;
  const children = compileForChildren('toolchain/kernelCache.ts');
  fs.writeFileSync(join(children, 'writer.js'), program);
  const start = (folder: string, rounds: number) => spawn(process.execPath, [join(children, 'writer.js'), folder, String(rounds)], { stdio: ['ignore', 'pipe', 'inherit'] });

  function checkAll(folder: string): number {
    const names = fs.readdirSync(join(folder, 'v1')).filter((name) => /^\d{64}$/.test(name));
    for (const name of names) {
      const found = decodeEntry(name, fs.readFileSync(join(folder, 'v1', name)))?.get('cubin');
      expect(found?.every((byte) => byte === Number(name[0]))).toBe(true);
    }
    return names.length;
  }

  test('eight at once on the same keys', async () => {
    const folder = newFolder();
    const exits = await Promise.all(Array.from({ length: 8 }, () => once(start(folder, 10), 'exit')));
    expect(exits.map(([code]) => code)).toEqual(Array.from({ length: 8 }, () => 0));
    expect(checkAll(folder)).toBe(4);
    expect(fs.readdirSync(join(folder, 'v1')).length).toBe(4);
  });

  test('killed at any moment: an entry is whole or absent', async () => {
    const folder = newFolder();
    for (let kill = 0; kill < 12; kill += 1) {
      const child = start(folder, 1_000_000);
      await once(child.stdout, 'data');
      await new Promise((resolve) => setTimeout(resolve, (kill * 7) % 23));
      child.kill('SIGKILL');
      await once(child, 'exit');
      checkAll(folder);
    }
  });
});
