import type { KernelDefinition } from '../ir/planDefinition.ts';
import type { Architecture } from './arch.ts';
import { architectures, findArchitecture, runsOn } from './registry.ts';
import { architectureName, withoutSuffix } from './spelling.ts';

/** Machine code of a package: for which architecture, whether as PTX too, and the most shared memory that a block of its kernels takes, in bytes. */
export interface PackagedCode {
  readonly architecture: string;
  readonly ptx: boolean;
  readonly sharedBytes: number;
}

/**
 * The machine code of `kernels` for each of `names`.
 * @param ptx of these it is there as PTX too
 */
export function packagedCodes(
  kernels: readonly Pick<KernelDefinition, 'architectures' | 'sharedBytes'>[],
  names: readonly string[],
  ptx: readonly string[] = [],
): readonly PackagedCode[] {
  return names.map((architecture) => {
    const own = kernels.filter(({ architectures: made }) => made.includes(architecture));
    const sharedBytes = Math.max(0, ...own.map((kernel) => kernel.sharedBytes));
    return { architecture, ptx: ptx.includes(architecture), sharedBytes };
  });
}

/** What a GPU would run of a package. */
export interface Choice {
  readonly code: PackagedCode;
  /** As it is, or compiled by the driver from PTX. */
  readonly as: 'cubin' | 'ptx';
}

/** A compute capability as documents print it: `8.6`. */
export const capabilityText = ([major, minor]: readonly [number, number]): string => `${major}.${minor}`;

/**
 * What a GPU of this compute capability can run, the best first: cubins of its newest version with its own instructions, then PTX of the newest. A block may ask for
 * `sharedBytesPerBlock` bytes: code that needs more comes last of all, so the first one fits, where one does.
 */
export function choicesFor(codes: readonly PackagedCode[], computeCapability: readonly [number, number], sharedBytesPerBlock: number): readonly Choice[] {
  const known = architectures.toReversed().flatMap((architecture) => codes.filter((code) => code.architecture === architecture.name).map((code) => ({ architecture, code })));
  const cubins = known.filter(({ architecture }) => runsOn(architecture, computeCapability)).map(({ code }): Choice => ({ code, as: 'cubin' }));
  const ptx = known.filter(({ architecture, code }) => code.ptx && isNewer(computeCapability, architecture)).map(({ code }): Choice => ({ code, as: 'ptx' }));
  const all = [...cubins, ...ptx];
  const fits = ({ code }: Choice): boolean => !(code.sharedBytes > sharedBytesPerBlock);
  return [...all.filter(fits), ...all.filter((choice) => !fits(choice))];
}

/** Whether the driver compiles PTX of `architecture` for a GPU: from the same compute capability on. */
function isNewer([major, minor]: readonly [number, number], { name, computeCapability: [from, fromMinor] }: Architecture): boolean {
  return name === withoutSuffix(name) && (major > from || (major === from && minor >= fromMinor));
}

/** The compute capabilities, of those that we know, for which a package has code that fits their blocks: `['8.0', '8.7']`. */
export function served(codes: readonly PackagedCode[]): readonly string[] {
  return knownGpus().flatMap(({ computeCapability, sharedBytesPerBlock }) => {
    const [best] = choicesFor(codes, computeCapability, sharedBytesPerBlock);
    return best !== undefined && best.code.sharedBytes <= sharedBytesPerBlock ? [capabilityText(computeCapability)] : [];
  });
}

/** GPUs that would run a package's code, but for the shared memory of a block: `['8.6', '8.9']` of a package for sm_80. */
export function tooSmall(codes: readonly PackagedCode[]): readonly string[] {
  const runs = served(codes);
  return knownGpus()
    .filter(({ computeCapability, sharedBytesPerBlock }) => choicesFor(codes, computeCapability, sharedBytesPerBlock).length > 0 && !runs.includes(capabilityText(computeCapability)))
    .map(({ computeCapability }) => capabilityText(computeCapability));
}

/** What to compile for a GPU: its own architecture, with its own instructions where there are such, else the newest that runs on it. */
export function architectureFor(computeCapability: readonly [number, number]): string | undefined {
  const exact = findArchitecture(architectureName(computeCapability));
  return exact?.name ?? architectures.findLast((architecture) => runsOn(architecture, computeCapability))?.name;
}

const knownGpus = (): readonly Architecture[] => architectures.filter(({ name }) => name === withoutSuffix(name));
