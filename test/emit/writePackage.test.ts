import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { comparePackage } from '../../src/emit/comparePackage.ts';
import { isPackagePath, packageFiles, sealPackage, type PackageFiles } from '../../src/emit/package.ts';
import type { PackageFileSystem } from '../../src/emit/packageFileSystem.ts';
import { readManifest, verifyPackage } from '../../src/emit/verifyPackage.ts';
import { writePackage } from '../../src/emit/writePackage.ts';
import { codesOf, compileForChildren, diagnosticsOf, scratchFolder, smallFileSystem, snapshot } from '../toolchain/helpers.ts';

const make = (text: string, ...more: [string, Uint8Array | string][]): PackageFiles =>
  sealPackage(packageFiles([['index.js', `// ${text}\n`], ['kernels/a.cu', text], ['cubin/sm_80.cubin', Buffer.from(`machine ${text}`)], ...more]), { plan: text });
const [before, after] = [make('before'), make('after', ['include/moa/deep/x.cuh', 'x'])];
const contentOf = ({ files }: PackageFiles): Record<string, string> =>
  Object.fromEntries([...files].map(([path, content]) => [path, Buffer.from(content as string).toString('latin1')]).sort(([a = ''], [b = '']) => (a < b ? -1 : 1)));
const neighbours = (target: string): string[] => fs.readdirSync(dirname(target)).filter((name) => name !== basename(target));

let target: string;
beforeEach(() => {
  target = join(scratchFolder(), 'model');
});

/** The disk, but the calls for which `fails(number)` holds throw `code`. */
function failingFileSystem(fails: (call: number, name: string, args: readonly unknown[]) => boolean, code = 'EIO'): { readonly fs: PackageFileSystem; readonly calls: () => number } {
  let calls = 0;
  const proxy = new Proxy(fs, {
    get(real, name: keyof PackageFileSystem) {
      const method = real[name] as (...args: unknown[]) => unknown;
      return (...args: unknown[]): unknown => {
        calls += 1;
        if (fails(calls, name, args)) throw Object.assign(new Error(`${code}: injected`), { code });
        // Waiting for the disk would be most of the time of these tests.
        return name === 'fsyncSync' ? undefined : method(...args);
      };
    },
  });
  return { fs: proxy, calls: () => calls };
}

describe('the value', () => {
  test.each(['a', 'a/b.cu', 'include/moa/x_y-z.cuh', '.hidden', 'a..b', `${'x'.repeat(64)}/${'y'.repeat(63)}`])('%s is a path', (path) => {
    expect(isPackagePath(path)).toBe(true);
  });

  test.each(['', '/', '/a', 'a/', 'a//b', '.', '..', '../a', 'a/../b', 'a/./b', 'a\\b', 'a b', 'ä', 'a\0', 'a\n', 'C:', `${'x'.repeat(64)}/${'y'.repeat(64)}`])('%j is none', (path) => {
    expect(isPackagePath(path)).toBe(false);
    expect(() => packageFiles([[path, '']])).toThrow(/internal error/);
  });

  test('doubles, and files that are folders too, are internal errors', () => {
    expect(() => packageFiles([['a', ''], ['a', '']])).toThrow(/twice/);
    expect(() => packageFiles([['a', ''], ['a/b', '']])).toThrow(/both a file and a folder/);
    expect(() => sealPackage(before)).toThrow(/sealed already/);
  });

  test('the manifest does not depend on the order of the files', () => {
    const entries: [string, string][] = [['b', '2'], ['a/c', '1'], ['a.c', '3']];
    const [first, second] = [entries, [...entries].reverse()].map((list) => sealPackage(packageFiles(list)));
    expect([...(first?.files ?? [])]).toEqual([...(second?.files ?? [])]);
    expect(JSON.parse(first?.files.get('manifest.json') as string)).toMatchObject({ format: 'moa-compile-package/1', files: { 'a/c': { bytes: 1 } } });
  });
});

