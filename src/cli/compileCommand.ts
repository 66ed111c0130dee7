import { findArchitecture } from '../arch/registry.ts';
import { compileModule, passContext, readRank, type CompiledPlan, type CompileOptions } from '../compile.ts';
import { compilePackage, compileRankPackages, type BuiltPackage, type EmitKind } from '../compilePackage.ts';
import { checkOutputFolder } from '../emit/checkOutput.ts';
import { comparePackage } from '../emit/comparePackage.ts';
import { cubinPath, unitPath } from '../emit/emitKernels.ts';
import { fileBytes, sha256 } from '../emit/package.ts';
import { writePackage } from '../emit/writePackage.ts';
import { printModule } from '../ir/print.ts';
import type { CacheType } from '../ir/nodes.ts';
import type { RankDefinition } from '../ir/planDefinition.ts';
import { assignRanks } from '../passes/assignRanks.ts';
import { ropeProblem } from '../passes/selectTiles/ropeProblem.ts';
import { rankProblem } from '../passes/assignRanks/rankProblem.ts';
import type { Ablation } from '../passes/pass.ts';
import { pipeline } from '../passes/pipeline.ts';
import { runPasses, type PassEvent } from '../passes/runPasses.ts';
import { readPlan, type ReadPlan } from '../plan/readPlan.ts';
import { namedArchitectures, parseArchitectures, type Target } from '../toolchain/architectures.ts';
import { cacheFolder } from '../toolchain/cacheFolder.ts';
import { findNvcc, type Nvcc } from '../toolchain/findNvcc.ts';
import { checkFatbinary, needsFatbin } from '../toolchain/linkFatbin.ts';
import { KernelCache } from '../toolchain/kernelCache.ts';
import { nvccFlags } from '../toolchain/nvcc.ts';
import { nativeArchitectures } from '../toolchain/nativeArchitectures.ts';
import { checkTemporaryRoot } from '../toolchain/temporaryFolder.ts';
import { environment, environmentVariables } from '../util/debug.ts';
import { DiagnosticError, DiagnosticList, type Diagnostic } from '../util/diagnostics.ts';
import { stableJson } from '../util/stableJson.ts';
import { version } from '../version.ts';
import { checkFolder } from './checkFolder.ts';
import { compileSummary, summaryText, type CompileSummary } from './compileSummary.ts';
import { formatBytes, refuseWarnings, sayDiagnostics, table, type Output } from './output.ts';
import { inputFiles } from './findPlan.ts';
import { modelFlags, planFacts, readInputs, type InputOptions } from './readInputs.ts';
import { startProgress } from './progress.ts';
import { servesText } from './servesText.ts';

export interface CompileCommandOptions extends InputOptions {
  readonly arch?: readonly string[];
  readonly output?: string;
  readonly emit: readonly EmitKind[];
  readonly rope: boolean;
  readonly kvCacheDtype: CacheType;
  readonly slack: number;
  readonly decodeTokens: number;
  readonly ablate?: readonly Ablation[];
  /** Ranks that share the heads. */
  readonly tp?: number;
  readonly tpLengths: readonly number[];
  readonly printIrAfter?: string;
  readonly stopAfter?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly dryRun?: boolean;
  readonly check?: boolean;
  readonly force?: boolean;
  readonly nvcc?: string;
  readonly cache: boolean;
  readonly jobs?: number;
}

