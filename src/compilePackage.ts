/** From compiled sources to a whole package, still a value: machine code from nvcc or the cache, the runtime, the manifest. */
import type { CompiledPlan } from './compile.ts';
import { cubinPath, fatbinPath, unitPath } from './emit/emitKernels.ts';
import { kernelSourcePath } from './emit/planDefinition.ts';
import { printJson } from './emit/printJson.ts';
import { isUsual } from './ir/attention.ts';
import { definitionPath, packageFiles, sealPackage, sha256, type PackageFiles } from './emit/package.ts';
import { rankFolder, tensorParallelFile, tensorParallelPath } from './emit/tensorParallelFile.ts';
import type { ModelShape } from './ir/nodes.ts';
import { plannerEntries } from './kernels/planners.ts';
import type { RankAssignment } from './passes/assignRanks.ts';
import type { Target } from './toolchain/architectures.ts';
import { buildKernels, type BuildOptions, type BuiltKernel, type KernelJob } from './toolchain/buildKernels.ts';
import type { Nvcc } from './toolchain/findNvcc.ts';
import type { KernelCache } from './toolchain/kernelCache.ts';
import { linkFatbin } from './toolchain/linkFatbin.ts';
import type { PtxasReport } from './toolchain/ptxasReport.ts';
import { describeValue } from './util/describeValue.ts';
import { DiagnosticError } from './util/diagnostics.ts';
import { invariant } from './util/invariant.ts';
import type { JsonValue } from './util/jsonReader.ts';
import { isOptions, unknownKeys } from './util/unknownKeys.ts';

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
  /** Have the definition name the cubins that are asked for though they are not made, to compare with a package that has them. */
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
  /** By name, then architecture, each once; empty without machine code. */
  readonly kernels: readonly KernelUse[];
  /** Compute capabilities that the package has code for and room in their blocks, of those that we know; of sources, that it can be compiled for. */
  readonly serves: readonly string[];
  /** ptxas's report of each translation unit. */
  readonly reports: readonly { readonly architecture: string; readonly report: PtxasReport }[];
  /** Translation units, and how many of them came from the cache. */
  readonly units: { readonly total: number; readonly cached: number };
}

const optionKeys: Readonly<Record<keyof PackageOptions, true>> = Object.freeze({ emit: true, targets: true, toolchain: true, withoutMachineCode: true, planText: true, planFacts: true, version: true });

/** Options that a program misspelled are not ignored. */
function checkPackageOptions(options: unknown): void {
  const problems = isOptions(options) ? unknownKeys(options, optionKeys) : [`${describeValue(options)} is no object`];
  if (problems.length > 0) throw new DiagnosticError(problems.map((text) => ({ code: 'MOA2010', severity: 'error' as const, message: `the option of compilePackage ${text}` })), 2);
}

/** Builds the package. Throws a DiagnosticError when nvcc fails, and for an option that it does not know (MOA2010). Same plan, options and nvcc: same bytes. */
export async function compilePackage(compiled: CompiledPlan, options: PackageOptions): Promise<BuiltPackage> {
  checkPackageOptions(options);
  const { build, reports, units } = await buildUnits([compiled], options);
  return { ...(await assemble(compiled, build, options)), reports, units };
}

/**
 * Builds one package that holds a whole package for each rank, in a folder of its own, and says which heads each has. Ranks have the same kernels, as a rule:
 * they are compiled once.
 * @param compiled of each rank, as `readRank` gives them
 * @param shape of the whole model
 */
export async function compileRankPackages(compiled: readonly CompiledPlan[], assignment: RankAssignment, shape: ModelShape, options: PackageOptions): Promise<BuiltPackage> {
  checkPackageOptions(options);
  const { build, reports, units } = await buildUnits(compiled, options);
  const parts = await Promise.all(compiled.map((rank) => assemble(rank, build, options)));
  const files = parts.flatMap((part, rank) => [...part.files.files].map(([path, content]) => [`${rankFolder(rank)}/${path}`, content] as const));
  const manifest = { ...commonFields(compiled[0]!, options), plan: planFields(options, shape, compiled[0]!), ranks: assignment.ranks };
  const all = packageFiles([...files, [tensorParallelPath, tensorParallelFile(shape, assignment)]]);
  const kernels = new Map(parts.flatMap((part) => part.kernels.map((kernel) => [`${kernel.name} ${kernel.architecture}`, kernel] as const)));
  const serves = parts[0]!.serves.filter((capability) => parts.every((part) => part.serves.includes(capability)));
  return { files: sealPackage(all, manifest), kernels: [...kernels.values()].sort(compareUses), serves, reports, units };
}

/** Machine code by what it is compiled from. */
type Build = ReadonlyMap<string, BuiltKernel>;

async function buildUnits(plans: readonly CompiledPlan[], { emit, targets, toolchain }: PackageOptions): Promise<Pick<BuiltPackage, 'reports' | 'units'> & { readonly build: Build }> {
  if (!emit.has('cubin') || toolchain === undefined) return { build: new Map(), reports: [], units: { total: 0, cached: 0 } };
  const jobs = new Map(plans.flatMap((compiled) => kernelJobs(compiled, targets).map((job) => [sourceOf(job), job] as const)));
  const built = await buildKernels(toolchain.nvcc, [...jobs.values()], toolchain.cache, toolchain.build);
  const reports = built.map(({ job, report }) => ({ architecture: job.target.name, report }));
  return { build: new Map(built.map((unit) => [sourceOf(unit.job), unit])), reports, units: { total: built.length, cached: built.filter((unit) => unit.cached).length } };
}

