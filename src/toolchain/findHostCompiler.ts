import { isAbsolute, resolve } from 'node:path';
import { cacheKey } from './cacheEntry.ts';
import { compilerEnvironment, type Variables } from './compilerEnvironment.ts';
import { fileIdentity, isExecutable, pathCandidates } from './findProgram.ts';
import { KernelCache } from './kernelCache.ts';
import { runProcess } from './runProcess.ts';
import { toolchainFailure } from './toolchainCodes.ts';
import { withBuildFolder } from './withBuildFolder.ts';

export interface HostCompiler {
  readonly path: string;
  /** The words after the program in `CXX`, as the compiler in `ccache g++`. */
  readonly args: readonly string[];
  /** Flags that choose the linker. */
  readonly linker: readonly string[];
  /** Part of every cache key. */
  readonly identity: string;
}

const probe = '#include <source_location>\n#include <span>\nint main() { return std::span<int>().size() + std::source_location::current().line() == 0; }\n';
const timeoutMs = 60_000;
/** Where there is one: it links faster than GNU ld. */
const fastLinker = ['-fuse-ld=gold'];

/**
 * Finds a C++20 compiler: `CXX` alone when it is set, else g++, c++, clang++ on PATH. What a compiler can do is remembered in `cache`. Throws MOA4201, which says what each one
 * lacks.
 */
export async function findHostCompiler(variables: Variables, temporaryRoot?: string, cache = KernelCache.none()): Promise<HostCompiler> {
  const chosen = (variables['CXX'] ?? '').split(/\s+/).filter((word) => word !== '');
  const commands = chosen.length > 0 ? [chosen] : [['g++'], ['c++'], ['clang++']];
  const tried: string[] = [];
  for (const [name = '', ...args] of commands) {
    const path = (name.includes('/') ? [isAbsolute(name) ? name : resolve(name)] : pathCandidates(name, variables['PATH'])).find(isExecutable);
    if (path === undefined) {
      tried.push(`${name} (not found)`);
      continue;
    }
    const version = await runProcess(path, [...args, '--version'], { environment: compilerEnvironment(variables), timeoutMs });
    const identity = JSON.stringify([path, args, version.stdout, fileIdentity(path)]);
    const linker = version.status === 0 ? await linkerOf(path, args, identity, variables, temporaryRoot, cache) : undefined;
    if (linker !== undefined) return { path, args, linker, identity };
    tried.push(`${path} (does not compile C++20)`);
  }
  const from = chosen.length > 0 ? 'CXX' : 'PATH';
  throw toolchainFailure('MOA4201', `no C++20 compiler was found for the emulator; tried from ${from}: ${tried.join(', ')}`, 'install g++ 11 or clang++ 14, or later, or set CXX');
}

/** The flags of the linker to use, or undefined for no C++20 compiler. */
async function linkerOf(path: string, args: readonly string[], identity: string, variables: Variables, temporaryRoot: string | undefined, cache: KernelCache): Promise<readonly string[] | undefined> {
  const key = cacheKey([['format', 'host compiler 1'], ['compiler', identity], ['PATH', variables['PATH'] ?? ''], ['probe', probe]]);
  const known = cache.load(key)?.get('linker');
  if (known !== undefined) return JSON.parse(Buffer.from(known).toString()) as readonly string[];
  for (const [linker, ...flags] of [[fastLinker, '-shared', '-fPIC', ...fastLinker, '-o', 'probe.so'], [[], '-fsyntax-only']] as const) {
    if (!(await compilesProbe(path, [...args, '-std=c++20', ...flags, 'probe.cpp'], variables, temporaryRoot))) continue;
    cache.store(key, new Map([['linker', Buffer.from(JSON.stringify(linker))]]));
    return linker;
  }
  return undefined;
}

function compilesProbe(path: string, args: readonly string[], variables: Variables, temporaryRoot: string | undefined): Promise<boolean> {
  return withBuildFolder(
    new Map([['probe.cpp', probe]]),
    async (folder) => (await runProcess(path, args, { folder, environment: compilerEnvironment(variables, folder), timeoutMs })).status === 0,
    temporaryRoot,
  );
}
