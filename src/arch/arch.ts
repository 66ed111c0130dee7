/** Architectures that run the same variants of kernels (`families.ts`). */
export type KernelFamily = 'portable' | 'hopper';

/** What a kernel may use of a GPU architecture. Numbers are data with a source; templates branch on features, never on a name. */
export interface Architecture {
  /** The name nvcc knows it by. */
  readonly name: string;
  readonly computeCapability: readonly [number, number];
  /** `portable`: `mma.sync` and `cp.async`. `hopper`: Hopper's own instructions too (`wgmma`, bulk copies, mbarriers). */
  readonly family: KernelFamily;
  /** Whether a launch may begin before the one before it has ended (PTX griddepcontrol). */
  readonly dependentLaunch: boolean;
  /** The most dynamic shared memory of one block, in bytes. */
  readonly sharedBytesPerBlock: number;
  /** Shared memory of one SM, in bytes. */
  readonly sharedBytesPerSm: number;
  /** 32-bit registers of one SM. */
  readonly registersPerSm: number;
}
