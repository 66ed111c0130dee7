// Barriers of a block, of some of its warps, and of one warp.
#pragma once
#include <moa/primitives/kernel.cuh>

namespace moa {

/// All threads of the block meet; memory is visible among them (PTX bar.sync).
MOA_DEVICE void blockBarrier() { __syncthreads(); }
/// `threads` threads of the block meet, whole warps of it, at one line of the source and at one of 15 barriers: `id` is 1 to 15. Memory is
/// visible among them (PTX bar.sync a, b).
MOA_DEVICE void namedBarrier(int id, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
/// The same for threads that need not wait: they count as arrived, and go on (PTX bar.arrive a, b). Those who wait see what they wrote before.
MOA_DEVICE void namedBarrierArrive(int id, int threads) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
/// All 32 lanes of the warp meet; memory is visible among them (PTX bar.warp.sync).
MOA_DEVICE void warpBarrier() { __syncwarp(); }

}  // namespace moa
