/** From compiled sources to a whole package, still a value: machine code from nvcc or the cache, the runtime, the manifest. */
import type { CompiledPlan } from './compile.ts';
import { cubinPath, fatbinPath, unitPath } from './emit/emitKernels.ts';
import { kernelSourcePath } from './emit/planDefinition.ts';
import { isUsual } from './ir/attention.ts';
import { packageFiles, sealPackage, sha256, type PackageFiles } from './emit/package.ts';
import type { Target } from './toolchain/architectures.ts';
import { buildKernels, type BuildOptions, type BuiltKernel, type KernelJob } from './toolchain/buildKernels.ts';
import type { Nvcc } from './toolchain/findNvcc.ts';
import type { KernelCache } from './toolchain/kernelCache.ts';
import { linkFatbin } from './toolchain/linkFatbin.ts';
import type { PtxasReport } from './toolchain/ptxasReport.ts';
import { invariant } from './util/invariant.ts';
import type { JsonValue } from './util/jsonReader.ts';

/** What a package may hold besides its manifest. */
export type EmitKind = 'ir' | 'cuda' | 'cubin' | 'ts';

export interface Toolchain {
  readonly nvcc: Nvcc;
  readonly cache: KernelCache;
  readonly build: BuildOptions;
}

export interface PackageOptions {
  readonly emit: ReadonlySet<EmitKind>;
  readonly targets: readonly Target[];
  /** For `cubin`; without it no machine code is made. */
  readonly toolchain?: Toolchain;
  /** Have `index.js` name the cubins that are asked for though they are not made, to compare with a package that has them. */
  readonly withoutMachineCode?: boolean;
  /** The plan's text, of which the manifest keeps the hash. */
  readonly planText: Uint8Array | string;
  /** What else the rules come from, for the manifest; nothing by default. */
  readonly planFacts?: Readonly<Record<string, JsonValue>>;
  /** This compiler's version. */
  readonly version: string;
}

/** What ptxas said of a kernel on one architecture. */
export interface KernelUse {
  readonly name: string;
  readonly role: string;
  readonly architecture: string;
  readonly registers: number;
  /** Dynamic and static, of a block. */
  readonly sharedBytes: number;
  readonly threads: number;
}

export interface BuiltPackage {
  readonly files: PackageFiles;
  /** By name, then architecture; empty without machine code. */
  readonly kernels: readonly KernelUse[];
  /** ptxas's report of each architecture. */
  readonly reports: readonly { readonly architecture: string; readonly report: PtxasReport }[];
  /** Translation units, and how many of them came from the cache. */
  readonly units: { readonly total: number; readonly cached: number };
}

/** Builds the package. Throws a DiagnosticError when nvcc fails. Same plan, options and nvcc: same bytes. */
export async function compilePackage(compiled: CompiledPlan, options: PackageOptions): Promise<BuiltPackage> {
  const { emit, targets, toolchain } = options;
  const files = new Map<string, Uint8Array | string>();
  if (emit.has('ir')) files.set('module.ir', compiled.ir);
  if (emit.has('cuda')) compiled.sources.forEach((text, path) => files.set(path, text));

  let built: readonly BuiltKernel[] = [];
  if (emit.has('cubin') && toolchain !== undefined) {
    built = await buildKernels(toolchain.nvcc, kernelJobs(compiled, targets), toolchain.cache, toolchain.build);
    for (const { job, cubin } of built) files.set(cubinPath(job.target.name), cubin);
    if (built.length > 1 || built.some(({ ptx }) => ptx !== undefined)) {
      const images = built.flatMap(({ job, cubin, ptx }) => [
        { architecture: job.target.name, kind: 'cubin' as const, bytes: cubin },
        ...(ptx === undefined ? [] : [{ architecture: job.target.name, kind: 'ptx' as const, bytes: ptx }]),
      ]);
      files.set(fatbinPath, await linkFatbin(toolchain.nvcc, images, toolchain.build));
    }
  }
  const named = emit.has('cubin') && options.withoutMachineCode === true ? targets : built.map(({ job }) => job.target);
  const cubins = Object.fromEntries(named.map(({ name }) => [name, cubinPath(name)]));
  if (emit.has('ts')) compiled.runtime(cubins).files.forEach((text, path) => files.set(path, text));

  const kernels = built.flatMap((unit) => kernelUses(compiled, unit)).sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.architecture < b.architecture ? -1 : 1));
  const { shape, attention, limits } = compiled.module;
  const manifest = {
    compiler: `moa-compile ${options.version}`,
    plan: { sha256: sha256(options.planText), ...options.planFacts, ...shape, ...(isUsual(attention, shape) ? {} : attention), ...limits },
    elementTypes: compiled.elementTypes,
    architectures: targets.map((target) => target.name),
    kernels: compiled.module.kernels.map(({ name, role, architectures, threads, sharedBytes, layers }) => ({ name, role, architectures, threads, sharedBytes, layers: layers.length })),
  };
  const sealed = sealPackage(packageFiles(files), manifest);
  const reports = built.map(({ job, report }) => ({ architecture: job.target.name, report }));
  return { files: sealed, kernels, reports, units: { total: built.length, cached: built.filter((unit) => unit.cached).length } };
}

/** One translation unit for each architecture. */
function kernelJobs(compiled: CompiledPlan, targets: readonly Target[]): KernelJob[] {
  const { sources, module } = compiled;
  return targets.map((target) => {
    const kernels = module.kernels.filter((kernel) => kernel.architectures.includes(target.name)).map((kernel) => kernel.name);
    const path = unitPath(target.name);
    const own = new Set([path, ...kernels.map(kernelSourcePath)]);
    const files = new Map([...sources].filter(([file]) => own.has(file) || file.startsWith('include/')));
    invariant(files.size > kernels.length, 'the unit, its kernels and headers are among the sources');
    return { target, source: { name: 'kernels', path, files, includeFolders: ['include'], kernels } };
  });
}

function kernelUses(compiled: CompiledPlan, { job, report }: BuiltKernel): KernelUse[] {
  return compiled.module.kernels
    .filter((kernel) => kernel.architectures.includes(job.target.name))
    .map((kernel) => {
      const used = report.functions.find((entry) => entry.name === kernel.name);
      invariant(used?.registers !== undefined, `ptxas reported on ${kernel.name}`);
      return {
        name: kernel.name,
        role: kernel.role,
        architecture: job.target.name,
        registers: used.registers,
        sharedBytes: kernel.sharedBytes + used.sharedBytes,
        threads: kernel.threads,
      };
    });
}
