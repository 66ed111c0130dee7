// What the matrix unit and its loads do once all lanes have brought their part.
#pragma once
#include <moa/emulator/elementBits.hpp>
#include <moa/emulator/schedule.hpp>
#include <moa/primitives/elements.cuh>

namespace moa::emulator {

MOA_ENGINE void decodePairs(Half, const Word4& pairs, Float4& low, Float4& high) {
    halfToFloat4(pairs & 0xffffu, low);
    halfToFloat4(pairs >> 16, high);
}
MOA_ENGINE void decodePairs(Bfloat16, const Word4& pairs, Float4& low, Float4& high) {
    low = std::bit_cast<Float4>(pairs << 16);
    high = std::bit_cast<Float4>(pairs & 0xffff0000u);
}

/// Decodes 8 elements a step, in order.
template <class Element>
MOA_ENGINE void decode(const void* elements, float* floats, int count) {
    for (int i = 0; i < count; i += 8) {
        Word4 pairs;
        std::memcpy(&pairs, static_cast<const uint16_t*>(elements) + i, sizeof pairs);
        Float4 low, high;
        decodePairs(Element{}, pairs, low, high);
        const Float4 first = __builtin_shufflevector(low, high, 0, 4, 1, 5), second = __builtin_shufflevector(low, high, 2, 6, 3, 7);
        std::memcpy(floats + i, &first, sizeof first);
        std::memcpy(floats + i + 4, &second, sizeof second);
    }
}

/// d += a b of one warp, in float, adding in the order of k.
template <class Element>
MOA_ENTRY void executeMma(Engine& engine, Warp& warp) {
    ++engine.counters.mma;
    const auto& input = warp.input.mma;
    alignas(16) float a[16][16];
    alignas(16) float b[16][8];
    decode<Element>(input.a, &a[0][0], 256);
    decode<Element>(input.b, &b[0][0], 128);
    const auto* const bRows = reinterpret_cast<const Float4(*)[2]>(b);
    const auto* const dRows = reinterpret_cast<const Float4(*)[2]>(input.d);
    auto* const outRows = reinterpret_cast<Float4(*)[2]>(warp.output.d);
    constexpr int kRows = 4;  // rows at a time: 8 sums stay in registers
    for (int row = 0; row < 16; row += kRows) {
        Float4 sums[kRows][2];
        for (int i = 0; i < kRows; ++i)
            for (int half = 0; half < 2; ++half) sums[i][half] = dRows[row + i][half];
        for (int k = 0; k < 16; ++k) {
#pragma GCC unroll 4
            for (int i = 0; i < kRows; ++i) {
                sums[i][0] += a[row + i][k] * bRows[k][0];
                sums[i][1] += a[row + i][k] * bRows[k][1];
            }
        }
        for (int i = 0; i < kRows; ++i)
            for (int half = 0; half < 2; ++half) outRows[row + i][half] = sums[i][half];
    }
}

inline constexpr uint32_t kMatrixRowBytes = 16;
/// Stands for a row whose address was rejected.
inline constexpr uint32_t kPoisonRow[4] = {~0u, ~0u, ~0u, ~0u};

/// Each 8x8 matrix is read in one phase of 8 rows; two rows conflict when they lie in the same four banks.
MOA_ENGINE void countMatrixConflicts(Engine& engine, const Warp& warp) {
    uint32_t extra = 0;
    for (uint32_t matrix = 0; matrix < 4; ++matrix) {
        uint32_t groups = 0, addresses[8];
        for (uint32_t i = 0; i < 8; ++i) {
            // Only differences matter, so offsets in the block's storage serve as addresses (it is aligned to 1024 bytes).
            addresses[i] = static_cast<uint32_t>(warp.input.rows[matrix * 8 + i] - engine.shared);
            groups |= 1u << (addresses[i] / kMatrixRowBytes % 8);
        }
        if (groups != 0xff) extra += extraWavefronts(addresses, 8, 4);
    }
    if (extra != 0) addConflicts(engine, warp.site, warp.index * kLanes, extra, kMatrixRowBytes);
}

template <bool kTransposed>
MOA_ENTRY void executeLdmatrix(Engine& engine, Warp& warp) {
    ++engine.counters.ldmatrix;
    bool complete = true;
    for (const std::byte* row : warp.input.rows) complete &= row != nullptr;
    if (complete) countMatrixConflicts(engine, warp);
    for (uint32_t matrix = 0; matrix < 4; ++matrix) {
        alignas(16) uint32_t rows[8][4];
        for (uint32_t i = 0; i < 8; ++i) {
            const std::byte* const row = warp.input.rows[matrix * 8 + i];
            std::memcpy(rows[i], row == nullptr ? reinterpret_cast<const std::byte*>(kPoisonRow) : row, kMatrixRowBytes);
        }
        for (uint32_t lane = 0; lane < kLanes; ++lane) {
            const uint32_t g = lane / 4, t = lane % 4;
            if constexpr (kTransposed) {  // elements (2t, g) and (2t + 1, g)
                const uint32_t low = rows[2 * t][g / 2] >> 16 * (g % 2), high = rows[2 * t + 1][g / 2] >> 16 * (g % 2);
                warp.output.fragments[lane][matrix] = (low & 0xffffu) | high << 16;
            } else {
                warp.output.fragments[lane][matrix] = rows[g][t];
            }
        }
    }
}

MOA_ENTRY void multiplyFragments(float* d, const uint32_t* a, uint32_t b0, uint32_t b1, const Operation& operation, Site site) {
    Engine& self = engine();
    const Lane& lane = *self.running;
    Warp& warp = *lane.warp;
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
    arrive(self, operation, site);
    std::memcpy(&d[0], &warp.output.d[g][2 * t], 2 * sizeof(float));
    std::memcpy(&d[2], &warp.output.d[g + 8][2 * t], 2 * sizeof(float));
}

MOA_ENTRY void loadMatrices(uint32_t* r, uint32_t row, const Operation& operation, Site site) {
    Engine& self = engine();
    Lane& lane = *self.running;
    lane.warp->input.rows[lane.lane] = resolveShared(self, operation.name, row, kMatrixRowBytes, site);
    arrive(self, operation, site);
    const auto& fragments = lane.warp->output.fragments[lane.lane];
    std::memcpy(r, fragments, sizeof fragments);
}

}  // namespace moa::emulator
