/** What the files of a package say of each other, read to be compared. */
import type { PackageManifest } from '../emit/package.ts';
import type { FoundDefinition } from '../emit/readDefinition.ts';
import { tensorParallelFormat, tensorParallelVersion } from '../emit/tensorParallelFile.ts';
import type { ListedKernel } from './verifyImages.ts';

/** The members of a manifest that are checked against the files. */
export interface ListedFacts {
  readonly kernels: readonly ListedKernel[];
  readonly architectures: readonly string[];
  readonly ranks: unknown;
  readonly tensorParallel: unknown;
}

/**
 * What a definition and a manifest contradict each other in, or what the definition names that the
 * package does not have.
 */
export function misfit(
  { kernels, cubins }: FoundDefinition,
  facts: ListedFacts,
  listed: readonly string[],
): string | undefined {
  const absent = Object.values(cubins).find((path) => !listed.includes(path));
  if (absent !== undefined) return `it names ${absent}, which the package does not have`;
  const unnamed = facts.architectures.find(
    (name) => Object.keys(cubins).length > 0 && !Object.hasOwn(cubins, name),
  );
  if (unnamed !== undefined) return `it names no cubin for ${unnamed}`;
  const names = (of: readonly Pick<ListedKernel, 'name'>[]): string =>
    of
      .map(({ name }) => name)
      .sort()
      .join();
  if (names(kernels) !== names(facts.kernels)) return 'its kernels are not those of the manifest';
  const sources = listed.some((path) => path.startsWith('kernels/'));
  const without = sources ? kernels.find(({ source }) => !listed.includes(source)) : undefined;
  return without && `it names ${without.source}, which the package does not have`;
}

export function factsOf(manifest: PackageManifest): ListedFacts {
  const { kernels, architectures, ranks, tensorParallel } = manifest as unknown as Record<
    string,
    unknown
  >;
  const isKernel = (entry: unknown): entry is ListedKernel =>
    typeof (entry as ListedKernel | null)?.name === 'string' &&
    Array.isArray((entry as ListedKernel).architectures);
  return {
    kernels: Array.isArray(kernels) ? kernels.filter(isKernel) : [],
    architectures: Array.isArray(architectures)
      ? architectures.filter((name) => typeof name === 'string')
      : [],
    ranks,
    tensorParallel,
  };
}

export interface HeadTable {
  readonly ranks: number;
  readonly packages: readonly string[];
  readonly layers: readonly { readonly kvHeads: readonly (readonly number[])[] }[];
}

export function parseTable(text: string | undefined): HeadTable | undefined {
  try {
    const value = JSON.parse(text ?? '') as HeadTable & {
      readonly format?: unknown;
      readonly version?: unknown;
    };
    const isTable =
      value.format === tensorParallelFormat &&
      value.version === tensorParallelVersion &&
      Array.isArray(value.packages);
    return isTable &&
      Array.isArray(value.layers) &&
      value.layers.every(({ kvHeads }) => Array.isArray(kvHeads))
      ? value
      : undefined;
  } catch {
    return undefined;
  }
}
