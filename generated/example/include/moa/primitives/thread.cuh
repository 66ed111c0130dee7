// Who am I: positions of a thread in its warp, block and grid. Grids and blocks are one-dimensional.
#pragma once
#include <moa/primitives/kernel.cuh>

namespace moa {

MOA_DEVICE int threadIndex() { return static_cast<int>(threadIdx.x); }
MOA_DEVICE int laneIndex() { return static_cast<int>(threadIdx.x & 31); }
/// The warp's number in its block, the same in all lanes (a shuffle, so that the compiler knows it too).
MOA_DEVICE int warpIndex() { return __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x >> 5), 0); }
MOA_DEVICE int blockIndex() { return static_cast<int>(blockIdx.x); }
MOA_DEVICE int gridSize() { return static_cast<int>(gridDim.x); }


/// The same value, of which the compiler knows nothing: what is computed from it stays where it is written.
MOA_DEVICE int opaque(int value) {
    asm volatile("" : "+r"(value));
    return value;
}

}  // namespace moa
