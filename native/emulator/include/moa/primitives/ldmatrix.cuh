// Four 8x8 matrices of 16-bit elements from shared memory into fragments (PTX ldmatrix .m8n8.x4).
#pragma once
#include <moa/primitives/memory.cuh>

namespace moa {

/// Lane i gives the address of row i & 7 of matrix i >> 3, 16-byte aligned. r[m] holds row lane / 4, columns 2 (lane % 4) and + 1.
MOA_PRIMITIVE void ldmatrixX4(uint32_t (&r)[4], SharedAddress row, emulator::Site site = emulator::Site::current()) {
    emulator::loadMatrices(r, row, emulator::kLdmatrix<false>, site);
}

/// The same, each matrix transposed.
MOA_PRIMITIVE void ldmatrixX4Transposed(uint32_t (&r)[4], SharedAddress row, emulator::Site site = emulator::Site::current()) {
    emulator::loadMatrices(r, row, emulator::kLdmatrix<true>, site);
}

}  // namespace moa
