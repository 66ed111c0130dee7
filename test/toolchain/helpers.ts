import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { KernelSource } from '../../src/toolchain/compileKernel.ts';
import { DiagnosticError } from '../../src/util/diagnostics.ts';
import { scratchRoot } from '../scratchRoot.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
/** A new empty folder, removed after the run: test files share a process, and with it the folders of what they import. */
export function scratchFolder(): string {
  return mkdtempSync(join(scratchRoot(), 'folder-'));
}

/** A toolkit in a new folder, with a fake nvcc and fatbinary; returns its root. */
export function fakeToolkit({ fatbinary = true } = {}): string {
  const folder = scratchFolder();
  mkdirSync(join(folder, 'bin'));
  installFake('fakeNvcc.mjs', join(folder, 'bin', 'nvcc'));
  if (fatbinary) installFake('fakeFatbinary.mjs', join(folder, 'bin', 'fatbinary'));
  return folder;
}

/** Node takes a file without an extension for CommonJS, so the program is a script that starts the module. */
function installFake(name: string, path: string): void {
  const script = fileURLToPath(new URL(`fakes/${name}`, import.meta.url));
  writeFileSync(path, `#!/bin/sh\nexec '${process.execPath}' '${script}' "$@"\n`, { mode: 0o755 });
}

/** A source with one kernel, called as the source. `comments` tell the fake nvcc what to do. */
export function kernelSource(name: string, ...comments: readonly string[]): KernelSource {
  const text = `${comments.map((comment) => `// ${comment}\n`).join('')}#include <half.cuh>\nextern "C" __global__ void ${name}(float* x) { x[threadIdx.x] *= half(); }\n`;
  const files = new Map([['kernels/source.cu', text], ['include/half.cuh', '__device__ inline float half() { return 0.5f; }\n']]);
  return { name, path: 'kernels/source.cu', files, includeFolders: ['include'], kernels: [name] };
}

export async function diagnosticsOf(work: () => unknown): Promise<DiagnosticError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof DiagnosticError) return error;
    throw error;
  }
  throw new Error('no diagnostic was thrown');
}

export const codesOf = (error: DiagnosticError): string[] => error.diagnostics.map(({ code }) => code);

/** The lines of a fake's log. */
export function readLog(path: string): Record<string, unknown>[] {
  return readFileSync(path, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Compiles source files (relative to `src`) to JavaScript for processes that a test will kill; returns the output folder. */
export function compileForChildren(...files: readonly string[]): string {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  const options = ['--target', 'es2023', '--module', 'nodenext', '--rewriteRelativeImportExtensions', '--noCheck', '--types', 'node', '--ignoreConfig'];
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...options, '--rootDir', join(root, 'src'), '--outDir', folder, ...files.map((file) => join(root, 'src', file))], { cwd: root });
  return folder;
}

/** Makes a file system of `kibibytes` at a new folder; undefined where that is not permitted. */
export function smallFileSystem(kibibytes: number): { readonly folder: string; readonly unmount: () => void } | undefined {
  const folder = scratchFolder();
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${kibibytes}k`, 'tmpfs', folder]).status === 0;
  return mounted ? { folder, unmount: () => void spawnSync('umount', [folder]) } : undefined;
}

/** All paths below a folder with the content of its files, to compare two states. */
export function snapshot(folder: string): Record<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(entries.map((entry) => join(entry.parentPath, entry.name)).sort().map((path) => [path.slice(folder.length + 1), readFileSync(path, 'latin1')]));
}
