// Prefill attention for sm_80: FlashAttention-2's loop (arXiv 2307.08691) over the pages that a head's mask leaves.
//
//   block        = one work item: kRows query rows of one head of one sequence; a warp owns kRows / kWarps of them
//   each page    : wait K, start V, S = Q K^T, mask, softmax, wait V, start the next K, O += P V
//                  (the next K starts when S has shrunk to P: before, there are no registers for its addresses)
//   order        : that of KeyPages; one thread walks it, in shared memory, so that it takes no registers of the others
//   shared memory: Q [kRows], K [64], V [64], each as swizzled 64-column blocks; Q's room takes O at the end; the walk
//   not finite   : a value that is not finite spoils rows that do not attend it, since 0 x NaN is NaN. When an output is
//                  not finite the item is computed again, with values that are cleaned and marked (finite.cuh)
#pragma once
#include <moa/finite.cuh>
#include <moa/prefill/keyPages.cuh>
#include <moa/primitives/barrier.cuh>
#include <moa/primitives/count.cuh>
#include <moa/primitives/cpAsync.cuh>
#include <moa/primitives/ldmatrix.cuh>
#include <moa/primitives/mma.cuh>
#include <moa/scoreOptions.cuh>

namespace moa {

template <class Config, class Mask>
class MmaPrefill {
    using Element = typename Config::Element;
    static constexpr int kHeadDim = Config::kHeadDim;
    static constexpr int kRows = Config::kRows;
    static constexpr int kColumns = kPageTokens;
    static constexpr int kWarps = Config::kWarps;
    static constexpr int kThreads = kWarps * 32;
    static constexpr int kChunks = kHeadDim / kChunkElements;
    static constexpr int kRowTiles = kRows / kWarps / 16;      ///< 16-row tiles of a warp
    static constexpr int kColumnTiles = kColumns / 8;          ///< 8-key tiles of S
    static constexpr int kOutputTiles = kHeadDim / 8;          ///< 8-column tiles of O
    static constexpr int kLaneRows = kRowTiles * 2;            ///< rows a lane has a part of
    static_assert(kRows == kWarps * kRowTiles * 16, "a warp owns whole 16-row tiles");

public:
    static constexpr int kQueryBytes = kRows * kHeadDim * 2;
    static constexpr int kKeyBytes = kColumns * kHeadDim * 2;
    static constexpr int kWalk = kQueryBytes + 2 * kKeyBytes;  ///< offset of the item, then of its pages, then of the place that the walk came to
    static constexpr int kWalkWords = static_cast<int>(sizeof(KeyPages<Mask>)) / 4;
    static constexpr int kSpoiled = kWalk + static_cast<int>(sizeof(PrefillItem)) + 4 * kWalkWords + 12;  ///< offset of a word for each warp
    static constexpr int kMarks = kSpoiled + 4 * kWarps;  ///< offset of a byte for each key and chunk
    static constexpr int kSharedBytes = (kMarks + kColumns * kChunks + 15) / 16 * 16;

