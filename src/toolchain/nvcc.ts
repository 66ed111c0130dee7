import { gencode, ptxArchitecture, withoutSuffix } from '../arch/spelling.ts';
import { compilerEnvironment, type Variables } from './compilerEnvironment.ts';
import type { Nvcc } from './findNvcc.ts';
import { runProcess, type ProcessResult } from './runProcess.ts';
import { toolchainFailure } from './toolchainCodes.ts';

/** How compilers are run. */
export interface BuildSettings {
  readonly variables: Variables;
  readonly signal?: AbortSignal | undefined;
  /** For one run of a compiler, in milliseconds; 10 minutes by default. */
  readonly timeoutMs?: number;
  /** Where private build folders are made; the system's temporary folder by default. */
  readonly temporaryRoot?: string;
}

export type NvccOutput = { readonly kind: 'cubin' | 'ptx'; readonly architecture: string } | { readonly kind: 'fatbin'; readonly targets: readonly { readonly name: string; readonly ptx: boolean }[] };

export const defaultTimeoutMs = 10 * 60 * 1000;

/**
 * The arguments of nvcc but for the files. No `-lineinfo`: it would put paths into the machine code, and the same source has to
 * give the same bytes.
 */
export function nvccFlags(output: NvccOutput, includeFolders: readonly string[]): readonly string[] {
  const language = ['-std=c++20', '-O3', '--expt-relaxed-constexpr', ...includeFolders.flatMap((folder) => ['-I', folder])];
  // ptxas notes its options in the machine code: a fatbin has the bytes of its cubins only with the same ones.
  const assembler = ['-Xptxas', '-v,-warn-spills,-warn-lmem-usage'];
  switch (output.kind) {
    case 'cubin':
      return ['-cubin', ...architectureFlags(output.architecture), ...language, ...assembler];
    case 'ptx':
      return ['-ptx', `-arch=${ptxArchitecture(output.architecture)}`, ...language];
    case 'fatbin':
      return ['-fatbin', ...output.targets.flatMap(({ name, ptx }) => ['-gencode', gencode(name, ptx)]), ...language, ...assembler];
  }
}

/** With a suffix the short form also compiles for the architecture without it (nvcc 13). */
const architectureFlags = (name: string): readonly string[] => (name === withoutSuffix(name) ? [`-arch=${name}`] : ['-gencode', gencode(name, false)]);

/** Runs nvcc, or a tool of its toolkit, in a build folder. `what` names the work in messages. Throws MOA4101 to MOA4103, MOA4108. */
export async function runTool(path: string, args: readonly string[], what: string, folder: string, settings: BuildSettings): Promise<ProcessResult> {
  const { variables, signal, timeoutMs = defaultTimeoutMs } = settings;
  const result = await runProcess(path, args, { folder, environment: compilerEnvironment(variables, folder), signal, timeoutMs });
  const output = withoutPaths([result.stdout, result.stderr].join('').trim(), folder);
  switch (result.outcome) {
    case 'timedOut':
      throw toolchainFailure('MOA4102', `compiling ${what} did not finish within ${timeoutMs / 1000} s`, `the command was: ${[path, ...args].join(' ')}`);
    case 'killed':
      throw toolchainFailure('MOA4103', `nvcc was killed by ${result.killedBy} while compiling ${what}${detail(output)}`, 'a machine short of memory does that: try fewer jobs at once');
    case 'failedToStart':
      throw toolchainFailure('MOA4103', `${path} could not be started to compile ${what}: ${output}`);
    case 'exited':
      if (result.status === 0) return result;
      if (/no space left|when writing output|error: writing file/i.test(output)) {
        throw toolchainFailure('MOA4108', `the disk of the temporary folder filled up while compiling ${what}${detail(output)}`, 'free some space there, or set TMPDIR to another folder');
      }
      // How a crash of one of nvcc's children shows: 128 and the signal.
      if (result.status > 128 && result.status < 192) throw toolchainFailure('MOA4103', `nvcc crashed while compiling ${what} (exit status ${result.status})${detail(output)}`);
      throw toolchainFailure('MOA4101', `${what} does not compile (exit status ${result.status})${detail(output)}`, helpOf(output));
  }
}

/** nvcc hands the host's part to a C++ compiler of the machine, and says so when that is missing or too new. */
function helpOf(output: string): string {
  const hostCompiler = /No such file or directory|not found|unsupported GNU version|Failed to preprocess host compiler/i.test(output);
  if (hostCompiler) return 'nvcc needs a host C++ compiler that it supports: install g++, or name one with NVCC_CCBIN';
  return 'the source is moa-compile\'s own: please report this with the plan and the version of nvcc';
}

/** What identifies the compiler in a cache key. */
export function nvccIdentity(nvcc: Nvcc, variables: Variables): string {
  return `${nvcc.version} ${nvcc.identity} ${variables['NVCC_CCBIN'] ?? ''}`;
}

const longest = 4000;

function detail(output: string): string {
  if (output === '') return '';
  return `:\n${output.length > longest ? `${output.slice(0, longest)}\n...` : output}`;
}

/** Output without the random name of the build folder, so that the same failure gives the same text. */
const withoutPaths = (text: string, folder: string): string => text.replaceAll(`${folder}/`, '');
