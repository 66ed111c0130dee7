// The tensor-core product of sm_80 (PTX mma.sync m16n8k16), fp32 accumulation.
#pragma once
#include <moa/emulator/matrixUnit.hpp>
#include <moa/primitives/elements.cuh>
#include <moa/primitives/kernel.cuh>

namespace moa {

/// d += a b, with a 16x16 (row-major fragments), b 16x8 (column-major), d 16x8. Lane (g, t) = (lane / 4, lane % 4) holds
/// d[0..1] = (g, 2t..2t+1) and d[2..3] = (g + 8, 2t..2t+1); a[0] = (g, 2t..2t+1), a[1] = (g + 8, 2t..), a[2] = (g, 2t + 8..),
/// a[3] = (g + 8, 2t + 8..); b0 = (k = 2t..2t+1, n = g), b1 = (k = 2t + 8.., n = g).
template <class Element>
MOA_PRIMITIVE void mma16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                            emulator::Site site = emulator::Site::current()) {
    emulator::Engine& engine = emulator::engine();
    const emulator::Lane& lane = *engine.running;
    emulator::Warp& warp = *lane.warp;
    const uint32_t g = lane.lane / 4, t = lane.lane % 4;
    auto& input = warp.input.mma;
    input.a[g][t] = a[0];
    input.a[g + 8][t] = a[1];
    input.a[g][t + 4] = a[2];
    input.a[g + 8][t + 4] = a[3];
    input.b[2 * t][g] = static_cast<uint16_t>(b0);
    input.b[2 * t + 1][g] = static_cast<uint16_t>(b0 >> 16);
    input.b[2 * t + 8][g] = static_cast<uint16_t>(b1);
    input.b[2 * t + 9][g] = static_cast<uint16_t>(b1 >> 16);
    std::memcpy(&input.d[g][2 * t], &d[0], 2 * sizeof(float));
    std::memcpy(&input.d[g + 8][2 * t], &d[2], 2 * sizeof(float));
    emulator::arrive(engine, emulator::kMma<Element>, site);
    std::memcpy(&d[0], &warp.output.d[g][2 * t], 2 * sizeof(float));
    std::memcpy(&d[2], &warp.output.d[g + 8][2 * t], 2 * sizeof(float));
}

}  // namespace moa
