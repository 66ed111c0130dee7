import type { KernelDefinition } from './planDefinition.ts';

/** The most dynamic shared memory that a block of these kernels asks for, of those for `architecture`, in bytes. */
export function mostSharedBytes(kernels: readonly Pick<KernelDefinition, 'architectures' | 'sharedBytes'>[], architecture: string): number {
  return Math.max(0, ...kernels.filter(({ architectures }) => architectures.includes(architecture)).map(({ sharedBytes }) => sharedBytes));
}
