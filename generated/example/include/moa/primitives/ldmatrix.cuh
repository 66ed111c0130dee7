// Four 8x8 matrices of 16-bit elements from shared memory into fragments (PTX ldmatrix .m8n8.x4).
#pragma once
#include <moa/primitives/memory.cuh>

namespace moa {

/// Lane i gives the address of row i & 7 of matrix i >> 3, 16-byte aligned. r[m] holds row lane / 4, columns 2 (lane % 4) and + 1.
MOA_DEVICE void ldmatrixX4(uint32_t (&r)[4], SharedAddress row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row)
                 : "memory");
}

/// The same, each matrix transposed.
MOA_DEVICE void ldmatrixX4Transposed(uint32_t (&r)[4], SharedAddress row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row)
                 : "memory");
}

}  // namespace moa
