// A KV page in E4M3 as decode's tensor-core path reads it: half the bytes, with one scale for the keys and one for the values of a head. Bytes
// become fp16 in registers, exactly, whatever the session's type. Pages, as they lie in memory and in shared memory:
//
//   page   = K, then V: 64 rows of headDim bytes each
//   row    = 16-byte chunks; of headDim 64, two rows share 128 bytes, and of headDim 256 the second half lies 64 rows further on
//   swizzle: chunk c of a 128-byte line l is stored at chunk c ^ (l & 7)
#pragma once
#include <moa/e4m3.cuh>
#include <moa/page.cuh>
#include <moa/primitives/ldmatrix.cuh>

namespace moa {

template <int kHeadDim, class Element>
struct Cache8 {
    static_assert(kHeadDim == 64 || kHeadDim == 128 || kHeadDim == 256, "lines of 128 bytes hold whole rows, or halves of them");
    static constexpr int kHalfBytes = kPageTokens * kHeadDim;  ///< of keys, and of values behind them
    static constexpr int kPageBytes = 2 * kHalfBytes;
    /// Pieces of a page that hold all 64 rows, one after the other: of keys, and as many of values.
    static constexpr int kBlocks = kHeadDim > 128 ? 4 : 2;
    static constexpr int kBlockBytes = kPageBytes / kBlocks;
    /// Eight elements of a row.
    using Chunk = Vec8;
    /// What is multiplied.
    using Operand = Half;

    /// `chunk` counts eight elements.
    static MOA_DEVICE constexpr int chunkOffset(int row, int chunk) { return wideOffset(row, chunk / 2) + chunk % 2 * 8; }

    /// The row that the 16 bytes at `offset` of a block belong to.
    static MOA_DEVICE constexpr int rowAt(int offset) {
        const int line = offset / kBlockRowBytes;
        return line * kLineRows + ((offset / kChunkBytes % 8) ^ (line & 7)) / kRowChunks;
    }

    template <class Params>
    static MOA_DEVICE Chunk encode(const Vec16& elements, const Params& p, int kvHeads, int head, bool isValue) {
        return encodeE4m3<Element>(elements, 1.0f / loadGlobal(p.kvScales + (isValue ? kvHeads : 0) + head));
    }

    /// What scores and outputs are multiplied by, beside the scale of the scores.
    template <class Params>
    static MOA_DEVICE float keyScale(const Params& p, int head) {
        return loadGlobal(p.kvScales + head);
    }
    template <class Params>
    static MOA_DEVICE float valueScale(const Params& p, int kvHeads, int head) {
        return loadGlobal(p.kvScales + kvHeads + head);
    }

    /// The first of the two neighbours among a head's elements that a lane holds in register `part` of the B fragment of k-step `step` of K Q^T: a
    /// lane reads four bytes of a key, so its four elements of a step are neighbours. Sums over elements do not mind their order.
    static MOA_DEVICE int column(int step, int part) { return step * 16 + 4 * (laneIndex() & 3) + part * 2; }

    /// A fragments of K Q^T for 16 keys from `row` on.
    static MOA_DEVICE void keyFragments(uint32_t (&a)[kHeadDim / 16][4], SharedAddress keys, int row) {
        const int lane = laneIndex();
#pragma unroll
        for (int step = 0; step < kHeadDim / 16; step += 2) {
            uint32_t bytes[4];
            ldmatrixX4(bytes, keys + wideOffset(row + (lane & 15), step + (lane >> 4)));
#pragma unroll
            for (int part = 0; part < 4; ++part) {
                a[step + part / 2][part % 2] = decodeE4m3(bytes[part]);
                a[step + part / 2][part % 2 + 2] = decodeE4m3(bytes[part] >> 16);
            }
        }
    }

    /// A fragments of V^T P^T for 16 keys from `row` on: tile after tile of 16 output elements. Transposition moves pairs of bytes, so a lane gets the
    /// elements 2g and 2g + 1, which become rows g and g + 8 of the tile.
    static MOA_DEVICE void valueFragments(uint32_t (&a)[kHeadDim / 16][4], SharedAddress values, int row) {
        const int lane = laneIndex();
#pragma unroll
        for (int tile = 0; tile < kHeadDim / 16; tile += 2) {
            uint32_t bytes[4];
            ldmatrixX4Transposed(bytes, values + wideOffset(row + (lane & 15), tile + (lane >> 4)));
#pragma unroll
            for (int part = 0; part < 4; ++part) {
                const uint32_t sorted = permuteBytes(bytes[part], 0x3120);
                a[tile + part / 2][part % 2 * 2] = decodeE4m3(sorted);
                a[tile + part / 2][part % 2 * 2 + 1] = decodeE4m3(sorted >> 16);
            }
        }
    }

    /// Zeros in the values of the rows from `limit` on, among `count` rows from `row` on; by all lanes of a warp.
    static MOA_DEVICE void clearValues(SharedAddress values, int row, int count, int limit) {
        constexpr int kChunks = kHeadDim / kChunkElements;
        const int first = maximum(row, limit);
        for (int index = laneIndex(); index < (row + count - first) * kChunks; index += 32) {
            storeShared(values + chunkOffset(first + index / kChunks, index % kChunks), Chunk{});
        }
    }

    /// Stores what a lane holds of one head's output tile: accumulators of rows g and g + 8.
    static MOA_DEVICE void storeOutput(SharedAddress row, int tile, float low, float high) {
        storeShared(row + (tile * 16 + 2 * (laneIndex() >> 2)) * 4, Vec8{{floatBits(low), floatBits(high)}});
    }

private:
    static constexpr int kRowChunks = kHeadDim > 128 ? 8 : kHeadDim / 16;  ///< of 16 bytes, in a block
    static constexpr int kLineRows = 8 / kRowChunks;

    /// `chunk` counts 16 elements.
    static MOA_DEVICE constexpr int wideOffset(int row, int chunk) {
        if constexpr (kHeadDim > 128) return chunk / 8 * kBlockBytes + row * kBlockRowBytes + ((chunk % 8 ^ (row & 7)) * kChunkBytes);
        const int line = row / kLineRows;
        return line * kBlockRowBytes + (((row % kLineRows * kRowChunks + chunk) ^ (line & 7)) * kChunkBytes);
    }
};

}  // namespace moa
