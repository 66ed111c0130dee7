// Who am I: positions of a thread in its warp, block and grid. Grids and blocks are one-dimensional.
#pragma once
#include <moa/primitives/kernel.cuh>

namespace moa {

/// PTX %tid.x.
MOA_PRIMITIVE int threadIndex() { return static_cast<int>(emulator::engine().running->thread); }
/// PTX %laneid.
MOA_PRIMITIVE int laneIndex() { return static_cast<int>(emulator::engine().running->lane); }
/// The warp's number in its block. A shuffle on the GPU, so all lanes of the warp must take part, here as there.
MOA_PRIMITIVE int warpIndex(emulator::Site site = emulator::Site::current()) {
    const uint32_t own = emulator::engine().running->warp->index;
    return static_cast<int>(emulator::exchange(emulator::kShuffle, own, 0, site));
}
/// PTX %ctaid.x.
MOA_PRIMITIVE int blockIndex() { return static_cast<int>(emulator::engine().block); }
/// PTX %nctaid.x.
MOA_PRIMITIVE int gridSize() { return static_cast<int>(emulator::engine().launch->gridSize); }

/// The same value. On the GPU it hides where the value comes from, so that the compiler does not keep what depends on it in registers.
MOA_PRIMITIVE int opaque(int value) { return value; }

}  // namespace moa