/** `moa-compile plan.json`: the package, on disk or checked. Returns the exit code; throws a DiagnosticError. */
export async function compileCommand(planPath: string, options: CompileCommandOptions, output: Output): Promise<number> {
  const quiet = options.quiet === true;
  const diagnostics = new DiagnosticList();
  const emit = new Set(options.emit);

  // Everything that can be wrong with what the user gave is found before anything is reported.
  const misuse = missingFolder(options, emit);
  if (misuse !== undefined) diagnostics.add(misuse);
  const { plan, config } = await readInputs(planPath, options, diagnostics);
  const read = plan && readPlan(plan, config, { ...modelFlags(options), rope: options.rope }, diagnostics);
  const uneven = read && options.tp !== undefined ? rankProblem(read.module.shape, options.tp) : undefined;
  if (uneven !== undefined) diagnostics.add(uneven);
  const unturned = read && options.rope ? ropeProblem(read.module, options.kvCacheDtype) : undefined;
  if (unturned !== undefined) diagnostics.add(unturned);
  const wantsMachineCode = emit.has('cubin') && options.stopAfter === undefined && options.check !== true;
  const refused = outputProblems(planPath, options);
  refused.forEach((problem) => diagnostics.add(problem));
  const tools = await findTools(options, wantsMachineCode, diagnostics);
  if (plan === undefined || read === undefined || misuse !== undefined || uneven !== undefined || unturned !== undefined) throw new DiagnosticError(diagnostics.toArray(), 2);
  if (tools.exitCode !== undefined || refused.length > 0) throw new DiagnosticError(diagnostics.toArray(), tools.exitCode ?? 1);

  refuseWarnings([...diagnostics.toArray(), ...(tools.nvcc?.warnings ?? [])], options.strict);

  const { targets, nvcc } = tools;
  nvcc?.warnings.forEach((warning) => diagnostics.add(warning));
  const architectures = targets.flatMap(({ name }) => findArchitecture(name) ?? []);
  const passOptions: CompileOptions = { architectures, rope: options.rope, cacheType: options.kvCacheDtype, slack: options.slack, decodeTokens: options.decodeTokens, ablations: options.ablate ?? [], ...(options.dtype === undefined ? {} : { elementTypes: options.dtype }) };
  const assignment = options.tp === undefined ? undefined : assignRanks(read.module, options.tp, options.tpLengths);
  const parts: readonly Part[] = assignment === undefined ? [read] : Array.from({ length: assignment.ranks }, (_, rank) => readRank(read, assignment, rank));
  if (options.stopAfter !== undefined) {
    const modules = parts.map((part) => runPasses(part.module, pipeline, passContext(part, passOptions), passObserver(options, output, part), options.stopAfter));
    sayDiagnostics(output, diagnostics.toArray(), quiet);
    if (options.printIrAfter !== 'all' && options.printIrAfter !== options.stopAfter) modules.forEach((module, index) => output.print(titled(parts[index]!, printModule(module))));
    return 0;
  }
  const compiled = parts.map((part) => compileModule(part, { ...passOptions, observe: passObserver(options, output, part) }));
  const summary = compileSummary(read.module, compiled, { cacheType: options.kvCacheDtype, slack: passContext(read, passOptions).slack });
  const { debugLevel } = environment();
  if (debugLevel >= 4) sayKernels(compiled, targets, nvcc, output);

  const progress = startProgress(output.interactive && !options.dryRun, `compiling for ${targets.map((target) => target.name).join(', ')}`);
  const machineCode = nvcc !== undefined && options.dryRun !== true;
  const cache = options.cache && machineCode ? KernelCache.open(cacheFolder(environmentVariables())) : KernelCache.none();
  let built: BuiltPackage;
  try {
    const build = { variables: environmentVariables(), onProgress: progress.step, ...(options.jobs === undefined ? {} : { jobs: options.jobs }) };
    const packageOptions = { emit, targets, planText: plan.text, planFacts: planFacts(plan), version, ...(machineCode ? { toolchain: { nvcc, cache, build } } : { withoutMachineCode: true }) };
    built = await (assignment === undefined ? compilePackage(compiled[0]!, packageOptions) : compileRankPackages(compiled, assignment, read.module.shape, packageOptions));
  } catch (error) {
    // What was noticed before may be the reason: another nvcc than was meant.
    if (error instanceof DiagnosticError) throw new DiagnosticError([...diagnostics.toArray(), ...error.diagnostics], error.exitCode);
    throw error;
  } finally {
    await progress.end();
  }
  if (debugLevel >= 5) built.reports.forEach(({ architecture, report: ptxas }) => output.say(`ptxas for ${architecture}: ${stableJson(ptxas).trimEnd()}`));
  cache.warnings.forEach((warning) => diagnostics.add(warning));

  refuseWarnings(diagnostics.toArray(), options.strict);
  if (options.check === true) return checkFolder(built, targets, options, output, diagnostics);
  if (options.dryRun === true) {
    sayDiagnostics(output, diagnostics.toArray(), quiet);
    report(summary, compiled, built, targets, options, output, isWritten(built, options, emit) ? 'would not change' : 'would write');
    return 0;
  }
  if (options.output === undefined) {
    sayDiagnostics(output, diagnostics.toArray(), quiet);
    compiled.forEach((part) => output.print(titled(part, part.ir)));
    return 0;
  }
  const written = await writePackage(built.files, options.output, { force: options.force === true });
  written.warnings.forEach((warning) => diagnostics.add(warning));
  sayDiagnostics(output, diagnostics.toArray(), quiet);
  report(summary, compiled, built, targets, options, output, written.changed ? 'wrote' : 'unchanged');
  return 0;
}

