// The tensor-core product of sm_80 (PTX mma.sync m16n8k16), fp32 accumulation.
#pragma once
#include <moa/primitives/elements.cuh>
#include <moa/primitives/kernel.cuh>

namespace moa {

/// d += a b, with a 16x16 (row-major fragments), b 16x8 (column-major), d 16x8. Lane (g, t) = (lane / 4, lane % 4) holds
/// d[0..1] = (g, 2t..2t+1) and d[2..3] = (g + 8, 2t..2t+1); a[0] = (g, 2t..2t+1), a[1] = (g + 8, 2t..), a[2] = (g, 2t + 8..),
/// a[3] = (g + 8, 2t + 8..); b0 = (k = 2t..2t+1, n = g), b1 = (k = 2t + 8.., n = g).
template <class Element>
MOA_PRIMITIVE void mma16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                            emulator::Site site = emulator::Site::current()) {
    emulator::multiplyFragments(d, a, b0, b1, emulator::kMma<Element>, site);
}

}  // namespace moa