describe('writing', () => {
  test('a new package, below folders that are absent', async () => {
    const deep = join(target, 'x', 'y');
    expect(await writePackage(before, deep)).toEqual({ changed: true, warnings: [] });
    expect(snapshot(deep)).toEqual(contentOf(before));
    expect(verifyPackage(deep)).toEqual([]);
    expect(neighbours(deep)).toEqual([]);
  });

  test('another package takes its place, whole', async () => {
    await writePackage(after, target);
    expect(await writePackage(before, target)).toEqual({ changed: true, warnings: [] });
    expect(snapshot(target)).toEqual(contentOf(before));
    expect(neighbours(target)).toEqual([]);
  });

  test('the same package is left untouched', async () => {
    await writePackage(before, target);
    const status = fs.statSync(target);
    expect(await writePackage(before, target)).toEqual({ changed: false, warnings: [] });
    expect(fs.statSync(target)).toMatchObject({ ino: status.ino, mtimeMs: status.mtimeMs });
  });

  test('an empty folder is replaced, and a link is followed', async () => {
    const real = join(scratchFolder(), 'real');
    fs.mkdirSync(real);
    fs.symlinkSync(real, target);
    await writePackage(before, target);
    expect(fs.lstatSync(target).isSymbolicLink()).toBe(true);
    expect(snapshot(real)).toEqual(contentOf(before));
  });

  test.each([
    ['a folder with other things', 'MOA5002', () => (fs.mkdirSync(target), fs.writeFileSync(join(target, 'thesis.tex'), ''))],
    ['a manifest of something else', 'MOA5002', () => (fs.mkdirSync(target), fs.writeFileSync(join(target, 'manifest.json'), '{"format":"web"}'))],
    ['a manifest that is no JSON', 'MOA5002', () => (fs.mkdirSync(target), fs.writeFileSync(join(target, 'manifest.json'), '{'))],
    ['a file in our package that is not ours', 'MOA5003', async () => (await writePackage(after, target), fs.writeFileSync(join(target, 'kernels', 'notes.txt'), ''))],
  ])('%s is not replaced, except with --force', async (_, code, prepare) => {
    await prepare();
    const found = snapshot(target);
    const error = await diagnosticsOf(() => writePackage(before, target));
    expect(codesOf(error)).toEqual([code]);
    expect(error.diagnostics[0]?.help).toContain('--force');
    expect(snapshot(target)).toEqual(found);
    await writePackage(before, target, { force: true });
    expect(snapshot(target)).toEqual(contentOf(before));
    expect(neighbours(target)).toEqual([]);
  });

  test('what Python and macOS leave behind is no reason to refuse', async () => {
    await writePackage(before, target);
    fs.mkdirSync(join(target, '__pycache__'));
    fs.writeFileSync(join(target, '__pycache__', 'x.pyc'), '');
    fs.writeFileSync(join(target, '.DS_Store'), '');
    await writePackage(after, target);
    expect(snapshot(target)).toEqual(contentOf(after));
  });

  test('repositories, the current folder and the root are never replaced', async () => {
    fs.mkdirSync(join(target, '.git'), { recursive: true });
    expect(codesOf(await diagnosticsOf(() => writePackage(before, target, { force: true })))).toEqual(['MOA5002']);
    for (const path of ['.', '..', '/', process.cwd()]) expect(codesOf(await diagnosticsOf(() => writePackage(before, path, { force: true })))).toEqual(['MOA5007']);
  });

  test('a file at the target, or above it', async () => {
    fs.writeFileSync(target, 'precious');
    for (const path of [target, join(target, 'below'), join(target, 'far', 'below')]) {
      expect(codesOf(await diagnosticsOf(() => writePackage(before, path, { force: true })))).toEqual(['MOA5004']);
    }
    expect(fs.readFileSync(target, 'utf8')).toBe('precious');
  });

  test.each([
    ['EACCES', 'MOA5005'],
    ['EROFS', 'MOA5005'],
    ['ENOSPC', 'MOA5006'],
    ['EDQUOT', 'MOA5006'],
    ['EBUSY', 'MOA5007'],
    ['EIO', 'MOA5001'],
  ])('%s says what to do', async (code, expected) => {
    const error = await diagnosticsOf(() => writePackage(before, target, { fs: failingFileSystem((_, name) => name === 'mkdirSync', code).fs }));
    expect(codesOf(error)).toEqual([expected]);
    expect(error.diagnostics[0]?.help).toBeDefined();
  });

  test('many at once: one of them wins, whole', async () => {
    const packages = Array.from({ length: 6 }, (_, index) => make(`number ${index}`));
    await Promise.all(packages.map((files) => writePackage(files, target)));
    expect(packages.some((files) => comparePackage(files, target).length === 0)).toBe(true);
    expect(neighbours(target)).toEqual([]);
  });

  test('a file system that cannot rename folders (overlayfs) gets a copy', async () => {
    await writePackage(before, target);
    const overlay = (): PackageFileSystem => failingFileSystem((_, name, [from]) => name === 'renameSync' && from === target, 'EXDEV').fs;
    await writePackage(after, target, { fs: overlay() });
    expect(snapshot(target)).toEqual(contentOf(after));
    expect(neighbours(target)).toEqual([]);
  });
});