/** A plan to compile: the whole one, or that of a rank. */
type Part = ReadPlan & { readonly rank?: RankDefinition };

/** A module's text, under the name of its rank where there are ranks. */
const titled = ({ rank }: { readonly rank?: RankDefinition }, ir: string): string => `${rank === undefined ? '' : `// rank ${rank.rank} of ${rank.ranks}\n`}${ir.trimEnd()}`;

interface Tools {
  readonly targets: readonly Target[];
  readonly nvcc: Nvcc | undefined;
  /** Set when a diagnostic was added: 2 for a bad option, 1 for a missing tool. */
  readonly exitCode?: 1 | 2;
}

async function findTools(options: CompileCommandOptions, wantsMachineCode: boolean, diagnostics: DiagnosticList): Promise<Tools> {
  const variables = environmentVariables();
  let exitCode: 1 | 2 | undefined;
  const attempt = async <Value>(run: () => Promise<Value>): Promise<Value | undefined> => {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof DiagnosticError)) throw error;
      error.diagnostics.forEach((diagnostic) => diagnostics.add(diagnostic));
      exitCode = exitCode === 2 ? 2 : error.exitCode;
      return undefined;
    }
  };
  const specs = options.arch ?? [];
  const { torchCudaArchList } = environment();
  const architectures = namedArchitectures(specs, torchCudaArchList);
  const nvcc = wantsMachineCode ? await attempt(() => findNvcc({ explicit: options.nvcc, variables, architectures })) : undefined;
  const targets = await attempt(() =>
    parseArchitectures(specs, {
      torchCudaArchList,
      nvccArchitectures: nvcc?.architectures,
      native: () => nativeArchitectures({ variables, nvccPath: nvcc?.path }),
    }),
  );
  if (nvcc !== undefined && targets !== undefined) await attempt(async () => checkBuild(nvcc, targets));
  return { targets: targets ?? [], nvcc, ...(exitCode === undefined ? {} : { exitCode }) };
}

/** What a build would end with after its kernels are compiled, or could not begin with (MOA4108, MOA4109). */
function checkBuild(nvcc: Nvcc, targets: readonly Target[]): void {
  checkTemporaryRoot();
  if (needsFatbin(targets)) checkFatbinary(nvcc);
}

/** Without `-o` there is nowhere for a package: only the IR, the one kind that is a single text, goes to stdout. */
function missingFolder(options: CompileCommandOptions, emit: ReadonlySet<EmitKind>): Diagnostic | undefined {
  if (options.output !== undefined || options.stopAfter !== undefined) return undefined;
  if (options.check === true) return { code: 'MOA2002', severity: 'error', message: '--check needs the folder to compare with', help: 'pass -o DIR' };
  if (options.dryRun === true || (emit.size === 1 && emit.has('ir'))) return undefined;
  return { code: 'MOA2001', severity: 'error', message: 'a package needs a folder to be written to', help: 'pass -o DIR, or --emit=ir to print the IR' };
}

