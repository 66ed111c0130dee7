// How many registers a thread has, changed while the kernel runs (PTX setmaxnreg, sm_90a). By all warps of a warpgroup, in a kernel that was
// given a block size and one block per SM; `kCount` is a multiple of 8 from 24 to 256.
#pragma once
#include <moa/primitives/kernel.cuh>

namespace moa {

/// Takes registers, and waits until others have given them.
template <int kCount>
MOA_DEVICE void raiseRegisters() {
    static_assert(kCount >= 24 && kCount <= 256 && kCount % 8 == 0);
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}

/// Gives registers up.
template <int kCount>
MOA_DEVICE void lowerRegisters() {
    static_assert(kCount >= 24 && kCount <= 256 && kCount % 8 == 0);
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

}  // namespace moa
