// How many registers a thread has, changed while the kernel runs (PTX setmaxnreg, sm_90a). By all warps of a warpgroup, in a kernel that was
// given a block size and one block per SM; `kCount` is a multiple of 8 from 24 to 256. Here nobody waits for registers: they are counted when the
// block ends.
#pragma once
#include <moa/primitives/kernel.cuh>

namespace moa {

/// Takes registers, and waits until others have given them.
template <int kCount>
MOA_PRIMITIVE void raiseRegisters(emulator::Site site = emulator::Site::current()) {
    static_assert(kCount >= 24 && kCount <= 256 && kCount % 8 == 0);
    emulator::arriveWith(emulator::kRaiseRegisters, kCount, 0, site);
}

/// Gives registers up.
template <int kCount>
MOA_PRIMITIVE void lowerRegisters(emulator::Site site = emulator::Site::current()) {
    static_assert(kCount >= 24 && kCount <= 256 && kCount % 8 == 0);
    emulator::arriveWith(emulator::kLowerRegisters, kCount, 0, site);
}

}  // namespace moa
