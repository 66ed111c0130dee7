import { lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode } from '../emit/diskDiagnostics.ts';
import { type Diagnostic, DiagnosticError } from '../util/diagnostics.ts';
import { cubinProblem } from './checkImage.ts';
import type { Nvcc } from './findNvcc.ts';
import { nvccFlags, runTool, type BuildSettings } from './nvcc.ts';
import { parsePtxasReport, type FunctionReport, type PtxasReport } from './ptxasReport.ts';
import { toolchainError, toolchainFailure } from './toolchainCodes.ts';
import { withBuildFolder } from './withBuildFolder.ts';

/** One translation unit with all that it includes: a kernel, or every kernel of an architecture. */
export interface KernelSource {
  /** For messages. */
  readonly name: string;
  /** The source's path in `files`. */
  readonly path: string;
  /** Text by relative POSIX path. Only what the source needs: every file is part of the cache key. */
  readonly files: ReadonlyMap<string, string>;
  /** Folders in `files`, as `include`. */
  readonly includeFolders: readonly string[];
  /** The entry points that its machine code must have. */
  readonly kernels: readonly string[];
}

export interface CompiledKernel {
  readonly cubin: Uint8Array;
  readonly report: PtxasReport;
}

/**
 * Compiles a source for one architecture to a cubin, in a private folder that is removed. Throws a DiagnosticError: it does not
 * compile (MOA4101), nvcc hangs or crashes (MOA4102, MOA4103), its output is damaged (MOA4104), a kernel spills or is serialised
 * (MOA4105, MOA4106). Rejects with the signal's reason when aborted.
 */
export async function compileKernel(nvcc: Nvcc, source: KernelSource, architecture: string, settings: BuildSettings): Promise<CompiledKernel> {
  const what = `${source.name} for ${architecture}`;
  return withBuildFolder(
    source.files,
    async (folder) => {
      const flags = nvccFlags({ kind: 'cubin', architecture }, source.includeFolders);
      const { stdout, stderr } = await runTool(nvcc.path, [...flags, source.path, '-o', 'kernel.cubin'], what, folder, settings);
      const cubin = readOutput(join(folder, 'kernel.cubin'), what, (bytes) => cubinProblem(bytes, source.kernels));
      const report = parsePtxasReport(`${stdout}\n${stderr}`);
      const problems = reportProblems(report, source.kernels, what);
      if (problems.length > 0) throw new DiagnosticError(problems, 1);
      return { cubin, report };
    },
    settings.temporaryRoot,
  );
}

/** Compiles a source to the PTX of one architecture. Throws as `compileKernel`. */
export async function compilePtx(nvcc: Nvcc, source: KernelSource, architecture: string, settings: BuildSettings): Promise<Uint8Array> {
  const what = `${source.name} to the PTX of ${architecture}`;
  return withBuildFolder(
    source.files,
    async (folder) => {
      const flags = nvccFlags({ kind: 'ptx', architecture }, source.includeFolders);
      await runTool(nvcc.path, [...flags, source.path, '-o', 'kernel.ptx'], what, folder, settings);
      return readOutput(join(folder, 'kernel.ptx'), what, (bytes) => ptxProblem(bytes, source.kernels));
    },
    settings.temporaryRoot,
  );
}

/** The bytes that a tool wrote to `path`. Throws MOA4104 when there are none, or `problem` finds fault with them. */
export function readOutput(path: string, what: string, problem: (bytes: Uint8Array) => string | undefined): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = lstatSync(path).isFile() ? readFileSync(path) : new Uint8Array();
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    bytes = new Uint8Array();
  }
  const found = problem(bytes);
  if (found === undefined) return bytes;
  throw toolchainFailure('MOA4104', `nvcc reported success for ${what}, but its output is not usable: ${found}`, 'is the disk of the temporary folder full? Free some space, or set TMPDIR to another folder');
}

/** PTX has no size in its header: it must end after the closing brace of a function, and name every kernel. */
function ptxProblem(bytes: Uint8Array, kernels: readonly string[]): string | undefined {
  const text = Buffer.from(bytes).toString('latin1');
  if (!/^\s*\.version\b/m.test(text)) return 'it is not PTX';
  if (!/\}\s*$/.test(text)) return 'it is cut off';
  const missing = kernels.find((kernel) => !new RegExp(`\\.entry\\s+${kernel}\\b`).test(text));
  return missing === undefined ? undefined : `it has no kernel ${missing}`;
}

function reportProblems(report: PtxasReport, kernels: readonly string[], what: string): readonly Diagnostic[] {
  const problems: Diagnostic[] = [];
  for (const kernel of kernels) {
    if (report.functions.find(({ name }) => name === kernel)?.registers === undefined) {
      problems.push(toolchainError('MOA4107', `ptxas did not report on the kernel ${kernel} while compiling ${what}`, 'this version of nvcc may be too new for this release of moa-compile'));
    }
  }
  for (const used of report.functions.filter(usesLocalMemory)) {
    const { name, stackBytes, spillStoreBytes, spillLoadBytes } = used;
    const amounts = `${stackBytes} bytes of stack, ${spillStoreBytes} bytes of spill stores, ${spillLoadBytes} bytes of spill loads`;
    problems.push(toolchainError('MOA4105', `${name} in ${what} uses local memory: ${amounts}`, 'the tile shape is too large for the registers: please report this with the plan'));
  }
  for (const remark of report.remarks.filter((line) => /\(C75\d\d\)/.test(line))) {
    problems.push(toolchainError('MOA4106', `ptxas serialises matrix instructions in ${what}: ${remark}`, 'please report this with the plan and the version of nvcc'));
  }
  return problems;
}

const usesLocalMemory = (used: FunctionReport): boolean => used.stackBytes > 0 || used.spillStoreBytes > 0 || used.spillLoadBytes > 0;
