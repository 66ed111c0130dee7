import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { architectureNumber } from '../arch/spelling.ts';
import { errorCode } from '../emit/diskDiagnostics.ts';
import { DiagnosticError } from '../util/diagnostics.ts';
import { fatbinProblem } from './checkImage.ts';
import { readOutput, type KernelSource } from './compileKernel.ts';
import type { Target } from './architectures.ts';
import type { Nvcc } from './findNvcc.ts';
import { nvccFlags, runTool, type BuildSettings } from './nvcc.ts';
import { toolchainFailure } from './toolchainCodes.ts';
import { withBuildFolder } from './withBuildFolder.ts';

/** The code of one architecture for a fatbin. */
export interface FatbinImage {
  readonly architecture: string;
  readonly kind: 'cubin' | 'ptx';
  readonly bytes: Uint8Array;
}

const what = 'the fatbin';

/** Whether code for these goes into a fatbin besides: several architectures, or PTX. */
export const needsFatbin = (targets: readonly Target[]): boolean => targets.length > 1 || targets.some(({ ptx }) => ptx);

/** Throws MOA4109 where the toolkit has nothing to combine cubins with. */
export function checkFatbinary({ fatbinary }: Nvcc): void {
  if (fatbinary !== undefined) return;
  throw toolchainFailure('MOA4109', ...noFatbinary);
}

const noFatbinary = ['the CUDA toolkit has no fatbinary', 'install the whole toolkit, or write one cubin for each architecture'] as const;

/**
 * Combines the code of several architectures into one fatbin, in the order of the architectures, so that the same images give the
 * same bytes. Without fatbinary in the toolkit, `fallback` is compiled again by nvcc; throws MOA4109 when it is undefined.
 */
export async function linkFatbin(nvcc: Nvcc, images: readonly FatbinImage[], settings: BuildSettings, fallback?: KernelSource): Promise<Uint8Array> {
  const sorted = [...images].sort((a, b) => parseInt(architectureNumber(a.architecture), 10) - parseInt(architectureNumber(b.architecture), 10) || a.architecture.length - b.architecture.length || (a.kind < b.kind ? -1 : 1));
  if (nvcc.fatbinary === undefined) return compileFatbin(nvcc, sorted, settings, fallback);
  const tool = nvcc.fatbinary;
  return withBuildFolder(
    new Map(),
    async (folder) => {
      const specs = sorted.map(({ architecture, kind, bytes }, index) => {
        const file = `image${index}.${kind}`;
        write(join(folder, file), bytes);
        return `--image3=kind=${kind === 'cubin' ? 'elf' : 'ptx'},sm=${architectureNumber(architecture)},file=${file}`;
      });
      try {
        await runTool(tool, ['--create=all.fatbin', '-64', ...specs], what, folder, settings);
      } catch (error) {
        if (error instanceof DiagnosticError && error.diagnostics[0]?.code === 'MOA4101') {
          throw toolchainFailure('MOA4109', `fatbinary could not combine the cubins: ${error.diagnostics[0].message}`);
        }
        throw error;
      }
      return readOutput(join(folder, 'all.fatbin'), what, fatbinProblem);
    },
    settings.temporaryRoot,
  );
}

function compileFatbin(nvcc: Nvcc, images: readonly FatbinImage[], settings: BuildSettings, source: KernelSource | undefined): Promise<Uint8Array> {
  if (source === undefined) throw toolchainFailure('MOA4109', ...noFatbinary);
  const cubins = images.filter(({ kind }) => kind === 'cubin');
  const targets = cubins.map(({ architecture }) => ({ name: architecture, ptx: images.some((image) => image.kind === 'ptx' && image.architecture === architecture) }));
  return withBuildFolder(
    source.files,
    async (folder) => {
      const flags = nvccFlags({ kind: 'fatbin', targets }, source.includeFolders);
      await runTool(nvcc.path, [...flags, source.path, '-o', 'all.fatbin'], what, folder, settings);
      return readOutput(join(folder, 'all.fatbin'), what, fatbinProblem);
    },
    settings.temporaryRoot,
  );
}

function write(path: string, bytes: Uint8Array): void {
  try {
    writeFileSync(path, bytes, { flag: 'wx' });
  } catch (error) {
    const code = errorCode(error);
    if (code === undefined) throw error;
    throw toolchainFailure('MOA4108', `${path} could not be written (${code})`, 'free some space there, or set TMPDIR to another folder');
  }
}
