import { architectureNumber, architectureOfDryRun } from '../arch/spelling.ts';
import { compilerEnvironment, type Variables } from './compilerEnvironment.ts';
import { runProcess } from './runProcess.ts';

export type ComputeCapability = readonly [number, number];

export interface NativeOptions {
  readonly variables: Variables;
  readonly nvccPath?: string | undefined;
  readonly nvidiaSmi?: string;
}

const timeoutMs = 30_000;

/**
 * The compute capabilities of this machine's GPUs, rising, without doubles: from nvidia-smi, else from what nvcc takes `native` for.
 * Empty when there is no GPU, or nobody to ask.
 */
export async function nativeArchitectures({ variables, nvccPath, nvidiaSmi = 'nvidia-smi' }: NativeOptions): Promise<readonly ComputeCapability[]> {
  const environment = compilerEnvironment(variables);
  const smi = await runProcess(nvidiaSmi, ['--query-gpu=compute_cap', '--format=csv,noheader'], { environment, timeoutMs });
  const fromSmi = smi.status === 0 ? [...smi.stdout.matchAll(/^\s*(\d+)\.(\d)\s*$/gm)] : [];
  if (fromSmi.length > 0) return unique(fromSmi.map(([, major, minor]) => [Number(major), Number(minor)] as const));
  if (nvccPath === undefined) return [];
  const dryRun = await runProcess(nvccPath, ['--dryrun', '-arch=native', '-cubin', 'unused.cu'], { environment, timeoutMs });
  // Without a GPU nvcc warns, takes its oldest architecture and succeeds.
  if (dryRun.status !== 0 || /cannot find valid gpu/i.test(dryRun.stderr)) return [];
  const name = architectureOfDryRun(dryRun.stderr);
  const number = name === undefined ? undefined : parseInt(architectureNumber(name), 10);
  return number === undefined ? [] : [[Math.trunc(number / 10), number % 10]];
}

function unique(capabilities: readonly ComputeCapability[]): readonly ComputeCapability[] {
  const byNumber = new Map(capabilities.map((capability) => [capability[0] * 10 + capability[1], capability]));
  return [...byNumber].sort(([a], [b]) => a - b).map(([, capability]) => capability);
}
