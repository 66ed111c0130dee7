// Prefill attention for sm_80: FlashAttention-2's loop (arXiv 2307.08691) over the tiles that a head's mask leaves.
//
//   block        = one work item: kRows query rows of one head of one sequence; a warp owns kRows / kWarps of them
//   each tile    : wait K, start V, S = Q K^T, mask, softmax, wait V, start the next K, O += P V
//                  (the next K starts when S has shrunk to P: before, there are no registers for its addresses)
//   order        : from the diagonal to the left, then the sink, so that the row maximum is finite early
//   shared memory: Q [kRows], K [kColumns], V [kColumns], each as swizzled 64-column blocks; Q's room takes O at the end
#pragma once
#include <moa/page.cuh>
#include <moa/primitives/barrier.cuh>
#include <moa/primitives/count.cuh>
#include <moa/primitives/cpAsync.cuh>
#include <moa/primitives/ldmatrix.cuh>
#include <moa/primitives/mma.cuh>
#include <moa/primitives/thread.cuh>
#include <moa/softmax.cuh>
#include <moa/tiles.cuh>

namespace moa {

/// What one block does. Built by the schedule, longest first (src/passes/schedule).
struct alignas(16) PrefillItem {
    int firstToken;  ///< row of the sequence's first token in q, k, v and out
    int length;      ///< tokens of the sequence
    int queryBlock;  ///< rows kRows * queryBlock .. + kRows - 1
    int head;        ///< query head
    int window;      ///< the head's window in tokens
    int reserved[3];
};

template <class Config, class Mask>
class Prefill {
    using Element = typename Config::Element;
    static constexpr int kHeadDim = Config::kHeadDim;
    static constexpr int kRows = Config::kRows;
    static constexpr int kColumns = Config::kColumns;
    static constexpr int kWarps = Config::kWarps;
    static constexpr int kThreads = kWarps * 32;
    static constexpr int kChunks = kHeadDim / kChunkElements;
    static constexpr int kRowTiles = kRows / kWarps / 16;      ///< 16-row tiles of a warp
    static constexpr int kColumnTiles = kColumns / 8;          ///< 8-key tiles of S
    static constexpr int kOutputTiles = kHeadDim / 8;          ///< 8-column tiles of O
    static constexpr int kLaneRows = kRowTiles * 2;            ///< rows a lane has a part of
    static constexpr int kQueryStride = Config::kQueryHeads * kHeadDim;                      ///< elements between tokens
    static constexpr int kKeyStride = Config::kQueryHeads / Config::kGroupSize * kHeadDim;
    static_assert(kRows == kWarps * kRowTiles * 16, "a warp owns whole 16-row tiles");
    static_assert(kColumns % 16 == 0, "P V takes 16 keys a step");

public:
    static constexpr int kQueryBytes = kRows * kHeadDim * 2;
    static constexpr int kKeyBytes = kColumns * kHeadDim * 2;
    static constexpr int kSharedBytes = kQueryBytes + 2 * kKeyBytes;

