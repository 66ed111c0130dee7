import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import { errorCode } from '../emit/diskDiagnostics.ts';
import { invariant } from '../util/invariant.ts';
import { cacheKey } from './cacheEntry.ts';
import { compilerEnvironment } from './compilerEnvironment.ts';
import type { HostCompiler } from './findHostCompiler.ts';
import { libraryProblem, placeLibrary } from './hostLibrary.ts';
import type { KernelCache } from './kernelCache.ts';
import { defaultTimeoutMs, type BuildSettings } from './nvcc.ts';
import { runProcess } from './runProcess.ts';
import { toolchainFailure } from './toolchainCodes.ts';
import { withBuildFolder } from './withBuildFolder.ts';

export interface HostKernelSource {
  /** The emulator's findings name `<name>.cu`. Letters, digits, `.`, `_` and `-`. */
  readonly name: string;
  /** One translation unit; what it includes comes from `includeFolders`. */
  readonly text: string;
  /** Absolute. Every file in them is part of the cache key. */
  readonly includeFolders: readonly string[];
  /** Files outside those folders that their files include. */
  readonly furtherInputs?: readonly string[];
}

export interface HostKernel {
  /** Of a shared object whose content has just been checked. No other user can change it. */
  readonly path: string;
  readonly cached: boolean;
}

const flags = ['-std=c++20', '-O2', '-shared', '-fPIC', '-w', '-x', 'c++'] as const;
const entryFormat = 'host kernel 1';

/**
 * Builds an emitted kernel for the emulator, or takes it from the cache. Any number of processes may do so at once. Throws MOA4202
 * when it does not compile, MOA4203 when it cannot be written; rejects with the signal's reason when aborted.
 */
export async function buildHostKernel(compiler: HostCompiler, source: HostKernelSource, cache: KernelCache, settings: BuildSettings): Promise<HostKernel> {
  const inputs = readInputs(source);
  const key = cacheKey([
    ['format', entryFormat],
    ['compiler', compiler.identity],
    ['flags', JSON.stringify(flags)],
    [`source ${source.name}`, source.text],
    ...inputs.map(({ label, bytes }) => [label, bytes] as const),
  ]);
  const found = cache.load(key)?.get('library');
  if (found !== undefined) return { path: placeLibrary(cache, found, settings.temporaryRoot), cached: true };
  const library = await compile(compiler, source, new Set(inputs.map(({ path }) => path)), settings);
  cache.store(key, new Map([['library', library]]));
  return { path: placeLibrary(cache, library, settings.temporaryRoot), cached: false };
}

interface Input {
  readonly path: string;
  /** Without the folder it lies in: the same headers elsewhere give the same key. */
  readonly label: string;
  readonly bytes: Uint8Array;
}

function readInputs({ includeFolders, furtherInputs = [] }: HostKernelSource): readonly Input[] {
  const inFolders = includeFolders.flatMap((folder, index) => {
    const root = resolve(folder);
    return readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => ({ path, label: `include ${index} ${path.slice(root.length + 1)}`, bytes: readFileSync(path) }));
  });
  return [...inFolders, ...furtherInputs.map((path, index) => ({ path: resolve(path), label: `input ${index}`, bytes: readFileSync(path) }))];
}

function compile(compiler: HostCompiler, source: HostKernelSource, inputs: ReadonlySet<string>, settings: BuildSettings): Promise<Uint8Array> {
  const { variables, signal, timeoutMs = defaultTimeoutMs, temporaryRoot } = settings;
  const file = `${source.name}.cu`;
  return withBuildFolder(
    new Map([[file, source.text]]),
    async (folder) => {
      // The library names headers as they are included, so that it is the same wherever they lie.
      const includes = source.includeFolders.map((include) => resolve(include)).flatMap((include) => ['-I', include, `-ffile-prefix-map=${include}/=`]);
      const args = [...compiler.args, ...flags, ...includes, file, '-MMD', '-MF', 'kernel.d', '-o', 'kernel.so'];
      const result = await runProcess(compiler.path, args, { folder, environment: compilerEnvironment(variables, folder), signal, timeoutMs });
      if (result.outcome !== 'exited' || result.status !== 0) {
        const how = result.outcome === 'exited' ? `exit status ${result.status}` : result.outcome === 'timedOut' ? `not done within ${timeoutMs / 1000} s` : `${result.outcome} ${result.killedBy}`.trim();
        throw toolchainFailure('MOA4202', `${source.name} does not compile for the emulator (${how}):\n${result.stderr.trim().slice(0, 4000)}`, 'the source is moa-compile\'s own: please report this with the plan and the version of the compiler');
      }
      checkDependencies(join(folder, 'kernel.d'), folder, inputs);
      const library = readLibrary(join(folder, 'kernel.so'));
      const problem = libraryProblem(library);
      if (problem !== undefined) throw toolchainFailure('MOA4203', `${compiler.path} reported success for ${source.name}, but its output is not usable: ${problem}`, 'is the disk of the temporary folder full?');
      return library;
    },
    temporaryRoot,
  );
}

/** Every header that was read, but for the system's own, must be part of the key: otherwise an old library would be taken for a new one. */
function checkDependencies(dependencyFile: string, folder: string, inputs: ReadonlySet<string>): void {
  const words = readFileSync(dependencyFile, 'utf8').replace(/^[^:]*:/, '').replace(/\\\n/g, ' ').split(/(?<!\\)\s+/);
  for (const word of words.filter((path) => path !== '')) {
    const path = resolve(folder, word.replace(/\\ /g, ' '));
    const known = inputs.has(path) || dirname(path) === folder || path.startsWith(`${folder}${sep}`);
    invariant(known, `${path} is included but is not part of the cache key`);
  }
}

function readLibrary(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return new Uint8Array();
    throw error;
  }
}