describe('every call of the file system fails in turn', () => {
  const healthy = failingFileSystem(() => false).fs;
  const isOneOf = (folder: string): boolean => [before, after].some((files) => comparePackage(files, folder).length === 0);

  test.each(['once', 'and all that follow'])('%s', async (mode) => {
    const count = await callsOfOneRun();
    expect(count).toBeGreaterThan(40);
    for (let nth = 1; nth <= count; nth += 1) {
      const path = join(scratchFolder(), 'model');
      await writePackage(before, path, { fs: healthy });
      const failing = failingFileSystem((call) => (mode === 'once' ? call === nth : call >= nth));
      const result = await writePackage(after, path, { fs: failing.fs }).catch((error: unknown) => error);
      // A disk that fails for good between the two renames leaves the target to the next run; nothing else does.
      if (mode === 'once') expect(isOneOf(path), `call ${nth}`).toBe(true);
      if (mode === 'once' && result instanceof Error) expect(comparePackage(before, path), `call ${nth}`).toEqual([]);
      await writePackage(after, path, { fs: healthy });
      expect(comparePackage(after, path), `call ${nth}`).toEqual([]);
      expect(neighbours(path), `call ${nth}`).toEqual([]);
    }
  });

  test('for good between the two renames: the next run restores the package, whatever it writes', async () => {
    await writePackage(before, target);
    let renames = 0;
    const failing = failingFileSystem((_, name) => name === 'renameSync' && (renames += 1) > 1);
    const error = await diagnosticsOf(() => writePackage(after, target, { fs: failing.fs }));
    expect(error.message).toMatch(/it is .*\.model\.old-/);
    expect(fs.existsSync(target)).toBe(false);
    const { changed, warnings } = await writePackage(before, target);
    expect({ changed, codes: warnings.map(({ code }) => code) }).toEqual({ changed: false, codes: ['MOA5009'] });
  });

  async function callsOfOneRun(): Promise<number> {
    await writePackage(before, target);
    const counting = failingFileSystem(() => false);
    await writePackage(after, target, { fs: counting.fs });
    return counting.calls();
  }
});

