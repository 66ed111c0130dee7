import type { Architecture, KernelFamily } from './arch.ts';
import { withoutSuffix } from './spelling.ts';

const KiB = 1024;

/**
 * CUDA C++ Programming Guide 13.0, section "Compute Capabilities", table "Technical Specifications per Compute Capability":
 * maximum shared memory per thread block (opt-in), per multiprocessor, and registers per multiprocessor.
 */
function architecture(family: KernelFamily, name: string, computeCapability: readonly [number, number], blockKiB: number, smKiB: number): Architecture {
  return Object.freeze({
    name,
    computeCapability,
    family,
    dependentLaunch: computeCapability[0] >= 9,
    sharedBytesPerBlock: blockKiB * KiB,
    sharedBytesPerSm: smKiB * KiB,
    registersPerSm: 64 * KiB,
  });
}

/** Every architecture that kernels are compiled for, rising. */
export const architectures: readonly Architecture[] = Object.freeze([
  architecture('portable', 'sm_80', [8, 0], 163, 164),
  architecture('portable', 'sm_86', [8, 6], 99, 100),
  architecture('portable', 'sm_87', [8, 7], 163, 164),
  architecture('portable', 'sm_89', [8, 9], 99, 100),
  architecture('portable', 'sm_90', [9, 0], 227, 228),
  architecture('hopper', 'sm_90a', [9, 0], 227, 228),
  architecture('portable', 'sm_100', [10, 0], 227, 228),
  architecture('portable', 'sm_103', [10, 3], 227, 228),
  architecture('portable', 'sm_120', [12, 0], 99, 100),
  architecture('portable', 'sm_121', [12, 1], 99, 100),
]);

/** The architecture nvcc calls `name`, if the kernels support it. */
export function findArchitecture(name: string): Architecture | undefined {
  return architectures.find((known) => known.name === name);
}

/**
 * Whether a cubin for `architecture` runs on a GPU of this compute capability: on its own major version, from its own minor version up; with a
 * suffix, as in `sm_90a`, on its own version alone.
 */
export function runsOn({ name, computeCapability: [major, minor] }: Architecture, [deviceMajor, deviceMinor]: readonly [number, number]): boolean {
  return major === deviceMajor && (name === withoutSuffix(name) ? minor <= deviceMinor : minor === deviceMinor);
}

/** Of the architectures that a GPU runs, by name, the one it runs best: of its newest version, with its own instructions. */
export function bestFor(names: readonly string[], computeCapability: readonly [number, number]): string | undefined {
  const order = architectures.filter((known) => names.includes(known.name) && runsOn(known, computeCapability));
  return order.at(-1)?.name;
}