    template <class Params>
    static MOA_DEVICE void run(const Params& p) {
        if (threadIndex() == 0) begin(p);
        blockBarrier();
        if (item().length == 0) return;

        float output[kRowTiles][kOutputTiles][4];
        float maximum[kLaneRows];
        float sum[kLaneRows];
#pragma unroll 1
        for (bool careful = false;; careful = true) {
            attend(p, output, maximum, sum, careful);
            if (allFinite(output) || careful) break;
            if (threadIndex() == 0) begin(p);
            blockBarrier();
        }
        finish(output, maximum, sum, p, sharedBase());
    }

private:
    /// The item from its first page on. `careful`: values that are not finite do not reach rows that do not attend them.
    template <class Params>
    static MOA_DEVICE void attend(const Params& p, float (&output)[kRowTiles][kOutputTiles][4], float (&maximum)[kLaneRows],
                                  float (&sum)[kLaneRows], bool careful) {
        const SharedAddress sharedQ = sharedBase();
        const SharedAddress sharedK = sharedQ + kQueryBytes;
        const SharedAddress sharedV = sharedK + kKeyBytes;
        clear(output);
#pragma unroll
        for (int row = 0; row < kLaneRows; ++row) {
            maximum[row] = kNegativeInfinity;
            sum[row] = 0.0f;
        }

        Place place = loadPlace();
        loadQueries(p, sharedQ);
        loadPage<false>(p, sharedK, place.page);
        cpAsyncCommit();

#pragma unroll 1
        while (place.page.exists()) {
            cpAsyncWait<0>();
            blockBarrier();  // K has landed, and all warps are done with V
            loadPage<true>(p, sharedV, place.page);
            cpAsyncCommit();
            if (threadIndex() == 0) {
                if (!careful) count(Counter::tile);  // pages that are needed; an item again is no more of them
                walk(p);
            }

            float scores[kRowTiles][kColumnTiles][4];
            multiplyKeys(scores, sharedQ, sharedK);
            if constexpr (kCapsScores<Config>) capScores(scores, p.scale * kLog2e);
            if (place.masked) applyMask(p, scores, place.page);

            uint32_t probabilities[kRowTiles][kColumns / 16][4];
            updateSoftmax(probabilities, scores, output, maximum, sum, scoreUnit<Config>(p) * kLog2e);

            cpAsyncWait<0>();
            blockBarrier();  // V has landed, all warps are done with K, and the walk has come to the next page
            place = loadPlace();
            if (place.page.exists()) loadPage<false>(p, sharedK, place.page);
            cpAsyncCommit();

            if (careful) markValues(sharedV);
            multiplyValues(output, probabilities, sharedV);
            if (careful) spoil(output, probabilities);
        }
        cpAsyncWait<0>();
    }

    /// Whether all outputs of the block are finite. By all threads.
    static MOA_DEVICE bool allFinite(const float (&output)[kRowTiles][kOutputTiles][4]) {
        // Times 0: a chain of products is NaN if one of them is.
        float chains[4] = {};
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
            for (int j = 0; j < kOutputTiles; ++j) {
#pragma unroll
                for (int e = 0; e < 4; ++e) chains[e] = multiplyAdd(output[i][j][e], 0.0f, chains[e]);
            }
        }
        const float chain = (chains[0] + chains[1]) + (chains[2] + chains[3]);
        const SharedAddress vote = sharedBase() + kSpoiled + 4 * warpIndex();
        const bool spoiled = warpAny(!(chain == 0.0f));
        if (laneIndex() == 0) storeShared(vote, static_cast<int>(spoiled));
        blockBarrier();
        int any = 0;
#pragma unroll
        for (int warp = 0; warp < kWarps; ++warp) any |= loadShared<int>(sharedBase() + kSpoiled + 4 * warp);
        return any == 0;
    }

    /// Elements between tokens of q and out, of k and v.
    template <class Params>
    static MOA_DEVICE int queryStride(const Params& p) {
        return Config::queryHeads(p) * kHeadDim;
    }
    template <class Params>
    static MOA_DEVICE int keyStride(const Params& p) {
        return Config::queryHeads(p) / Config::groupSize(p) * kHeadDim;
    }

    /// Where the walk stands.
    struct Place {
        KeyPage page;
        int masked;
        int next;  ///< the number of the page after it
    };

    static MOA_DEVICE PrefillItem item() {
        return PrefillItem::of([](int word) { return loadShared<int>(sharedBase() + kWalk + 4 * word); });
    }
    static MOA_DEVICE SharedAddress walkSlot() { return sharedBase() + kWalk + static_cast<int>(sizeof(PrefillItem)); }
    static MOA_DEVICE SharedAddress placeSlot() { return walkSlot() + 4 * kWalkWords; }

    static MOA_DEVICE Place loadPlace() {
        const auto word = [](int i) { return loadShared<int>(placeSlot() + 4 * i); };
        return Place{KeyPage{word(0)}, word(1), word(2)};
    }

    /// By one thread: takes the item, and walks to its first page.
    template <class Params>
    static MOA_DEVICE void begin(const Params& p) {
        // A launch has a block for every item that there may be. How many there are is read with the item, not before it.
        const int count = p.itemCount != nullptr ? loadGlobal(p.itemCount) : blockIndex() + 1;
        PrefillItem item = loadPrefillItem(p.items, blockIndex());
        if (blockIndex() >= count) item.length = 0;
        storeWords<PrefillItem::kWords>(sharedBase() + kWalk, item);
        if (item.length == 0) return;
        const int firstRow = item.queryBlock * kRows;
        const KeyPages<Mask> pages(Mask{item.window}, Config::rings(p), item, firstRow, minimum(firstRow + kRows, item.length) - 1);
        storeWords<kWalkWords>(walkSlot(), pages);
        advance(p, pages, item, 0);
    }

