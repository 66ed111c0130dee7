// What opens a kernel, for nvcc. The emulator has a header of the same name; the include path chooses.
#pragma once

/// A device function that is always inlined.
#define MOA_DEVICE __device__ __forceinline__

/// Opens the kernel `name`, whose one parameter is `const Params& p` in constant memory. `threads` is the block size and
/// `minBlocksPerSm` the blocks that must fit on one SM at once; together they bound the registers.
#define MOA_KERNEL(name, Params, threads, minBlocksPerSm) \
    extern "C" __global__ void __launch_bounds__(threads, minBlocksPerSm) name(const __grid_constant__ Params p)
