// A KV page of 16-bit elements as decode's tensor-core path reads it.
#pragma once
#include <moa/page.cuh>
#include <moa/primitives/ldmatrix.cuh>

namespace moa {

template <int kHeadDim, class Element>
struct Cache16 {
    static constexpr int kHalfBytes = Page<kHeadDim>::kHalfElements * 2;  ///< of keys, and of values behind them
    static constexpr int kPageBytes = 2 * kHalfBytes;
    /// Pieces of a page that hold all 64 rows, one after the other.
    static constexpr int kBlocks = 2 * kHeadDim / kBlockColumns;
    static constexpr int kBlockBytes = Page<kHeadDim>::kBlockBytes;
    /// Eight elements of a row.
    using Chunk = Vec16;
    /// What is multiplied.
    using Operand = Element;

    static MOA_DEVICE constexpr int chunkOffset(int row, int chunk) { return swizzledOffset<kPageTokens>(row, chunk); }

    /// The row that the 16 bytes at `offset` of a block belong to.
    static MOA_DEVICE constexpr int rowAt(int offset) { return offset / kBlockRowBytes; }

    template <class Params>
    static MOA_DEVICE Chunk encode(const Vec16& elements, const Params&, int, int, bool) {
        return elements;
    }

    /// What scores and outputs are multiplied by, beside the scale of the scores.
    template <class Params>
    static MOA_DEVICE float keyScale(const Params&, int) {
        return 1.0f;
    }
    template <class Params>
    static MOA_DEVICE float valueScale(const Params&, int, int) {
        return 1.0f;
    }

    /// The first of the two neighbours among a head's elements that a lane holds in register `part` of the B fragment of k-step `step` of K Q^T.
    static MOA_DEVICE int column(int step, int part) { return step * 16 + part * 8 + 2 * (laneIndex() & 3); }

    /// A fragments of K Q^T for 16 keys from `row` on.
    static MOA_DEVICE void keyFragments(uint32_t (&a)[kHeadDim / 16][4], SharedAddress keys, int row) {
        const int lane = laneIndex();
#pragma unroll
        for (int step = 0; step < kHeadDim / 16; ++step) ldmatrixX4(a[step], keys + chunkOffset(row + (lane & 15), step * 2 + (lane >> 4)));
    }

    /// A fragments of V^T P^T for 16 keys from `row` on: tile after tile of 16 output elements.
    static MOA_DEVICE void valueFragments(uint32_t (&a)[kHeadDim / 16][4], SharedAddress values, int row) {
        const int lane = laneIndex();
#pragma unroll
        for (int tile = 0; tile < kHeadDim / 16; ++tile) {
            ldmatrixX4Transposed(a[tile], values + chunkOffset(row + (lane & 7) + (lane >> 4) * 8, tile * 2 + ((lane >> 3) & 1)));
        }
    }

    /// Stores what a lane holds of one head's output tile: accumulators of rows g and g + 8.
    static MOA_DEVICE void storeOutput(SharedAddress row, int tile, float low, float high) {
        const SharedAddress at = row + (tile * 16 + (laneIndex() >> 2)) * 4;
        storeShared(at, low);
        storeShared(at + 8 * 4, high);
    }

    /// Zeros in the values of the rows from `limit` on, among `count` rows from `row` on; by all lanes of a warp.
    static MOA_DEVICE void clearValues(SharedAddress values, int row, int count, int limit) {
        constexpr int kChunks = Page<kHeadDim>::kChunks;
        const int first = maximum(row, limit);
        for (int index = laneIndex(); index < (row + count - first) * kChunks; index += 32) {
            storeShared(values + chunkOffset(first + index / kChunks, index % kChunks), Chunk{});
        }
    }
};

}  // namespace moa