    /// By one thread: to the next page.
    template <class Params>
    static MOA_DEVICE void walk(const Params& p) {
        Words<kWalkWords> pages;
#pragma unroll
        for (int word = 0; word < kWalkWords; ++word) pages.words[word] = loadShared<int>(walkSlot() + 4 * word);
        advance(p, __builtin_bit_cast(KeyPages<Mask>, pages), item(), loadPlace().next);
    }

    template <int kCount>
    struct Words {
        int words[kCount];
    };

    template <int kCount, class Value>
    static MOA_DEVICE void storeWords(SharedAddress to, const Value& value) {
        const Words<kCount> words = __builtin_bit_cast(Words<kCount>, value);
#pragma unroll
        for (int word = 0; word < kCount; ++word) storeShared(to + 4 * word, words.words[word]);
    }

    template <class Params>
    static MOA_DEVICE void advance(const Params& p, const KeyPages<Mask>& pages, const PrefillItem& item, int number) {
        const KeyPage page = pages.at(number);
        const int firstRow = item.queryBlock * kRows;
        const PageShare share = shareOfPage(Mask{item.window}, RingTokens::of(Config::rings(p), item), item, page, firstRow, minimum(firstRow + kRows, item.length) - 1);
        storeShared(placeSlot(), page.code);
        storeShared(placeSlot() + 4, static_cast<int>(share != kWholePage));
        storeShared(placeSlot() + 8, number + 1);
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

    template <class Params>
    static MOA_DEVICE void loadQueries(const Params& p, SharedAddress to) {
        const PrefillItem item = MmaPrefill::item();
        loadRows<kRows>(to, p.q + static_cast<int64_t>(item.firstToken) * queryStride(p) + item.head * kHeadDim, queryStride(p), item.queryBlock * kRows, item.length);
    }

    /// Starts the copy of a page of keys or of values.
    template <bool kValues, class Params>
    static MOA_DEVICE void loadPage(const Params& p, SharedAddress to, KeyPage page) {
        const PrefillItem item = MmaPrefill::item();
        if (page.isRing()) {
            const int number = loadGlobal(p.pageTable + item.tableOffset + page.ringPage());
            const uint16_t* from = p.pool + static_cast<int64_t>(number) * Page<kHeadDim>::kElements + (kValues ? Page<kHeadDim>::kHalfElements : 0);
            const int rows = Config::rings(p).rowsInUse(page.ringPage(), item.cached, item.ringWindow);
            // It lies there as it is wanted here; rows without a token become zeros.
#pragma unroll 1
            for (int chunk = threadIndex(); chunk < kKeyBytes / kChunkBytes; chunk += kThreads) {
                cpAsync16(to + chunk * kChunkBytes, from + chunk * kChunkElements, chunk / (kBlockRowBytes / kChunkBytes) % kPageTokens < rows);
            }
        } else {
            const uint16_t* tokens = kValues ? p.v : p.k;
            loadRows<kColumns>(to, tokens + static_cast<int64_t>(item.firstToken) * keyStride(p) + item.head / Config::groupSize(p) * kHeadDim, keyStride(p),
                               page.code * kColumns, item.length);
        }
    }

    /// Starts the copy of rows firstRow .. + kTileRows - 1 of one head; rows from `length` on are zeros, not read.
    template <int kTileRows>
    static MOA_DEVICE void loadRows(SharedAddress to, const uint16_t* from, int stride, int firstRow, int length) {
        constexpr int kRowsPerStep = kThreads / kChunks;
        static_assert(kThreads % kChunks == 0 && kTileRows % kRowsPerStep == 0, "the block copies whole rows a step");
        const int thread = opaque(threadIndex());  // its addresses are cheap to make and dear to keep
        const int chunk = thread % kChunks;
        const int row0 = thread / kChunks;
        const uint16_t* source = from + static_cast<int64_t>(firstRow + row0) * stride + chunk * kChunkElements;
        if (firstRow + kTileRows <= length) {
#pragma unroll
            for (int step = 0; step < kTileRows / kRowsPerStep; ++step) {
                cpAsync16(to + swizzledOffset<kTileRows>(row0 + step * kRowsPerStep, chunk), source + step * kRowsPerStep * stride);
            }
        } else {
            // Only the last tile of a sequence: not unrolled, so that its predicates take no registers.
#pragma unroll 1
            for (int row = row0; row < kTileRows; row += kRowsPerStep) {
                cpAsync16(to + swizzledOffset<kTileRows>(row, chunk), source + (row - row0) * stride, firstRow + row < length);
            }
        }
    }

    /// S = Q K^T, in raw units.
    static MOA_DEVICE void multiplyKeys(float (&scores)[kRowTiles][kColumnTiles][4], SharedAddress sharedQ, SharedAddress sharedK) {
        const int lane = opaque(laneIndex());
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

    static MOA_DEVICE void capScores(float (&scores)[kRowTiles][kColumnTiles][4], float scale2) {
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
            for (int j = 0; j < kColumnTiles; ++j) {
#pragma unroll
                for (int e = 0; e < 4; ++e) scores[i][j][e] = cappedScore<Config>(scores[i][j][e], scale2);
            }
        }
    }

    /// Scores of pairs the mask forbids become -inf. Only pages with some come here.
    template <class Params>
    static MOA_DEVICE void applyMask(const Params& p, float (&scores)[kRowTiles][kColumnTiles][4], KeyPage page) {
        const PrefillItem item = MmaPrefill::item();
        const int row0 = item.queryBlock * kRows + warpIndex() * kRowTiles * 16 + (laneIndex() >> 2);
#pragma unroll
        for (int row = 0; row < kLaneRows; ++row) {
            const PageRow bounds = rowOfPage(Mask{item.window}, Config::rings(p), item, page, row0 + row * 8).from(2 * (laneIndex() & 3));
#pragma unroll
            for (int j = 0; j < kColumnTiles; ++j) {
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    if (!bounds.allows(j * 8 + e)) scores[row >> 1][j][(row & 1) * 2 + e] = kNegativeInfinity;
                }
            }
        }
    }