describe('what a killed run left', () => {
  const dead = `${basename(claimHost())}-999999999-0123456789ab`;

  /** This host's mark in the names of leftovers, as another run of this process shows it. */
  function claimHost(): string {
    const folder = join(scratchFolder(), 'probe');
    const names: string[] = [];
    const spying = failingFileSystem((_, name, [path]) => (name === 'mkdirSync' && names.push(String(path)), false));
    void writePackage(before, folder, { fs: spying.fs });
    return /tmp-([0-9a-f]{8})-/.exec(names.join(' '))?.[1] ?? '';
  }

  test('an unfinished package is removed; one of a living run, or of another host, stays', async () => {
    const parent = dirname(target);
    const living = `.model.tmp-${dead.slice(0, 8)}-${process.ppid}-0123456789ab`;
    const foreign = '.model.tmp-00000000-999999999-0123456789ab';
    for (const name of [`.model.tmp-${dead}`, `.model.old-${dead}`, living, foreign, '.model.tmp-notes', `.other.tmp-${dead}`]) fs.mkdirSync(join(parent, name));
    await writePackage(before, target);
    expect(neighbours(target).sort()).toEqual([foreign, living, '.model.tmp-notes', `.other.tmp-${dead}`].sort());
  });

  test('a number that another process has now is dead; what another user left stays', async () => {
    const parent = dirname(target);
    const host = dead.slice(0, 8);
    const reused = `.model.tmp-${host}-${process.ppid}-5-0123456789ab`;
    const ofAnother = `.other.tmp-${host}-999999999-5-0123456789ab`;
    const foreign = `.model.tmp-${host}-999999999-5-0123456789ac`;
    for (const name of [reused, ofAnother, foreign]) fs.mkdirSync(join(parent, name));
    const isRoot = process.getuid?.() === 0;
    if (isRoot) fs.chownSync(join(parent, foreign), 65534, 65534);
    await writePackage(before, target);
    expect(neighbours(target)).toEqual(isRoot ? [foreign] : []);
  });

  test('a package that was moved away comes back, also when the target is half removed', async () => {
    for (const remains of [[], ['index.js', 'manifest.json']]) {
      fs.rmSync(target, { recursive: true, force: true });
      await writePackage(before, target);
      const old = join(dirname(target), `.model.old-${dead}`);
      fs.cpSync(target, old, { recursive: true });
      fs.rmSync(target, { recursive: true });
      for (const name of remains) {
        fs.mkdirSync(target, { recursive: true });
        fs.copyFileSync(join(old, name), join(target, name));
      }
      const { changed, warnings } = await writePackage(before, target);
      expect({ changed, codes: warnings.map(({ code }) => code) }).toEqual({ changed: false, codes: ['MOA5009'] });
      expect(neighbours(target)).toEqual([]);
    }
  });
});

