// A transposition within a warp (PTX movmatrix .m8n8.trans.b16, sm_75).
#pragma once
#include <cstdint>
#include <moa/primitives/kernel.cuh>

namespace moa {

/// An 8x8 matrix of 16-bit elements, of which each lane holds row lane / 4, columns 2 (lane % 4) and + 1; returns its part of the transposed one.
MOA_DEVICE uint32_t transposeMatrix(uint32_t pair) {
    uint32_t result;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(pair));
    return result;
}

}  // namespace moa
