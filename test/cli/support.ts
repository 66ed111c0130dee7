import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { scratchFolder } from '../toolchain/helpers.ts';
import { installed, repositoryPath } from './installed.ts';

export { scratchFolder, snapshot } from '../toolchain/helpers.ts';

/** Two layers; in one of them the query heads of a KV head have different rules. */
export const tinyPlan = repositoryPath('test/fixtures/plans/tiny.json');
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

/** Nothing of the tester's own configuration: no CUDA_HOME, no cache, no debug output. Temporary files of one that is killed are removed with the rest. */
const cleanEnvironment = (variables: Readonly<Record<string, string>> = {}): Record<string, string> => {
  const home = scratchFolder();
  return { PATH: process.env['PATH'] ?? '', HOME: home, TMPDIR: home, XDG_CACHE_HOME: join(home, 'cache'), ...variables };
};

const program = (): string => join(installed(), 'bin', 'moa-compile.js');

/** `moa-compile args...`, to its end. */
export function run(args: readonly string[], { variables, folder, input = '' }: RunOptions = {}): RunResult {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program(), ...args], { env: cleanEnvironment(variables), cwd: folder, input, encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** `moa-compile args...` with its output redirected as a shell has it: `> file`, `| head -1`. The status is that of the program. */
export function runRedirected(args: readonly string[], redirect: string, { variables, folder }: RunOptions = {}): RunResult {
  const command = [process.execPath, program(), ...args].map((word) => `'${word}'`).join(' ');
  const script = `${command} ${redirect}; exit "\${PIPESTATUS[0]}"`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], { env: cleanEnvironment(variables), cwd: folder, encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** A command line, perhaps with variables of its own. */
export type CommandLine = readonly string[] | { readonly args: readonly string[]; readonly variables: Readonly<Record<string, string>> };

/** Several command lines, one after the other in one process, which is much faster. */
export function runMany(commandLines: readonly CommandLine[], { variables, folder }: RunOptions = {}): readonly RunResult[] {
  const commands = commandLines.map((command) => ('args' in command ? command : { args: command, variables: {} }));
  const script = fileURLToPath(new URL('fakes/runMany.mjs', import.meta.url));
  const { stdout, stderr } = spawnSync(process.execPath, [script, installed(), JSON.stringify(commands)], { env: cleanEnvironment(variables), cwd: folder, input: '', encoding: 'utf8' });
  const [out, error] = [stdout, stderr].map((text) => text.split('\0'));
  return commands.map((_, index) => ({ status: Number(out![2 * index + 1]), stdout: out![2 * index]!, stderr: error![2 * index]! }));
}

/** `moa-compile args...`, still running. */
export function start(args: readonly string[], variables: Readonly<Record<string, string>>): ChildProcess {
  return spawn(process.execPath, [program(), ...args], { env: cleanEnvironment(variables), stdio: ['ignore', 'ignore', 'pipe'] });
}

/** `moa-compile args...` on a terminal of 120 columns, still running; what is shown there comes on stdout. `redirect`: as a shell has it, `> file`. */
export function onTerminal(args: readonly string[], redirect: string): ChildProcess {
  const command = `stty cols 120 rows 30; exec ${[process.execPath, program(), ...args].map((word) => `'${word}'`).join(' ')} ${redirect}`;
  return spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], { env: { ...cleanEnvironment(), TERM: 'xterm' }, stdio: ['pipe', 'pipe', 'inherit'] });
}

/** Waits for the end of a process; throws when it does not come. */
export async function gone(pid: number): Promise<void> {
  for (let attempt = 0; attempt < 250; attempt += 1) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await sleep(20);
  }
  throw new Error(`process ${pid} is still there`);
}

/** A toolkit whose nvcc makes a small ELF file of an emitted unit, or what `FAKE_FAULT` says; `--nvcc` takes its root. */
export function fakeToolkit(): string {
  const folder = scratchFolder();
  mkdirSync(join(folder, 'bin'));
  const install = (name: string, module: string, before: string): void => {
    const script = fileURLToPath(new URL(module, import.meta.url));
    writeFileSync(join(folder, 'bin', name), `#!/bin/sh\n${before}exec '${process.execPath}' '${script}' "$@"\n`, { mode: 0o755 });
  };
  // What it is asked before every compile is answered without starting node.
  const answers = { '--version': 'Cuda compilation tools, release 13.0, V13.0.88', '--list-gpu-code': 'sm_80 sm_86 sm_90', '--dryrun': '' };
  install('nvcc', 'fakes/nvcc.mjs', Object.entries(answers).map(([option, answer]) => `[ "$1" = ${option} ] && echo '${answer}' && exit\n`).join(''));
  install('fatbinary', '../toolchain/fakes/fakeFatbinary.mjs', '');
  return folder;
}

/** Writes a file into a new folder; returns its path. */
export function scratchFile(name: string, content: string): string {
  const path = join(scratchFolder(), name);
  writeFileSync(path, content);
  return path;
}