describe('processes', () => {
  const program = `
    import { packageFiles, sealPackage } from './emit/package.js';
    import { cleanupOnSignal, writePackage } from './emit/writePackage.js';
    cleanupOnSignal();
    const target = process.argv[2];
    const make = (text) => sealPackage(packageFiles(Array.from({ length: 12 }, (_, i) => ['kernels/k' + i + '.cu', text.repeat(2000)])));
    const both = [make('a'), make('b')];
    await writePackage(both[0], target);
    console.log('started');
    for (let round = 1; ; round += 1) await writePackage(both[round % 2], target);`;
  const children = compileForChildren('emit/writePackage.ts');
  fs.writeFileSync(join(children, 'writer.js'), program);

  async function interrupt(signal: NodeJS.Signals, afterMs: number): Promise<NodeJS.Signals> {
    const child = spawn(process.execPath, [join(children, 'writer.js'), target], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    child.kill(signal);
    const [, killedBy] = (await once(child, 'exit')) as [number, NodeJS.Signals];
    return killedBy;
  }

  test('SIGINT and SIGTERM leave a whole package and nothing else', async () => {
    for (let round = 0; round < 6; round += 1) {
      const signal = round % 2 === 0 ? 'SIGINT' : 'SIGTERM';
      expect(await interrupt(signal, (round * 5) % 17)).toBe(signal);
      expect(verifyPackage(target)).toEqual([]);
      expect(neighbours(target)).toEqual([]);
    }
  });

  test('after SIGKILL at any moment the next run finds a whole package', async () => {
    for (let round = 0; round < 8; round += 1) {
      await interrupt('SIGKILL', (round * 5) % 23);
      if (fs.existsSync(target)) expect(verifyPackage(target)).toEqual([]);
    }
    await writePackage(before, target);
    expect(snapshot(target)).toEqual(contentOf(before));
    expect(neighbours(target)).toEqual([]);
  });
});

test('disks of every size: the package from before survives', async (context) => {
  const disk = smallFileSystem(128);
  if (disk === undefined) return context.skip('mounting is not permitted');
  try {
    const path = join(disk.folder, 'model');
    const large = make('large', ['cubin/large.cubin', new Uint8Array(30_000)]);
    for (let filled = 0; filled < 128; filled += 8) {
      fs.rmSync(join(disk.folder, 'filler'), { force: true });
      await writePackage(before, path);
      try {
        fs.writeFileSync(join(disk.folder, 'filler'), new Uint8Array(filled * 1024));
      } catch {
        // Full.
      }
      const error = await writePackage(large, path).then(() => undefined, (thrown: unknown) => thrown);
      if (error !== undefined) expect(String(error)).toContain('MOA5006');
      expect(comparePackage(error === undefined ? large : before, path)).toEqual([]);
      expect(neighbours(path).filter((name) => name !== 'filler')).toEqual([]);
    }
  } finally {
    disk.unmount();
  }
});

describe('checking', () => {
  test('comparePackage', async () => {
    expect(comparePackage(before, target).every(({ kind }) => kind === 'missing')).toBe(true);
    await writePackage(before, target);
    expect(comparePackage(before, target)).toEqual([]);
    fs.writeFileSync(join(target, 'new.txt'), '');
    fs.rmSync(join(target, 'index.js'));
    fs.writeFileSync(join(target, 'kernels', 'a.cu'), 'edited');
    expect(comparePackage(before, target)).toEqual([
      { path: 'index.js', kind: 'missing' },
      { path: 'kernels/a.cu', kind: 'changed' },
      { path: 'new.txt', kind: 'extra' },
    ]);
  });

  test('comparePackage without machine code', async () => {
    await writePackage(before, target);
    const sources = sealPackage(packageFiles([...before.files].filter(([path]) => !/cubin|manifest/.test(path))), { plan: 'before' });
    expect(comparePackage(sources, target).map(({ path }) => path)).toEqual(['cubin/sm_80.cubin', 'manifest.json']);
    expect(comparePackage(sources, target, { ignoreMachineCode: true })).toEqual([]);
    const other = sealPackage(packageFiles([...sources.files].filter(([path]) => path !== 'manifest.json')), { plan: 'other' });
    expect(comparePackage(other, target, { ignoreMachineCode: true })).toEqual([{ path: 'manifest.json', kind: 'changed' }]);
  });

  test('verifyPackage', async () => {
    expect(verifyPackage(target).map(({ code }) => code)).toEqual(['MOA5010']);
    await writePackage(before, target);
    expect(readManifest(target)).toMatchObject({ plan: 'before' });
    fs.writeFileSync(join(target, 'cubin', 'sm_80.cubin'), 'machine Before'.slice(0, 14));
    fs.rmSync(join(target, 'index.js'));
    fs.writeFileSync(join(target, 'extra'), '');
    expect(verifyPackage(target).map(({ code, severity, message }) => `${code} ${severity} ${message.replaceAll(target, 'X')}`)).toEqual([
      'MOA5011 error cubin/sm_80.cubin of the package X has been changed',
      'MOA5011 error index.js of the package X is missing',
      'MOA5011 warning extra in the package X was not written by moa-compile',
    ]);
  });

  test.each(['null', '[]', '{}', '{"format":"moa-compile-package/1"}', '{"format":"moa-compile-package/1","files":{"../x":{"bytes":1,"sha256":""}}}', '{"format":"moa-compile-package/1","files":{"x":{"bytes":1,"sha256":"zz"}}}'])(
    'a manifest %s is refused',
    (text) => {
      fs.mkdirSync(target);
      fs.writeFileSync(join(target, 'manifest.json'), text);
      expect(() => readManifest(target)).toThrow(/MOA5010/);
    },
  );
});
