import { isAbsolute, resolve } from 'node:path';
import { compilerEnvironment, type Variables } from './compilerEnvironment.ts';
import { fileIdentity, isExecutable, pathCandidates } from './findProgram.ts';
import { runProcess } from './runProcess.ts';
import { toolchainFailure } from './toolchainCodes.ts';
import { withBuildFolder } from './withBuildFolder.ts';

export interface HostCompiler {
  readonly path: string;
  /** The words after the program in `CXX`, as the compiler in `ccache g++`. */
  readonly args: readonly string[];
  /** Part of every cache key. */
  readonly identity: string;
}

const probe = '#include <source_location>\n#include <span>\nint main() { return std::span<int>().size() + std::source_location::current().line() == 0; }\n';
const timeoutMs = 60_000;

/** Finds a C++20 compiler: `CXX` alone when it is set, else g++, c++, clang++ on PATH. Throws MOA4201, which says what each one lacks. */
export async function findHostCompiler(variables: Variables, temporaryRoot?: string): Promise<HostCompiler> {
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
    const compiles = version.status === 0 && (await compilesProbe(path, args, variables, temporaryRoot));
    if (compiles) return { path, args, identity: JSON.stringify([path, args, version.stdout, fileIdentity(path)]) };
    tried.push(`${path} (does not compile C++20)`);
  }
  const from = chosen.length > 0 ? 'CXX' : 'PATH';
  throw toolchainFailure('MOA4201', `no C++20 compiler was found for the emulator; tried from ${from}: ${tried.join(', ')}`, 'install g++ 11 or clang++ 14, or later, or set CXX');
}

function compilesProbe(path: string, args: readonly string[], variables: Variables, temporaryRoot: string | undefined): Promise<boolean> {
  return withBuildFolder(
    new Map([['probe.cpp', probe]]),
    async (folder) => {
      const options = { folder, environment: compilerEnvironment(variables, folder), timeoutMs };
      return (await runProcess(path, [...args, '-std=c++20', '-fsyntax-only', 'probe.cpp'], options)).status === 0;
    },
    temporaryRoot,
  );
}
