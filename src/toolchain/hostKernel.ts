import { channel } from 'node:diagnostics_channel';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import { performance } from 'node:perf_hooks';
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
  /** A translation unit that is linked with this one. It is compiled once for all kernels that have the same. */
  readonly engine?: HostKernelSource;
}

export interface HostKernel {
  /** Of a shared object whose content has just been checked. No other user can change it. */
  readonly path: string;
  readonly cached: boolean;
}

/** A kernel runs a few launches and calls the engine for most of what it does: -O1 builds faster and runs as fast as -O2. */
const flags = { kernel: ['-std=c++20', '-O1', '-fPIC', '-w', '-shared'], object: ['-std=c++20', '-O2', '-fPIC', '-w', '-c'] } as const;
type Output = keyof typeof flags;
const flagsOf = (output: Output, { linker }: HostCompiler): readonly string[] => [...flags[output], ...(output === 'kernel' ? linker : [])];
const entryFormat = 'host kernel 2';

/** Tells who listens of each build: `{ name, cached, seconds }`. Tests count them. */
const builds = channel('moa-compile:host-build');

/**
 * Builds an emitted kernel for the emulator, or takes it from the cache. Any number of processes may do so at once. Throws MOA4202
 * when it does not compile, MOA4203 when it cannot be written; rejects with the signal's reason when aborted.
 */
export async function buildHostKernel(compiler: HostCompiler, source: HostKernelSource, cache: KernelCache, settings: BuildSettings): Promise<HostKernel> {
  const engine = source.engine === undefined ? undefined : await sharedObject(compiler, source.engine, cache, settings);
  const { bytes, cached } = await build('kernel', compiler, source, engine, cache, settings);
  return { path: placeLibrary(cache, bytes, settings.temporaryRoot), cached };
}

/** The objects that this process has built or loaded, by their cache key. */
const objects = new Map<string, Promise<Built>>();

interface Built {
  readonly bytes: Uint8Array;
  readonly cached: boolean;
}

async function sharedObject(compiler: HostCompiler, source: HostKernelSource, cache: KernelCache, settings: BuildSettings): Promise<Uint8Array> {
  const { key } = keyOf('object', compiler, source, undefined);
  let building = objects.get(key);
  if (building === undefined) {
    building = build('object', compiler, source, undefined, cache, settings);
    objects.set(key, building);
    building.catch(() => objects.delete(key));
  }
  return (await building).bytes;
}

function keyOf(output: Output, compiler: HostCompiler, source: HostKernelSource, engine: Uint8Array | undefined): { readonly key: string; readonly inputs: readonly Input[] } {
  const inputs = readInputs(source);
  const key = cacheKey([
    ['format', entryFormat],
    ['compiler', compiler.identity],
    ['flags', JSON.stringify(flagsOf(output, compiler))],
    [`source ${source.name}`, source.text],
    ...inputs.map(({ label, bytes }) => [label, bytes] as const),
    ...(engine === undefined ? [] : [['engine', engine] as const]),
  ]);
  return { key, inputs };
}

async function build(output: Output, compiler: HostCompiler, source: HostKernelSource, engine: Uint8Array | undefined, cache: KernelCache, settings: BuildSettings): Promise<Built> {
  const { key, inputs } = keyOf(output, compiler, source, engine);
  const found = cache.load(key)?.get('library');
  if (found !== undefined) {
    builds.publish({ name: source.name, cached: true, seconds: 0 });
    return { bytes: found, cached: true };
  }
  const start = performance.now();
  const bytes = await compile(output, compiler, source, engine, new Set(inputs.map(({ path }) => path)), settings);
  builds.publish({ name: source.name, cached: false, seconds: (performance.now() - start) / 1000 });
  cache.store(key, new Map([['library', bytes]]));
  return { bytes, cached: false };
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

function compile(output: Output, compiler: HostCompiler, source: HostKernelSource, engine: Uint8Array | undefined, inputs: ReadonlySet<string>, settings: BuildSettings): Promise<Uint8Array> {
  const { variables, signal, timeoutMs = defaultTimeoutMs, temporaryRoot } = settings;
  const file = `${source.name}.cu`;
  return withBuildFolder(
    new Map<string, string | Uint8Array>([[file, source.text], ...(engine === undefined ? [] : [['engine.o', engine] as const])]),
    async (folder) => {
      // The library names headers as they are included, so that it is the same wherever they lie.
      const includes = source.includeFolders.map((include) => resolve(include)).flatMap((include) => ['-I', include, `-ffile-prefix-map=${include}/=`]);
      const linked = engine === undefined ? [] : ['-x', 'none', 'engine.o'];
      const args = [...compiler.args, ...flagsOf(output, compiler), ...includes, '-x', 'c++', file, ...linked, '-MMD', '-MF', 'kernel.d', '-o', 'kernel.so'];
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
