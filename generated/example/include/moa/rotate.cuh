// RoPE (arXiv 2104.09864) in the NeoX pairing: element i with element i + headDim / 2. The table holds cos and sin of every pair,
// interleaved, for every position: [positions][headDim / 2][2].
#pragma once
#include <moa/primitives/math.cuh>
#include <moa/primitives/memory.cuh>

namespace moa {

/// Rotates two neighbouring pairs: `low` holds elements i, i + 1, `high` their partners; `angles` cos, sin, cos, sin. The roundings are fixed, so that
/// every kernel turns a token to the same bits.
template <class Element>
MOA_DEVICE void rotatePairs(uint32_t& low, uint32_t& high, const Vec16& angles) {
    const float x0 = unpackLow<Element>(low);
    const float x1 = unpackHigh<Element>(low);
    const float y0 = unpackLow<Element>(high);
    const float y1 = unpackHigh<Element>(high);
    const float cos0 = bitsToFloat(angles.w[0]);
    const float sin0 = bitsToFloat(angles.w[1]);
    const float cos1 = bitsToFloat(angles.w[2]);
    const float sin1 = bitsToFloat(angles.w[3]);
    low = packPair<Element>(multiplyAdd(x0, cos0, -(y0 * sin0)), multiplyAdd(x1, cos1, -(y1 * sin1)));
    high = packPair<Element>(multiplyAdd(y0, cos0, x0 * sin0), multiplyAdd(y1, cos1, x1 * sin1));
}

/// Rotates eight pairs: `low` is chunk `chunk` of the row, `high` the chunk of their partners; `table` is the position's row.
template <class Element>
MOA_DEVICE void rotateChunks(Vec16& low, Vec16& high, const float* table, int chunk) {
#pragma unroll
    for (int word = 0; word < 4; ++word) {
        rotatePairs<Element>(low.w[word], high.w[word], loadGlobal(reinterpret_cast<const Vec16*>(table + chunk * 16) + word));
    }
}

}  // namespace moa