    template <class Params>
    static MOA_DEVICE void run(const Params& p) {
        const PrefillItem item = loadItem(p);
        const int length = item.length;
        const int firstRow = item.queryBlock * kRows;
        const int lastRow = minimum(firstRow + kRows, length) - 1;
        const Mask mask{item.window};
        const TileSequence<Mask, kColumns> tiles(mask, firstRow, lastRow);

        const uint16_t* q = p.q + static_cast<int64_t>(item.firstToken) * kQueryStride + item.head * kHeadDim;
        const int64_t keyOffset = static_cast<int64_t>(item.firstToken) * kKeyStride + item.head / Config::kGroupSize * kHeadDim;

        const SharedAddress sharedQ = sharedBase();
        const SharedAddress sharedK = sharedQ + kQueryBytes;
        const SharedAddress sharedV = sharedK + kKeyBytes;

        float output[kRowTiles][kOutputTiles][4];
        float maximum[kLaneRows];
        float sum[kLaneRows];
        clear(output);
#pragma unroll
        for (int row = 0; row < kLaneRows; ++row) {
            maximum[row] = kNegativeInfinity;
            sum[row] = 0.0f;
        }

        int tile = tiles.last();
        loadTile<kRows, kQueryStride>(sharedQ, q, firstRow, length);
        loadTile<kColumns, kKeyStride>(sharedK, p.k + keyOffset, tile * kColumns, length);
        cpAsyncCommit();

#pragma unroll 1
        while (tile >= 0) {
            const int firstKey = tile * kColumns;
            cpAsyncWait<0>();
            blockBarrier();  // K has landed, and all warps are done with V
            loadTile<kColumns, kKeyStride>(sharedV, p.v + keyOffset, firstKey, length);
            cpAsyncCommit();
            if (threadIndex() == 0) count(Counter::tile);

            float scores[kRowTiles][kColumnTiles][4];
            multiplyKeys(scores, sharedQ, sharedK);
            if (!allowsAll(mask, firstRow, lastRow, firstKey, firstKey + kColumns)) applyMask(scores, mask, firstRow, firstKey);

            uint32_t probabilities[kRowTiles][kColumns / 16][4];
            updateSoftmax(probabilities, scores, output, maximum, sum, p.scale * kLog2e);

            cpAsyncWait<0>();
            blockBarrier();  // V has landed, and all warps are done with K
            tile = tiles.before(tile);
            if (tile >= 0) loadTile<kColumns, kKeyStride>(sharedK, p.k + keyOffset, tile * kColumns, length);
            cpAsyncCommit();

            multiplyValues(output, probabilities, sharedV);
        }

        cpAsyncWait<0>();
        finish(output, maximum, sum, p, sharedQ);
    }

private:
    template <class Params>
    static MOA_DEVICE PrefillItem loadItem(const Params& p) {
        const Vec16* words = reinterpret_cast<const Vec16*>(p.items + blockIndex());
        const Vec16 head = loadGlobal(words);
        const Vec16 tail = loadGlobal(words + 1);
        return PrefillItem{static_cast<int>(head.w[0]), static_cast<int>(head.w[1]), static_cast<int>(head.w[2]),
                           static_cast<int>(head.w[3]), static_cast<int>(tail.w[0]), {}};
    }

    static MOA_DEVICE void clear(float (&tile)[kRowTiles][kOutputTiles][4]) {
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
            for (int j = 0; j < kOutputTiles; ++j) {
#pragma unroll
                for (int e = 0; e < 4; ++e) tile[i][j][e] = 0.0f;
            }
        }
    }

    /// Starts the copy of rows firstRow .. + kTileRows - 1 of one head; rows from `length` on are zeros, not read.
    template <int kTileRows, int kStride>
    static MOA_DEVICE void loadTile(SharedAddress to, const uint16_t* from, int firstRow, int length) {
        constexpr int kRowsPerStep = kThreads / kChunks;
        static_assert(kThreads % kChunks == 0 && kTileRows % kRowsPerStep == 0, "the block copies whole rows a step");
        const int thread = opaque(threadIndex());  // its addresses are cheap to make and dear to keep
        const int chunk = thread % kChunks;
        const int row0 = thread / kChunks;
        const uint16_t* source = from + static_cast<int64_t>(firstRow + row0) * kStride + chunk * kChunkElements;
        if (firstRow + kTileRows <= length) {
#pragma unroll
            for (int step = 0; step < kTileRows / kRowsPerStep; ++step) {
                cpAsync16(to + swizzledOffset<kTileRows>(row0 + step * kRowsPerStep, chunk), source + step * kRowsPerStep * kStride);
            }
        } else {
            // Only the last tile of a sequence: not unrolled, so that its predicates take no registers.
#pragma unroll 1
            for (int row = row0; row < kTileRows; row += kRowsPerStep) {
                cpAsync16(to + swizzledOffset<kTileRows>(row, chunk), source + (row - row0) * kStride, firstRow + row < length);
            }
        }
    }

