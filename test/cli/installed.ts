import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const repositoryPath = (path: string): string => join(root, path);

const copied = ['bin', 'templates', 'python/moa_compile', 'package.json'];
const compiled = ['src', 'tsconfig.json'];
let folder: string | undefined;

/**
 * The root of this package as users have it: no sources, `dist` built from them now. Built once for the same content, also by test
 * files that run at the same time; the working tree's own `dist` is left alone.
 */
export function installed(): string {
  folder ??= install();
  return folder;
}

function install(): string {
  const all = join(tmpdir(), `moa-installed-${process.getuid?.() ?? 0}`);
  const target = join(all, hashOf([...copied, ...compiled]));
  if (existsSync(target)) return target;
  mkdirSync(all, { recursive: true, mode: 0o700 });
  const unfinished = `${target}.${process.pid}`;
  for (const path of copied) cpSync(join(root, path), join(unfinished, path), { recursive: true, filter: (source) => !isPythonCache(source) });
  symlinkSync(join(root, 'node_modules'), join(unfinished, 'node_modules'));
  runTypeScript('-p', join(root, 'tsconfig.json'), '--outDir', join(unfinished, 'dist'));
  try {
    renameSync(unfinished, target);
  } catch (error) {
    if (!existsSync(target)) throw error;
    rmSync(unfinished, { recursive: true });
  }
  return target;
}

/** Runs tsc of this repository; throws with what it says when it fails. */
export function runTypeScript(...args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`tsc ${args.join(' ')}\n${stdout}${stderr}`);
}

const isPythonCache = (path: string): boolean => path.includes('__pycache__');

function hashOf(paths: readonly string[]): string {
  const hash = createHash('sha256');
  for (const path of paths) {
    const isFile = path.includes('.');
    const files = isFile ? [path] : readdirSync(join(root, path), { recursive: true, withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [join(entry.parentPath, entry.name)] : [])).filter((file) => !isPythonCache(file)).sort();
    for (const file of files) hash.update(`${file}\0`).update(readFileSync(isFile ? join(root, file) : file)).update('\0');
  }
  return hash.digest('hex').slice(0, 24);
}