/** What a job compiles, and for what. */
const sourceOf = ({ source, target }: KernelJob): string => `${target.name} ${sha256(JSON.stringify([...source.files]))}`;

async function assemble(compiled: CompiledPlan, build: Build, options: PackageOptions): Promise<Pick<BuiltPackage, 'files' | 'kernels' | 'serves'>> {
  const { emit, targets, toolchain } = options;
  const files = new Map<string, Uint8Array | string>();
  if (emit.has('ir')) files.set('module.ir', compiled.ir);
  if (emit.has('cuda')) compiled.sources.forEach((text, path) => files.set(path, text));

  const built = kernelJobs(compiled, targets).flatMap((job) => build.get(sourceOf(job)) ?? []);
  for (const { job, cubin } of built) files.set(cubinPath(job.target.name), cubin);
  if (toolchain !== undefined && (built.length > 1 || built.some(({ ptx }) => ptx !== undefined))) {
    const images = built.flatMap(({ job, cubin, ptx }) => [
      { architecture: job.target.name, kind: 'cubin' as const, bytes: cubin },
      ...(ptx === undefined ? [] : [{ architecture: job.target.name, kind: 'ptx' as const, bytes: ptx }]),
    ]);
    files.set(fatbinPath, await linkFatbin(toolchain.nvcc, images, toolchain.build));
  }
  const named = emit.has('cubin') && options.withoutMachineCode === true ? targets : built.map(({ job }) => job.target);
  const cubins = Object.fromEntries(named.map(({ name }) => [name, cubinPath(name)]));
  const withPtx = named.length === 0 ? [] : targets.filter(({ name, ptx }) => ptx && Object.hasOwn(cubins, name)).map(({ name }) => name);
  const runtime = compiled.runtime(cubins, withPtx.length === 0 ? undefined : { path: fatbinPath, architectures: withPtx });
  if (emit.has('cuda') || emit.has('cubin') || emit.has('ts')) files.set(definitionPath, `${printJson(runtime.definition)}\n`);
  if (emit.has('ts')) runtime.files.forEach((text, path) => files.set(path, text));

  const kernels = built.flatMap((unit) => kernelUses(compiled, unit)).sort(compareUses);
  const manifest = {
    ...commonFields(compiled, options),
    serves: runtime.definition.serves,
    plan: planFields(options, compiled.module.shape, compiled),
    kernels: [
      ...compiled.module.kernels.map(({ name, role, architectures, threads, sharedBytes, layers }) => ({ name, role, architectures, threads, sharedBytes, layers: layers.length })),
      ...plannerEntries.map(([role, { name, threads, sharedBytes }]) => ({ name, role, architectures: options.targets.map((target) => target.name), threads, sharedBytes, layers: compiled.module.layers.length })),
    ],
    ...(compiled.rank === undefined ? {} : { tensorParallel: { rank: compiled.rank.rank, ranks: compiled.rank.ranks } }),
  };
  return { files: sealPackage(packageFiles(files), manifest), kernels, serves: runtime.definition.serves };
}

const commonFields = ({ elementTypes }: CompiledPlan, { targets, version }: PackageOptions) => ({
  compiler: `moa-compile ${version}`,
  elementTypes,
  architectures: targets.map((target) => target.name),
});

const planFields = ({ planText, planFacts }: PackageOptions, shape: ModelShape, { module }: CompiledPlan) => ({
  sha256: sha256(planText),
  ...planFacts,
  ...shape,
  ...(isUsual(module.attention, module.shape) ? {} : module.attention),
  ...module.limits,
  ...windowsField(module),
});

/** The model's own windows by layer, where it has any: those layers have no sink. */
function windowsField({ layers }: CompiledPlan['module']): { readonly windows?: readonly (number | null)[] } {
  const windows = layers.map(({ modelWindow }) => modelWindow);
  return windows.some((window) => window !== null) ? { windows } : {};
}

/** By name, then architecture. */
function compareUses(a: KernelUse, b: KernelUse): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.architecture < b.architecture ? -1 : a.architecture > b.architecture ? 1 : 0;
}

/** What the code of an architecture holds: its kernels, and those that plan. */
function kernelsFor({ kernels }: CompiledPlan['module'], architecture: string): readonly Pick<KernelUse, 'name' | 'role' | 'threads' | 'sharedBytes'>[] {
  const planning = plannerEntries.map(([role, { name, threads, sharedBytes }]) => ({ name, role, threads, sharedBytes }));
  return [...kernels.filter(({ architectures }) => architectures.includes(architecture)), ...planning];
}

/** One translation unit for each architecture. */
function kernelJobs(compiled: CompiledPlan, targets: readonly Target[]): KernelJob[] {
  const { sources, module } = compiled;
  return targets.map((target) => {
    const kernels = kernelsFor(module, target.name).map(({ name }) => name);
    const path = unitPath(target.name);
    const own = new Set([path, ...kernels.map(kernelSourcePath)]);
    const files = new Map([...sources].filter(([file]) => own.has(file) || file.startsWith('include/')));
    invariant(files.size > kernels.length, 'the unit, its kernels and headers are among the sources');
    return { target, source: { name: 'kernels', path, files, includeFolders: ['include'], kernels } };
  });
}

function kernelUses(compiled: CompiledPlan, { job, report }: BuiltKernel): KernelUse[] {
  return kernelsFor(compiled.module, job.target.name)
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