    /// S = Q K^T, in raw units.
    static MOA_DEVICE void multiplyKeys(float (&scores)[kRowTiles][kColumnTiles][4], SharedAddress sharedQ, SharedAddress sharedK) {
        const int lane = laneIndex();
        const SwizzledRow<kRows> queryRow(sharedQ ^ ((lane >> 4) * kChunkBytes), warpIndex() * kRowTiles * 16 + (lane & 15));
        const SwizzledRow<kColumns> keyRow(sharedK ^ (((lane >> 3) & 1) * kChunkBytes), (lane & 7) + ((lane >> 4) << 3));
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
            for (int j = 0; j < kColumnTiles; ++j) {
#pragma unroll
                for (int e = 0; e < 4; ++e) scores[i][j][e] = 0.0f;
            }
        }
#pragma unroll
        for (int step = 0; step < kHeadDim / 16; ++step) {
            uint32_t queries[kRowTiles][4];
#pragma unroll
            for (int i = 0; i < kRowTiles; ++i) {
                ldmatrixX4(queries[i], queryRow.at(step * 2, i * 16));
            }
#pragma unroll
            for (int pair = 0; pair < kColumnTiles / 2; ++pair) {
                uint32_t keys[4];
                ldmatrixX4(keys, keyRow.at(step * 2, pair * 16));
#pragma unroll
                for (int i = 0; i < kRowTiles; ++i) {
                    mma16816<Element>(scores[i][2 * pair], queries[i], keys[0], keys[1]);
                    mma16816<Element>(scores[i][2 * pair + 1], queries[i], keys[2], keys[3]);
                }
            }
        }
    }

    /// Scores of pairs the mask forbids become -inf. Only boundary tiles come here.
    static MOA_DEVICE void applyMask(float (&scores)[kRowTiles][kColumnTiles][4], const Mask& mask, int firstRow, int firstKey) {
        // Opaque, so that the bounds of the lane's rows are not kept in registers through the unmasked tiles.
        const int row0 = opaque(firstRow) + warpIndex() * kRowTiles * 16 + (laneIndex() >> 2);
        const int key0 = firstKey + 2 * (laneIndex() & 3);
#pragma unroll
        for (int row = 0; row < kLaneRows; ++row) {
            const RowBounds<Mask> bounds(mask, row0 + row * 8, key0);
#pragma unroll
            for (int j = 0; j < kColumnTiles; ++j) {
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    if (!bounds.allows(j * 8 + e)) scores[row >> 1][j][(row & 1) * 2 + e] = kNegativeInfinity;
                }
            }
        }
    }

    /// Scores become probabilities relative to the running maximum; O and the sums are rescaled to it. The accumulators of S
    /// are the A fragments of P V: no shuffle is needed.
    static MOA_DEVICE void updateSoftmax(uint32_t (&probabilities)[kRowTiles][kColumns / 16][4],
                                         const float (&scores)[kRowTiles][kColumnTiles][4],
                                         float (&output)[kRowTiles][kOutputTiles][4], float (&maximum)[kLaneRows],
                                         float (&sum)[kLaneRows], float scale2) {
#pragma unroll
        for (int row = 0; row < kLaneRows; ++row) {
            const int i = row >> 1;
            const int half = row & 1;
            float largest = maximum[row];
#pragma unroll
            for (int j = 0; j < kColumnTiles; ++j) largest = larger(largest, larger(scores[i][j][2 * half], scores[i][j][2 * half + 1]));
            largest = quadMaximum(largest);

            const float base = finiteMaximum(largest) * scale2;
            const float correction = exp2Approx(maximum[row] * scale2 - base);
            maximum[row] = largest;
            float rowSum = sum[row] * correction;
#pragma unroll
            for (int j = 0; j < kColumnTiles; ++j) {
                const float first = exp2Approx(scores[i][j][2 * half] * scale2 - base);
                const float second = exp2Approx(scores[i][j][2 * half + 1] * scale2 - base);
                rowSum += first + second;
                probabilities[i][j / 2][half + (j & 1) * 2] = packPair<Element>(first, second);
            }
            sum[row] = rowSum;
#pragma unroll
            for (int j = 0; j < kOutputTiles; ++j) {
                output[i][j][2 * half] *= correction;
                output[i][j][2 * half + 1] *= correction;
            }
        }
    }

    /// O += P V.
    static MOA_DEVICE void multiplyValues(float (&output)[kRowTiles][kOutputTiles][4],
                                          const uint32_t (&probabilities)[kRowTiles][kColumns / 16][4], SharedAddress sharedV) {
        const int lane = laneIndex();
        const SwizzledRow<kColumns> valueRow(sharedV ^ ((lane >> 4) * kChunkBytes), lane & 15);
#pragma unroll
        for (int step = 0; step < kColumns / 16; ++step) {
#pragma unroll
            for (int pair = 0; pair < kOutputTiles / 2; ++pair) {
                uint32_t values[4];
                ldmatrixX4Transposed(values, valueRow.at(pair * 2, step * 16));
#pragma unroll
                for (int i = 0; i < kRowTiles; ++i) {
                    mma16816<Element>(output[i][2 * pair], probabilities[i][step], values[0], values[1]);
                    mma16816<Element>(output[i][2 * pair + 1], probabilities[i][step], values[2], values[3]);
                }
            }
        }
    }

    /// O / sum goes out through Q's shared memory, of which a warp read and now writes its own rows only.
    template <class Params>
    static MOA_DEVICE void finish(float (&output)[kRowTiles][kOutputTiles][4], float (&maximum)[kLaneRows], float (&sum)[kLaneRows],
                                  const Params& p, SharedAddress sharedO) {
        const int lane = laneIndex();
        const int warpRow = warpIndex() * kRowTiles * 16;
        const SwizzledRow<kRows> outputRow(sharedO, warpRow + (lane >> 2));
        warpBarrier();  // all lanes have read Q
#pragma unroll
        for (int row = 0; row < kLaneRows; ++row) {
            const int i = row >> 1;
            const int e0 = (row & 1) * 2;
            sum[row] = quadSum(sum[row]);
            const float inverse = sum[row] > 0.0f ? fastDivide(1.0f, sum[row]) : 0.0f;
#pragma unroll
            for (int j = 0; j < kOutputTiles; ++j) {
                storeShared<uint32_t>(outputRow.at(j, row * 8) + (lane & 3) * 4,
                                      packPair<Element>(output[i][j][e0] * inverse, output[i][j][e0 + 1] * inverse));
            }
        }
        warpBarrier();

        const PrefillItem item = loadItem(p);  // again: the loop has no registers to keep it in
        const int firstRow = item.queryBlock * kRows + warpRow;
        if (p.lse != nullptr && (lane & 3) == 0) {
#pragma unroll
            for (int row = 0; row < kLaneRows; ++row) {
                const int position = firstRow + row * 8 + (lane >> 2);
                if (position < item.length) {
                    storeGlobal(p.lse + (static_cast<int64_t>(item.firstToken) + position) * Config::kQueryHeads + item.head,
                                logSumExp(maximum[row], sum[row], p.scale));
                }
            }
        }
        constexpr int kRowsPerStep = 32 / kChunks > 0 ? 32 / kChunks : 1;
        const int chunk = lane % kChunks;
#pragma unroll
        for (int row = lane / kChunks; row < kRowTiles * 16; row += kRowsPerStep) {
            const int position = firstRow + row;
            if (position < item.length) {
                storeGlobal(reinterpret_cast<Vec16*>(p.out + (static_cast<int64_t>(item.firstToken) + position) * kQueryStride +
                                                     item.head * kHeadDim + chunk * kChunkElements),
                            loadShared<Vec16>(sharedO + swizzledOffset<kRows>(warpRow + row, chunk)));
            }
        }
    }
};

}  // namespace moa
