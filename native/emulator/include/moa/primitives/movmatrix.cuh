// A transposition within a warp.
#pragma once
#include <moa/primitives/kernel.cuh>

namespace moa {

/// An 8x8 matrix of 16-bit elements, of which each lane holds row lane / 4, columns 2 (lane % 4) and + 1; returns its part of the transposed one
/// (PTX movmatrix .m8n8.trans.b16).
MOA_PRIMITIVE uint32_t transposeMatrix(uint32_t pair, emulator::Site site = emulator::Site::current()) {
    return emulator::exchange(emulator::kTranspose, pair, 0, site);
}

}  // namespace moa
