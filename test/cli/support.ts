import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { scratchFolder } from '../toolchain/helpers.ts';
import { installed, repositoryPath } from './installed.ts';

export { scratchFolder, snapshot } from '../toolchain/helpers.ts';

export const tinyPlan = repositoryPath('examples/tiny/plan.json');
/** No compiler is asked for: sources only. */
export const sourcesOnly = ['--emit=ir,cuda,ts', '--arch', 'sm_80'] as const;

export interface RunOptions {
  readonly variables?: Readonly<Record<string, string>>;
  readonly folder?: string;
  readonly input?: string;
}

export interface RunResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Nothing of the tester's own configuration: no CUDA_HOME, no cache, no debug output. */
const cleanEnvironment = (variables: Readonly<Record<string, string>> = {}): Record<string, string> => {
  const home = scratchFolder();
  return { PATH: process.env['PATH'] ?? '', HOME: home, XDG_CACHE_HOME: join(home, 'cache'), ...variables };
};

const program = (): string => join(installed(), 'bin', 'moa-compile.js');

/** `moa-compile args...`, to its end. */
export function run(args: readonly string[], { variables, folder, input = '' }: RunOptions = {}): RunResult {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program(), ...args], { env: cleanEnvironment(variables), cwd: folder, input, encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** Several command lines, one after the other in one process, which is much faster. */
export function runMany(commands: readonly (readonly string[])[], { variables, folder }: RunOptions = {}): readonly RunResult[] {
  const script = fileURLToPath(new URL('fakes/runMany.mjs', import.meta.url));
  const { stdout, stderr } = spawnSync(process.execPath, [script, installed(), JSON.stringify(commands)], { env: cleanEnvironment(variables), cwd: folder, input: '', encoding: 'utf8' });
  const [out, error] = [stdout, stderr].map((text) => text.split('\0'));
  return commands.map((_, index) => ({ status: Number(out![2 * index + 1]), stdout: out![2 * index]!, stderr: error![2 * index]! }));
}

/** `moa-compile args...`, still running. */
export function start(args: readonly string[], variables: Readonly<Record<string, string>>): ChildProcess {
  return spawn(process.execPath, [program(), ...args], { env: cleanEnvironment(variables), stdio: ['ignore', 'ignore', 'pipe'] });
}

/** A toolkit whose nvcc makes a small ELF file of an emitted unit, or what `FAKE_FAULT` says; `--nvcc` takes its root. */
export function fakeToolkit(): string {
  const folder = scratchFolder();
  mkdirSync(join(folder, 'bin'));
  for (const [name, module] of [['nvcc', 'fakes/nvcc.mjs'], ['fatbinary', '../toolchain/fakes/fakeFatbinary.mjs']] as const) {
    const script = fileURLToPath(new URL(module, import.meta.url));
    writeFileSync(join(folder, 'bin', name), `#!/bin/sh\nexec '${process.execPath}' '${script}' "$@"\n`, { mode: 0o755 });
  }
  return folder;
}

/** Writes a file into a new folder; returns its path. */
export function scratchFile(name: string, content: string): string {
  const path = join(scratchFolder(), name);
  writeFileSync(path, content);
  return path;
}