/** Why the output folder would be refused. It is asked before anything is compiled, and `--dry-run` asks it too. */
function outputProblems(planPath: string, options: CompileCommandOptions): readonly Diagnostic[] {
  if (options.output === undefined || options.stopAfter !== undefined || options.check === true) return [];
  const inputs = [...inputFiles(planPath), ...(typeof options.model === 'string' ? [options.model] : [])];
  try {
    checkOutputFolder(options.output, { force: options.force === true, inputs });
    return [];
  } catch (error) {
    if (error instanceof DiagnosticError) return error.diagnostics;
    throw error;
  }
}

/** Whether the folder holds the package already; of machine code that is not known before it is made. */
const isWritten = (built: BuiltPackage, options: CompileCommandOptions, emit: ReadonlySet<EmitKind>): boolean =>
  options.output !== undefined && !emit.has('cubin') && comparePackage(built.files, options.output).length === 0;

/** `MOA_DEBUG=4`: what nvcc will be given, but for the headers. */
function sayKernels(compiled: readonly CompiledPlan[], targets: readonly Target[], nvcc: Nvcc | undefined, output: Output): void {
  for (const [path, text] of new Map(compiled.flatMap(({ sources }) => [...sources]))) if (path.startsWith('kernels/')) output.say(`// ${path}\n${text.trimEnd()}`);
  for (const { name } of targets) {
    output.say([nvcc?.path ?? 'nvcc', ...nvccFlags({ kind: 'cubin', architecture: name }, ['include']), unitPath(name), '-o', cubinPath(name)].join(' '));
  }
}

function passObserver(options: CompileCommandOptions, output: Output, { rank }: Part): (event: PassEvent) => void {
  const { debugLevel } = environment();
  const part = rank === undefined ? '' : `rank ${rank.rank} of ${rank.ranks}, `;
  return ({ pass, module, changed, milliseconds }) => {
    // Not where JSON goes.
    const print = options.json === true ? output.say : output.print;
    const title = `// ${part}after ${pass}${changed ? '' : ' (unchanged)'}`;
    if (options.printIrAfter === 'all' || options.printIrAfter === pass) print(`${title}\n${printModule(module).trimEnd()}`);
    if (debugLevel >= 1) output.say(`${part}${pass}: ${milliseconds.toFixed(2)} ms${changed ? '' : ', unchanged'}`);
    if (debugLevel >= 3 || (debugLevel >= 2 && changed)) output.say(printModule(module).trimEnd());
  };
}

function report(
  summary: CompileSummary,
  compiled: readonly CompiledPlan[],
  built: BuiltPackage,
  targets: readonly Target[],
  options: CompileCommandOptions,
  output: Output,
  verb: string,
): void {
  const files = [...built.files.files];
  const bytes = files.reduce((sum, [, content]) => sum + fileBytes(content).byteLength, 0);
  if (options.json === true) {
    const listed = Object.fromEntries(files.map(([path, content]) => [path, sha256(content)]));
    output.print(stableJson({ output: options.output ?? null, result: verb, files: listed, kernels: built.kernels, units: built.units, ...summary, serves: built.serves, ranks: options.tp }).trimEnd());
    return;
  }
  if (options.quiet === true) return;
  const gpus = servesText(compiled.flatMap(({ module }) => module.kernels), targets, built.serves);
  if (built.kernels.length > 0) {
    const rows = built.kernels.map((kernel) => [kernel.name, kernel.architecture, String(kernel.registers), formatBytes(kernel.sharedBytes), String(kernel.threads)]);
    output.print(`${table([['kernel', 'arch', 'registers', 'shared', 'threads'], ...rows])}\n`);
  }
  const cached = built.units.total === 0 ? '' : `, ${built.units.cached} of ${built.units.total} cubins from the cache`;
  const packages = options.tp === undefined ? '' : `packages of ${options.tp} ranks, `;
  output.print(
    [
      `${verb} ${options.output ?? 'a package'}: ${packages}${files.length} files, ${formatBytes(bytes)}${cached}`,
      summaryText(summary),
      `    ${gpus}`,
    ].join('\n'),
  );
}
