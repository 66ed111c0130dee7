/** The first step of the demo: the example plan through the command line, as a user would run it. */
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { architectures as supported } from '../arch/registry.ts';
import { architectureName } from '../arch/spelling.ts';
import { findNvcc } from '../toolchain/findNvcc.ts';
import { nativeArchitectures } from '../toolchain/nativeArchitectures.ts';
import { environmentVariables } from '../util/debug.ts';
import { DiagnosticError } from '../util/diagnostics.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const examplePath = `${root}examples/retrieval-20m/plan.json`;
const packageFolder = `${root}generated/start`;

/** What ptxas said of a kernel; the largest over the architectures. */
export interface KernelRegisters {
  readonly registers: number;
  readonly architectures: readonly string[];
}

export interface CompiledExample {
  readonly planPath: string;
  /** A URL with a slash at its end. */
  readonly folder: URL;
  /** Empty without nvcc. */
  readonly registers: ReadonlyMap<string, KernelRegisters>;
  /** The nvcc that made the cubins, or why there are none. */
  readonly machineCode: string;
  readonly seconds: number;
}

/**
 * Compiles the example for the oldest architecture, and for this machine's GPU if nvcc knows it. Where there is no nvcc, or it fails, the package holds
 * sources only, which is all that the emulator needs.
 * @param announce is told each command before it runs, as a user would type it in the repository
 */
export async function compileExample(announce: (command: string) => void): Promise<CompiledExample> {
  const { architectures: targets, nvccVersion, reason } = await chooseTargets();
  const start = performance.now();
  const args = [relative(root, examplePath), '--arch', targets.join(','), '-o', relative(root, packageFolder)];
  const runCompiler = (): SpawnSyncReturns<string> => {
    announce(`node bin/moa-compile.js ${args.join(' ')}`);
    // Quiet, so that no progress is drawn between our lines; errors go to this process's standard error.
    return spawnSync(process.execPath, ['bin/moa-compile.js', ...args, '--json', '-q'], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 64 << 20 });
  };
  let run = nvccVersion === undefined ? undefined : runCompiler();
  const failed = run !== undefined && run.status !== 0;
  if (run === undefined || failed) {
    args.push('--emit=ir,cuda,ts');
    run = runCompiler();
  }
  if (run.status !== 0) throw new Error(`node bin/moa-compile.js ${args.join(' ')} ended with ${run.status ?? run.signal}`, { cause: run.error });
  return {
    planPath: examplePath,
    folder: new URL('../../generated/start/', import.meta.url),
    registers: registersOf(run.stdout),
    machineCode: failed ? 'sources only: nvcc failed, as said above' : (reason ?? `cubins by nvcc ${nvccVersion}`),
    seconds: (performance.now() - start) / 1000,
  };
}

interface Targets {
  readonly architectures: readonly string[];
  /** Undefined without nvcc; `reason` says why. */
  readonly nvccVersion?: string;
  readonly reason?: string;
}

async function chooseTargets(): Promise<Targets> {
  const oldest = supported[0]!.name;
  const variables = environmentVariables();
  try {
    const nvcc = await findNvcc({ variables });
    const local = (await nativeArchitectures({ variables, nvccPath: nvcc.path })).map(architectureName);
    const known = supported.map(({ name }) => name).filter((name) => nvcc.architectures.includes(name));
    return { architectures: known.filter((name, index) => index === 0 || local.includes(name)), nvccVersion: nvcc.version };
  } catch (error) {
    if (!(error instanceof DiagnosticError)) throw error;
    const tooOld = error.diagnostics.some(({ code }) => code === 'MOA4002');
    return { architectures: [oldest], reason: `sources only: nvcc ${tooOld ? 'is older than CUDA 12.0' : 'was not found'}` };
  }
}

function registersOf(json: string): ReadonlyMap<string, KernelRegisters> {
  const { kernels } = JSON.parse(json) as { readonly kernels: readonly { readonly name: string; readonly architecture: string; readonly registers: number }[] };
  const byName = new Map<string, KernelRegisters>();
  for (const { name, architecture, registers } of kernels) {
    const known = byName.get(name);
    byName.set(name, { registers: Math.max(registers, known?.registers ?? 0), architectures: [...(known?.architectures ?? []), architecture] });
  }
  return byName;
}
