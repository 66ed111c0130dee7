/** What runs a model: `python -m moa_compile`, in a process of its own. */
import { spawn, type StdioOptions } from 'node:child_process';
import { delimiter } from 'node:path';
import { fileURLToPath } from 'node:url';
import { leaveInterruptsToChild, onInterrupt } from '../emit/cleanupOnSignal.ts';
import { isExecutable, pathCandidates } from '../toolchain/findProgram.ts';
import { runProcess } from '../toolchain/runProcess.ts';
import { DiagnosticError, type Diagnostic } from '../util/diagnostics.ts';

/** The folder of the Python package, beside the compiled sources and beside the sources. */
const packageFolder = fileURLToPath(new URL('../../python/', import.meta.url));

type Variables = Readonly<Record<string, string | undefined>>;

export interface Python {
  readonly path: string;
  /** What it has: `torch 2.11.0, transformers 5.17.0, cuda (NVIDIA H200)`. */
  readonly description: string;
  readonly variables: Readonly<Record<string, string>>;
}

const CHECK_MS = 120_000;

/** What needs a Python, and what of it does not. */
export interface PythonUser {
  readonly name: string;
  readonly otherwise?: string;
}

const search: PythonUser = { name: 'the search', otherwise: 'a search of an existing profile needs no Python' };

/**
 * A Python that has what is needed: `asked`, else that of the active environment, else `python3` and `python` on PATH. Throws MOA7306 with what to install.
 */
export async function findPython(asked: string | undefined, variables: Variables, { name, otherwise }: PythonUser = search): Promise<Python> {
  const inEnvironment = variables['VIRTUAL_ENV'] ?? variables['CONDA_PREFIX'];
  const candidates = asked !== undefined ? [asked] : [...(inEnvironment === undefined ? [] : [`${inEnvironment}/bin/python`]), ...['python3', 'python'].flatMap((program) => pathCandidates(program, variables['PATH']))];
  const own = { ...definedOnly(variables), PYTHONPATH: [packageFolder, ...(variables['PYTHONPATH'] ? [variables['PYTHONPATH']] : [])].join(delimiter) };
  let lacking: string | undefined;
  for (const path of candidates) {
    if (asked === undefined && !isExecutable(path)) continue;
    const { outcome, status, stdout, stderr } = await runProcess(path, ['-m', 'moa_compile', 'check'], { environment: own, timeoutMs: CHECK_MS });
    if (outcome === 'exited' && status === 0) return { path, description: describe(stdout), variables: own };
    lacking ??= `${path}: ${outcome === 'exited' && status === 3 ? `lacks ${missing(stdout)}` : (stderr.trim().split('\n').at(-1) ?? '').slice(0, 200) || outcome}`;
  }
  const message = lacking === undefined ? 'Python was not found' : `no Python has what ${name} needs; ${lacking}`;
  const help = `python3 -m pip install torch transformers safetensors tqdm, or name another with --python${otherwise === undefined ? '' : `; ${otherwise}`}`;
  throw new DiagnosticError([{ code: 'MOA7306', severity: 'error', message, help }], 2);
}

const definedOnly = (variables: Variables): Record<string, string> => Object.fromEntries(Object.entries(variables).filter((entry): entry is [string, string] => entry[1] !== undefined));

function facts(stdout: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(stdout) as Record<string, unknown>;
  } catch {
    return {};
  }
}

const missing = (stdout: string): string => {
  const names = facts(stdout)['missing'];
  return Array.isArray(names) ? names.join(', ') : 'packages';
};

function describe(stdout: string): string {
  const { torch, transformers, device } = facts(stdout);
  return `torch ${String(torch)}, transformers ${String(transformers)}, ${String(device)}`;
}

/** Options of a command of the package, by their names in camel case. */
export interface PythonOptions {
  readonly [name: string]: string | number | boolean | readonly (string | number)[] | undefined;
}

/**
 * `{ newTokens: 64, static: true }` as `--new-tokens=64 --static`; a list is joined by commas, and what is left out has its default in Python. Each is one word, so that a
 * value may begin with a dash.
 */
export function pythonArguments(options: PythonOptions): string[] {
  return Object.entries(options).flatMap(([name, value]) => {
    const flag = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    if (value === undefined || value === false) return [];
    return value === true ? [flag] : [`${flag}=${Array.isArray(value) ? value.join(',') : String(value)}`];
  });
}

export interface RunPythonOptions {
  /** What takes less memory. */
  readonly lessMemory?: string;
  /** Whether its standard output is the result; otherwise it goes to our standard error. */
  readonly hasOutput?: boolean;
}

/**
 * Runs a command of the package. What it says goes to our standard error as it is: progress on a terminal, and errors with codes of their own. Throws
 * MOA7307 when it ends without a result; its exit code 2 stays 2. Gives its standard output, if that is the result.
 */
export async function runPython(python: Python, args: readonly string[], { lessMemory = '--query-block 64', hasOutput = false }: RunPythonOptions = {}): Promise<string> {
  const { status, signal, printed } = await ended(python, args, ['ignore', hasOutput ? 'pipe' : 2, 2]);
  if (status === 0) return printed;
  const ending = signal === null ? `exit code ${status}` : signal;
  const message = `python -m moa_compile ${args[0]} ended with ${ending}`;
  const help = 'what it said stands above; the same command goes on where it stopped';
  const cause = causeOf(signal, lessMemory);
  const note: readonly Diagnostic[] = cause === undefined ? [] : [{ code: 'MOA7307', severity: 'note', message: cause }];
  throw new DiagnosticError([{ code: 'MOA7307', severity: 'error', message, help }, ...note], status === 2 ? 2 : 1);
}

/**
 * Runs a command that has our standard input and output, such as a conversation. Ctrl-C is its own. Returns its exit code; a signal that ended it is an error
 * (MOA7307).
 */
export async function handOverToPython(python: Python, args: readonly string[]): Promise<number> {
  const takeInterruptsBack = leaveInterruptsToChild();
  try {
    const { status, signal } = await ended(python, args, 'inherit');
    if (status !== null) return status;
    const cause = causeOf(signal, 'shorter sequences');
    const message = `python -m moa_compile ${args[0]} ended with ${signal}${cause === undefined ? '' : `: ${cause}`}`;
    throw new DiagnosticError([{ code: 'MOA7307', severity: 'error', message }], 1);
  } finally {
    takeInterruptsBack();
  }
}

/** Runs a command to its end. `printed`: its standard output, if that is a pipe. */
function ended({ path, variables }: Python, args: readonly string[], stdio: StdioOptions): Promise<{ readonly status: number | null; readonly signal: string | null; readonly printed: string }> {
  return new Promise((resolve, reject) => {
    let printed = '';
    const child = spawn(path, ['-m', 'moa_compile', ...args], { env: variables, stdio });
    // It saves what it has when it is told to end.
    const stopListening = onInterrupt(() => void child.kill('SIGTERM'));
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (printed += text));
    child.once('error', reject);
    child.once('close', (status, signal) => {
      stopListening();
      resolve({ status, signal, printed });
    });
  });
}

/** A process that a signal ended says nothing itself. */
function causeOf(signal: string | null, lessMemory: string): string | undefined {
  if (signal === 'SIGKILL') return `the system ended it, most likely because memory ran out: try ${lessMemory}, shorter --lengths or --dtype bfloat16`;
  if (signal === null || signal === 'SIGTERM' || signal === 'SIGINT') return undefined;
  return 'torch or a library below it crashed: see whether they fit each other and the driver, or try --device cpu';
}
