// The tensor-core product of sm_80 (PTX mma.sync m16n8k16), fp32 accumulation.
#pragma once
#include <moa/primitives/elements.cuh>
#include <moa/primitives/kernel.cuh>

namespace moa {

/// d += a b, with a 16x16 (row-major fragments), b 16x8 (column-major), d 16x8. Lane (g, t) = (lane / 4, lane % 4) holds
/// d[0..1] = (g, 2t..2t+1) and d[2..3] = (g + 8, 2t..2t+1).
template <class Element>
MOA_DEVICE void mma16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

template <>
MOA_DEVICE void mma16816<Half>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <>
MOA_DEVICE void mma16816<Bfloat16>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace moa
