/**
 * Whether the machine code of a package is whole, beyond its hashes: what nvcc or a copy cut off
 * has hashes too.
 */
import { cubinPath } from '../emit/emitKernels.ts';
import { cubinProblem, fatbinProblem } from './checkImage.ts';

export interface ImageProblem {
  /** In the package. */
  readonly path: string;
  /** `it has no kernel moa_decode_...`. */
  readonly problem: string;
}

/** A kernel as a manifest lists it. */
export interface ListedKernel {
  readonly name: string;
  readonly architectures: readonly string[];
}

const machineCode = /\.(cubin|fatbin|ptx)$/;

export const isMachineCode = (path: string): boolean => machineCode.test(path);

/**
 * What is wrong with the images among `files`, by path: damaged or cut off, without a kernel of its
 * architecture, or, of a fatbin, without one of the cubins.
 */
export function verifyImages(
  files: ReadonlyMap<string, Uint8Array>,
  kernels: readonly ListedKernel[],
  architectures: readonly string[],
): readonly ImageProblem[] {
  const architectureOf = new Map(architectures.map((name) => [cubinPath(name), name]));
  return [...files].flatMap(([path, bytes]): readonly ImageProblem[] => {
    const problem = problemOf(path, bytes);
    return problem === undefined ? [] : [{ path, problem }];
  });

  function problemOf(path: string, bytes: Uint8Array): string | undefined {
    if (path.endsWith('.cubin')) {
      const architecture = architectureOf.get(path);
      if (architecture === undefined) return 'the manifest names no such architecture';
      return cubinProblem(
        bytes,
        kernels
          .filter((kernel) => kernel.architectures.includes(architecture))
          .map(({ name }) => name),
      );
    }
    if (!path.endsWith('.fatbin')) return undefined;
    return fatbinProblem(bytes) ?? missingCubin(bytes);
  }

  /** A fatbin holds the bytes of the cubins, one after the other. */
  function missingCubin(fatbin: Uint8Array): string | undefined {
    const whole = Buffer.from(fatbin.buffer, fatbin.byteOffset, fatbin.byteLength);
    const missing = [...files].find(
      ([path, cubin]) => architectureOf.has(path) && whole.indexOf(cubin) < 0,
    );
    return missing && `it does not hold ${missing[0]}`;
  }
}