    /// Scores become probabilities relative to the running maximum; O and the sums are rescaled to it, where it
    /// grows. The accumulators of S are the A fragments of P V: no shuffle is needed.
    static MOA_DEVICE void updateSoftmax(uint32_t (&probabilities)[kRowTiles][kColumns / 16][4],
                                         const float (&scores)[kRowTiles][kColumnTiles][4],
                                         float (&output)[kRowTiles][kOutputTiles][4], float (&maximum)[kLaneRows],
                                         float (&sum)[kLaneRows], float scale2) {
        float correction[kLaneRows];
        bool rescales = false;
#pragma unroll
        for (int row = 0; row < kLaneRows; ++row) {
            const int i = row >> 1;
            const int half = row & 1;
            float largest = maximum[row];
#pragma unroll
            for (int j = 0; j < kColumnTiles; ++j) largest = larger(largest, larger(scores[i][j][2 * half], scores[i][j][2 * half + 1]));
            largest = quadMaximum(largest);

            const float base = finiteMaximum(largest) * scale2;
            correction[row] = exp2Approx(maximum[row] * scale2 - base);
            rescales = rescales || correction[row] != 1.0f;
            maximum[row] = largest;
            float rowSum = sum[row] * correction[row];
#pragma unroll
            for (int j = 0; j < kColumnTiles; ++j) {
                const float first = exp2Approx(multiplyAdd(scores[i][j][2 * half], scale2, -base));
                const float second = exp2Approx(multiplyAdd(scores[i][j][2 * half + 1], scale2, -base));
                rowSum += first + second;
                probabilities[i][j / 2][half + (j & 1) * 2] = packPair<Element>(first, second);
            }
            sum[row] = rowSum;
        }
        if (!warpAny(rescales)) return;
#pragma unroll
        for (int row = 0; row < kLaneRows; ++row) {
#pragma unroll
            for (int j = 0; j < kOutputTiles; ++j) {
                output[row >> 1][j][2 * (row & 1)] *= correction[row];
                output[row >> 1][j][2 * (row & 1) + 1] *= correction[row];
            }
        }
    }

