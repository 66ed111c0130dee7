import { spawn, type ChildProcess } from 'node:child_process';
import { StringDecoder } from 'node:string_decoder';
import { onInterrupt } from '../emit/cleanupOnSignal.ts';

export interface ProcessOptions {
  readonly folder?: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds. */
  readonly timeoutMs: number;
}

export interface ProcessResult {
  /** `failedToStart`: `stderr` says why. */
  readonly outcome: 'exited' | 'killed' | 'timedOut' | 'failedToStart';
  /** The exit status; -1 unless `outcome` is `exited`. */
  readonly status: number;
  /** The signal that ended it, when `outcome` is `killed`. */
  readonly killedBy: string;
  /** The first MiB of each. */
  readonly stdout: string;
  readonly stderr: string;
}

const outputLimit = 1 << 20;
/** How long a compiler's left-over children may keep its output open after it has ended, in milliseconds. */
const lingerMs = 1000;

/**
 * Runs a program without a shell, in a process group of its own: on a timeout or an abort the whole group is killed, since nvcc's
 * children outlive it otherwise. Never rejects for what the program does; rejects with the signal's reason when aborted.
 */
export function runProcess(command: string, args: readonly string[], options: ProcessOptions): Promise<ProcessResult> {
  const { folder, environment, signal, timeoutMs } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason as Error);
    const child = spawn(command, args, { cwd: folder, env: environment, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    const kill = (): void => killGroup(child);
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      kill();
    }, timeoutMs);
    signal?.addEventListener('abort', kill, { once: true });
    const stopListening = onInterrupt(kill);
    let lingering: NodeJS.Timeout | undefined;

    const settle = (result: Pick<ProcessResult, 'outcome' | 'status' | 'killedBy'>, problem = ''): void => {
      clearTimeout(timer);
      clearTimeout(lingering);
      signal?.removeEventListener('abort', kill);
      stopListening();
      if (signal?.aborted === true) reject(signal.reason as Error);
      else resolve({ ...result, stdout: stdout(), stderr: stderr() + problem });
    };
    child.once('error', (error) => settle({ outcome: 'failedToStart', status: -1, killedBy: '' }, error.message));
    child.once('exit', () => {
      lingering = setTimeout(kill, lingerMs);
    });
    child.once('close', (status, killedBy) => {
      if (timedOut) settle({ outcome: 'timedOut', status: -1, killedBy: '' });
      else if (status === null) settle({ outcome: 'killed', status: -1, killedBy: killedBy ?? '' });
      else settle({ outcome: 'exited', status, killedBy: '' });
    });
  });
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group has ended already.
  }
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const decoder = new StringDecoder('utf8');
  let text = '';
  stream.on('data', (chunk: Buffer) => {
    if (text.length < outputLimit) text += decoder.write(chunk);
  });
  return () => text.slice(0, outputLimit);
}
