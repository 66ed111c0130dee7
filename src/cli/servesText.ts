import type { Architecture } from '../arch/arch.ts';
import { findArchitecture, runsOn } from '../arch/registry.ts';
import { architectureFor, packagedCodes, tooSmall } from '../arch/serves.ts';
import type { KernelNode } from '../ir/nodes.ts';
import type { Target } from '../toolchain/architectures.ts';

/** Which GPUs a package is for, and which would run its machine code but for the shared memory of a block, with what to add for those. */
export function servesText(kernels: readonly KernelNode[], targets: readonly Target[], serves: readonly string[]): string {
  const ptx = targets.filter((target) => target.ptx);
  const namesOf = (list: readonly Target[]): string[] => list.map(({ name }) => name);
  const small = tooSmall(packagedCodes(kernels, namesOf(targets), namesOf(ptx)));
  const says = `for GPUs of compute capability ${serves.length === 0 ? 'none that is known' : serves.join(', ')}`;
  if (small.length === 0) return says;
  // One architecture serves what is newer and of its generation: rising, so that the first is taken.
  const added: Architecture[] = [];
  for (const capability of small.map((text) => text.split('.').map(Number) as [number, number])) {
    const own = findArchitecture(architectureFor(capability) ?? '');
    if (own !== undefined && !added.some((architecture) => runsOn(architecture, capability))) added.push(own);
  }
  return `${says}; not ${small.join(', ')}, whose blocks have too little shared memory for it: add ${added.map(({ name }) => name).join(', ')} to --arch`;
}