    /// O += P V.
    static MOA_DEVICE void multiplyValues(float (&output)[kRowTiles][kOutputTiles][4],
                                          const uint32_t (&probabilities)[kRowTiles][kColumns / 16][4], SharedAddress sharedV) {
        const int lane = opaque(laneIndex());
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

    /// Values that are not finite become zeros, and marks. By all threads.
    static MOA_DEVICE void markValues(SharedAddress sharedV) {
#pragma unroll 1
        for (int index = opaque(threadIndex()); index < kColumns * kChunks; index += kThreads) {
            const SharedAddress at = sharedV + swizzledOffset<kColumns>(index / kChunks, index % kChunks);
            int marks = 0;
            // Word by word: registers hold O and P.
#pragma unroll 1
            for (int word = 0; word < 4; ++word) {
                const uint32_t pair = loadShared<uint32_t>(at + 4 * word);
                const uint32_t bits = nonFiniteBits<Element>(pair);
                marks |= marksOf(bits) << (2 * word);
                storeShared(at + 4 * word, withoutMarked(pair, bits));
            }
            storeShared(sharedBase() + kMarks + index, static_cast<uint8_t>(marks));
        }
        blockBarrier();
    }

    /// Outputs to which marked values contribute become NaN.
    static MOA_DEVICE void spoil(float (&output)[kRowTiles][kOutputTiles][4], const uint32_t (&probabilities)[kRowTiles][kColumns / 16][4]) {
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i) {
            uint32_t spoiled[4];
            findSpoiled<Element, kChunks, kColumns / 16>(spoiled, probabilities[i], sharedBase() + kMarks);
#pragma unroll
            for (int j = 0; j < kOutputTiles; ++j) {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    if ((spoiled[e] >> j & 1) != 0) output[i][j][e] = kNotANumber;
                }
            }
        }
    }

    /// O / sum goes out through Q's shared memory, of which a warp read and now writes its own rows only.
    template <class Params>
    static MOA_DEVICE void finish(float (&output)[kRowTiles][kOutputTiles][4], float (&maximum)[kLaneRows], float (&sum)[kLaneRows],
                                  const Params& p, SharedAddress sharedO) {
        const int lane = opaque(laneIndex());
        const int warpRow = warpIndex() * kRowTiles * 16;
        const SwizzledRow<kRows> outputRow(sharedO, warpRow + (lane >> 2));
        int head = 0;
        if constexpr (kHasLearnedSinks<Config>) head = MmaPrefill::item().head;
        warpBarrier();  // all lanes have read Q
#pragma unroll
        for (int row = 0; row < kLaneRows; ++row) {
            const int i = row >> 1;
            const int e0 = (row & 1) * 2;
            sum[row] = quadSum(sum[row]);
            const float weight = joinSink<Config>(p, head, maximum[row], sum[row]);
            const float inverse = sum[row] > 0.0f ? fastDivide(weight, sum[row]) : 0.0f;
#pragma unroll
            for (int j = 0; j < kOutputTiles; ++j) {
                storeShared<uint32_t>(outputRow.at(j, row * 8) + (lane & 3) * 4,
                                      packPair<Element>(output[i][j][e0] * inverse, output[i][j][e0 + 1] * inverse));
            }
        }
        warpBarrier();

        const PrefillItem item = MmaPrefill::item();
        const int firstRow = item.queryBlock * kRows + warpRow;
        if (p.lse != nullptr && (lane & 3) == 0) {
#pragma unroll
            for (int row = 0; row < kLaneRows; ++row) {
                const int position = firstRow + row * 8 + (lane >> 2);
                if (position < item.length) {
                    storeGlobal(p.lse + (static_cast<int64_t>(item.firstToken) + position) * Config::queryHeads(p) + item.head,
                                logSumExpOf<Config>(p, maximum[row], sum[row]));
                }
            }
        }
        constexpr int kRowsPerStep = 32 / kChunks > 0 ? 32 / kChunks : 1;
        const int chunk = lane % kChunks;
#pragma unroll
        for (int row = lane / kChunks; row < kRowTiles * 16; row += kRowsPerStep) {
            const int position = firstRow + row;
            if (position < item.length) {
                storeGlobal(reinterpret_cast<Vec16*>(p.out + (static_cast<int64_t>(item.firstToken) + position) * queryStride(p) +
                                                     item.head * kHeadDim + chunk * kChunkElements),
                            loadShared<Vec16>(sharedO + swizzledOffset<kRows>(warpRow + row, chunk)));
            }
        }
    }
};

}  // namespace moa
