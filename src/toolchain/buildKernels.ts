import { availableParallelism } from 'node:os';
import { type Diagnostic, DiagnosticError } from '../util/diagnostics.ts';
import type { Target } from './architectures.ts';
import { cacheKey, type EntryParts } from './cacheEntry.ts';
import { compileKernel, compilePtx, type CompiledKernel, type KernelSource } from './compileKernel.ts';
import type { Nvcc } from './findNvcc.ts';
import type { KernelCache } from './kernelCache.ts';
import { nvccFlags, nvccIdentity, type BuildSettings } from './nvcc.ts';
import type { PtxasReport } from './ptxasReport.ts';

/** A source to be compiled for one architecture. */
export interface KernelJob {
  readonly source: KernelSource;
  readonly target: Target;
  /** How long it takes beside the others, in any unit; the number of its kernels by default. */
  readonly cost?: number;
}

export interface BuiltKernel extends CompiledKernel {
  readonly job: KernelJob;
  /** The PTX, if the target wants it. */
  readonly ptx: Uint8Array | undefined;
  /** Whether it came from the cache. */
  readonly cached: boolean;
}

export interface BuildOptions extends BuildSettings {
  /** How many compilers run at once; the number of CPUs by default. */
  readonly jobs?: number;
  /** Called when a job is done: how many are, of how many, and which. */
  readonly onProgress?: (done: number, total: number, name: string) => void;
}

/** Changes when the same key would mean another result. */
const entryFormat = 'kernel 1';

/**
 * Compiles all jobs, in parallel, those the cache has not; the costliest first. Results are in the order of the jobs. The first
 * failure stops the others; the DiagnosticError it throws has what is known by then, in the order of the jobs. Rejects with the
 * signal's reason when aborted. The cache's warnings stay with the cache.
 */
export async function buildKernels(nvcc: Nvcc, jobs: readonly KernelJob[], cache: KernelCache, options: BuildOptions): Promise<readonly BuiltKernel[]> {
  const controller = new AbortController();
  const signal = options.signal === undefined ? controller.signal : AbortSignal.any([options.signal, controller.signal]);
  const built: (BuiltKernel | undefined)[] = jobs.map(() => undefined);
  const failures = new Map<number, readonly Diagnostic[]>();
  let thrown: { readonly error: unknown } | undefined;
  let done = 0;

  const run = async (index: number, job: KernelJob): Promise<void> => {
    try {
      built[index] = await buildKernel(nvcc, job, cache, { ...options, signal });
      done += 1;
      options.onProgress?.(done, jobs.length, `${job.source.name} ${job.target.name}`);
    } catch (error) {
      if (error instanceof DiagnosticError) failures.set(index, error.diagnostics);
      else if (!signal.aborted) thrown = { error };
      controller.abort();
    }
  };
  const queue = jobs.map((job, index) => ({ job, index })).sort((a, b) => costOf(b.job) - costOf(a.job) || a.index - b.index);
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined && !signal.aborted; next = queue.shift()) await run(next.index, next.job);
  };
  const workers = Math.max(1, Math.min(options.jobs ?? availableParallelism(), jobs.length));
  await Promise.all(Array.from({ length: workers }, worker));

  options.signal?.throwIfAborted();
  if (thrown !== undefined) throw thrown.error;
  const diagnostics = [...failures].sort(([a], [b]) => a - b).flatMap(([, found]) => found);
  if (diagnostics.length > 0) throw new DiagnosticError(diagnostics, 1);
  return built.filter((kernel) => kernel !== undefined);
}

async function buildKernel(nvcc: Nvcc, job: KernelJob, cache: KernelCache, settings: BuildSettings): Promise<BuiltKernel> {
  const { source, target } = job;
  const key = jobKey(nvcc, job, settings);
  const found = fromEntry(cache.load(key), target.ptx);
  if (found !== undefined) return { ...found, job, cached: true };
  const compiled = await compileKernel(nvcc, source, target.name, settings);
  const ptx = target.ptx ? await compilePtx(nvcc, source, target.name, settings) : undefined;
  const report = Buffer.from(JSON.stringify(compiled.report), 'utf8');
  cache.store(key, new Map([['cubin', compiled.cubin], ['report', report], ...(ptx === undefined ? [] : [['ptx', ptx] as const])]));
  return { ...compiled, job, ptx, cached: false };
}

function jobKey(nvcc: Nvcc, { source, target }: KernelJob, { variables }: BuildSettings): string {
  const flags = (['cubin', ...(target.ptx ? (['ptx'] as const) : [])] as const).map((kind) => nvccFlags({ kind, architecture: target.name }, source.includeFolders));
  const files = [...source.files].sort(([a], [b]) => (a < b ? -1 : 1));
  return cacheKey([
    ['format', entryFormat],
    ['compiler', nvccIdentity(nvcc, variables)],
    ['architecture', target.name],
    ['flags', JSON.stringify(flags)],
    ['path', source.path],
    ['kernels', JSON.stringify(source.kernels)],
    ...files.map(([path, text]) => [`file ${path}`, text] as const),
  ]);
}

function fromEntry(parts: EntryParts | undefined, ptxWanted: boolean): (CompiledKernel & { readonly ptx: Uint8Array | undefined }) | undefined {
  const [cubin, report, ptx] = [parts?.get('cubin'), parts?.get('report'), parts?.get('ptx')];
  if (cubin === undefined || report === undefined || (ptxWanted && ptx === undefined)) return undefined;
  return { cubin, ptx, report: JSON.parse(Buffer.from(report).toString('utf8')) as PtxasReport };
}

const costOf = (job: KernelJob): number => job.cost ?? job.source.kernels.length;
