import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../toolchain/cacheFolder.ts';
import type { Variables } from '../toolchain/compilerEnvironment.ts';
import { findHostCompiler, type HostCompiler } from '../toolchain/findHostCompiler.ts';
import { buildHostKernel } from '../toolchain/hostKernel.ts';
import { KernelCache } from '../toolchain/kernelCache.ts';
import { environmentVariables } from '../util/debug.ts';
import { DiagnosticError } from '../util/diagnostics.ts';
import { RuntimeError } from './runtimeError.ts';

const root = new URL('../../', import.meta.url);
const emulatorHeaders = fileURLToPath(new URL('native/emulator/include', root));
const emulatorAbi = fileURLToPath(new URL('native/emulator/abi.h', root));
const emulatorEngine = fileURLToPath(new URL('native/emulator/engine.cpp', root));
const kernelHeaders = fileURLToPath(new URL('templates/include', root));

const compilers = new Map<string, Promise<HostCompiler>>();

/** The host's C++ compiler, looked for once: to ask one who it is takes a process, and a package has many kernels. */
function hostCompiler(variables: Variables, cache: KernelCache): Promise<HostCompiler> {
  const key = JSON.stringify([variables['CXX'], variables['PATH']]);
  let found = compilers.get(key);
  if (found === undefined) {
    found = findHostCompiler(variables, undefined, cache);
    compilers.set(key, found);
    found.catch(() => compilers.delete(key));
  }
  return found;
}

/**
 * The emulator's library of an emitted kernel: the `.cu` as it is, compiled by the host's C++ compiler against the emulator's primitives.
 * Built once; the cache is keyed by every byte that goes in.
 * @param headers the folder of the kernels' own headers; by default the compiler's, of which packages hold copies
 * @throws RuntimeError MOA6205 when there is no C++20 compiler or it fails
 */
export async function buildEmulatorLibrary(sourcePath: string, kernelName: string, headers: string = kernelHeaders): Promise<string> {
  const variables = environmentVariables();
  try {
    const cache = KernelCache.open(cacheFolder(variables));
    const compiler = await hostCompiler(variables, cache);
    const [text, engineText] = await Promise.all([readFile(sourcePath, 'utf8'), readFile(emulatorEngine, 'utf8')]);
    const engine = { name: 'engine', text: engineText, includeFolders: [emulatorHeaders], furtherInputs: [emulatorAbi] };
    const source = { name: kernelName, text, includeFolders: [headers, emulatorHeaders], furtherInputs: [emulatorAbi], engine };
    return (await buildHostKernel(compiler, source, cache, { variables })).path;
  } catch (error) {
    if (!(error instanceof DiagnosticError)) throw error;
    throw new RuntimeError('emulatorBuild', `the emulator's library of ${kernelName} could not be built: ${error.message}`, '', error);
  }
}
