import type { Architecture } from './arch.ts';

const KiB = 1024;

/**
 * CUDA C++ Programming Guide 13.0, section "Compute Capabilities", table "Technical Specifications per Compute Capability":
 * maximum shared memory per thread block (opt-in), per multiprocessor, and registers per multiprocessor.
 */
function mmaSync(name: string, computeCapability: readonly [number, number], blockKiB: number, smKiB: number): Architecture {
  return Object.freeze({
    name,
    computeCapability,
    family: 'mmaSync',
    sharedBytesPerBlock: blockKiB * KiB,
    sharedBytesPerSm: smKiB * KiB,
    registersPerSm: 64 * KiB,
  } as const);
}

/** Every architecture that the mma.sync kernels are compiled for, rising. */
export const architectures: readonly Architecture[] = Object.freeze([
  mmaSync('sm_80', [8, 0], 163, 164),
  mmaSync('sm_86', [8, 6], 99, 100),
  mmaSync('sm_87', [8, 7], 163, 164),
  mmaSync('sm_89', [8, 9], 99, 100),
  mmaSync('sm_90', [9, 0], 227, 228),
  mmaSync('sm_100', [10, 0], 227, 228),
  mmaSync('sm_103', [10, 3], 227, 228),
  mmaSync('sm_120', [12, 0], 99, 100),
  mmaSync('sm_121', [12, 1], 99, 100),
]);

/** The architecture nvcc calls `name`, if the kernels support it. */
export function findArchitecture(name: string): Architecture | undefined {
  return architectures.find((architecture) => architecture.name === name);
}

/** The architecture of a GPU, by its compute capability: a cubin runs on its own major version, from its own minor version up. */
export function runsOn(architecture: Architecture, computeCapability: readonly [number, number]): boolean {
  const [major, minor] = architecture.computeCapability;
  return major === computeCapability[0] && minor <= computeCapability[1];
}
