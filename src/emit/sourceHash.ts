import { sha256 } from './package.ts';
import { kernelSourcePath } from './planDefinition.ts';

/**
 * The hash of a kernel's source and of every header it may include: what a receipt of a GPU run vouches for.
 * @param sources CUDA sources of a package by path, as `emitKernels` gives them
 */
export function sourceHash(sources: ReadonlyMap<string, string>, kernel: string): string {
  const own = kernelSourcePath(kernel);
  const parts = [...sources].filter(([path]) => path === own || path.startsWith('include/')).sort(([a], [b]) => (a < b ? -1 : 1));
  return sha256(JSON.stringify(parts));
}
