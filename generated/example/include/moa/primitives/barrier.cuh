// Barriers of a block and of a warp.
#pragma once
#include <moa/primitives/kernel.cuh>

namespace moa {

/// All threads of the block meet; memory is visible among them (PTX bar.sync).
MOA_DEVICE void blockBarrier() { __syncthreads(); }
/// All 32 lanes of the warp meet; memory is visible among them (PTX bar.warp.sync).
MOA_DEVICE void warpBarrier() { __syncwarp(); }

}  // namespace moa
