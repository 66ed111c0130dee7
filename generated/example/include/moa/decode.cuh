// Decode attention for sm_80: one query token a sequence, over the KV pages of its rings. Bound by reading pages.
//
//   block   = a run of segments from the static schedule; a segment is a run of pages of one (sequence, KV head)
//   warp    = 16 rows of every page, with a pipeline of its own: no block barrier until a segment ends
//   rows    = the query heads of the group, padded to the 16 rows of m16n8k16
//   merge   : warps in shared memory; then, for a ring cut into several segments, the block that finishes last
//             adds the partial results in the order of the splits, so the result does not depend on timing
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

/// A run of pages of one ring. Built by the schedule (src/passes/schedule).
struct alignas(16) DecodeSegment {
    int slot;          ///< sequence
    int kvHead;
    int tableOffset;   ///< of the ring's first page in the page table
    int window;        ///< of the ring
    int pageBegin;     ///< first page of the run, counted in the ring
    int pageEnd;       ///< one past its last page when the ring is full
    int split;         ///< this segment's number among those of its ring
    int splits;        ///< segments of its ring
    int firstPartial;  ///< partial result of split 0; unused when splits == 1
    int ticket;        ///< counter of finished splits
    int reserved[2];
};

template <class Config, class Mask>
class Decode {
    using Element = typename Config::Element;
    static constexpr int kHeadDim = Config::kHeadDim;
    static constexpr int kGroupSize = Config::kGroupSize;
    static constexpr int kStages = Config::kStages;
    static constexpr int kWarps = 4;
    static constexpr int kWarpRows = kPageTokens / kWarps;
    static constexpr int kThreads = kWarps * 32;
    static constexpr int kChunks = kHeadDim / kChunkElements;
    static constexpr int kOutputTiles = kHeadDim / 8;
    /// Halves of the 16 accumulator rows that hold a query head: rows g, and rows g + 8 for groups over 8.
    static constexpr int kHalves = kGroupSize <= 8 ? 1 : 2;
    static constexpr int kQueryStride = Config::kQueryHeads * kHeadDim;  ///< elements between tokens
    using Rings = RingGeometry<Config::kSink>;
    static_assert(kGroupSize >= 1 && kGroupSize <= 16, "the group is packed into one 16-row tile");
    static_assert(kWarpRows == 16, "a warp takes one k-step of P V from every page");

    static constexpr int kPageBytes = Page<kHeadDim>::kElements * 2;
    static constexpr int kStateFloats = kHeadDim + 2;  ///< of one query head in a partial result: O, the maximum, the sum
    static constexpr int kMergeFloats = kHeadDim + 8;  ///< in shared memory: rows 8 banks apart, so that a quad each writes without conflict

public:
    static constexpr int kMergeBytes = kWarps * kGroupSize * kMergeFloats * 4;
    static constexpr int kSharedBytes = kStages * kPageBytes + kMergeBytes;
    /// Floats of one partial result.
    static constexpr int kPartialFloats = kGroupSize * kStateFloats;

    template <class Params>
    static MOA_DEVICE void run(const Params& p) {
        const int firstSegment = loadGlobal(p.segmentBegins + blockIndex());
        const int lastSegment = loadGlobal(p.segmentBegins + blockIndex() + 1);
        if (firstSegment == lastSegment) return;

        Reader<Params> reader(p, firstSegment, lastSegment);
#pragma unroll
        for (int stage = 0; stage < kStages - 1; ++stage) reader.start(p, stage);

        int stage = 0;
        for (int index = firstSegment; index < lastSegment; ++index) {
            const DecodeSegment segment = loadSegment(p, index);
            const int length = loadGlobal(p.lengths + segment.slot);
            const int pageEnd = minimum(segment.pageEnd, Rings::pagesInUse(length, segment.window));

            const GroupMask mask(p, segment, length);
            uint32_t queries[kHeadDim / 16][4];
            loadQueries(queries, p, segment);
            State state;
            state.clear();

            for (int page = segment.pageBegin; page < pageEnd; ++page) {
                cpAsyncWait<kStages - 2>();
                warpBarrier();  // the warp's rows have landed, and its lanes are done with the stage before
                reader.start(p, stage == 0 ? kStages - 1 : stage - 1);
                if (threadIndex() == 0) count(Counter::page);
                attend(state, queries, mask, p.scale * kLog2e, page, stage);
                stage = stage + 1 == kStages ? 0 : stage + 1;
            }
            mergeWarps(state, p, segment);
        }
        cpAsyncWait<0>();
    }

private:
    /// One warp's running softmax over its rows of the pages seen so far. The sums are still spread over the quad.
    struct State {
        float output[kOutputTiles][2 * kHalves];
        float maximum[kHalves];
        float sum[kHalves];

        MOA_DEVICE void clear() {
#pragma unroll
            for (int j = 0; j < kOutputTiles; ++j) {
#pragma unroll
                for (int e = 0; e < 2 * kHalves; ++e) output[j][e] = 0.0f;
            }
#pragma unroll
            for (int h = 0; h < kHalves; ++h) {
                maximum[h] = kNegativeInfinity;
                sum[h] = 0.0f;
            }
        }
    };

    /// What forbids keys in the pages of one segment: rows that hold no token, and where heads of the group have windows shorter
    /// than the ring, tokens too old for them.
    class GroupMask {
    public:
        template <class Params>
        MOA_DEVICE GroupMask(const Params& p, const DecodeSegment& segment, int length) : length_(length), ringWindow_(segment.window) {
            if constexpr (Config::kAgeMask) {
                newestSlot_ = length > Config::kSink ? Rings::windowSlot(length - 1, segment.window) : 0;
                const int* windows = p.windows + segment.kvHead * kGroupSize;
                shortest_ = segment.window;
#pragma unroll
                for (int member = 0; member < kGroupSize; ++member) shortest_ = minimum(shortest_, loadGlobal(windows + member));
#pragma unroll
                for (int h = 0; h < kHalves; ++h) {
                    const int member = (laneIndex() >> 2) + h * 8;
                    window_[h] = member < kGroupSize ? loadGlobal(windows + member) : segment.window;
                }
            }
        }

        /// Scores of forbidden keys among the warp's 16 of `page` become -inf.
        MOA_DEVICE void apply(float (&scores)[2][4], int page) const {
            const int row0 = warpIndex() * kWarpRows + 2 * (laneIndex() & 3);
            const int rows = Rings::rowsInUse(page, length_, ringWindow_);
            if (rows < kPageTokens) {
#pragma unroll
                for (int j = 0; j < 2; ++j) {
#pragma unroll
                    for (int e = 0; e < 4; ++e) {
                        if (row0 + j * 8 + (e & 1) >= rows) scores[j][e] = kNegativeInfinity;
                    }
                }
            }
            if constexpr (Config::kAgeMask) {
                if (mayHoldOldTokens(page)) applyAge(scores, (page - Rings::kSinkPages) * kPageTokens + row0);
            }
        }

    private:
        /// Ages fall along a page, but for the one with the newest token, behind which the oldest follow.
        MOA_DEVICE bool mayHoldOldTokens(int page) const {
            if (page < Rings::kSinkPages) return false;
            const int slot = (page - Rings::kSinkPages) * kPageTokens;
            const bool holdsNewest = slot <= newestSlot_ && newestSlot_ < slot + kPageTokens;
            return holdsNewest || Rings::ageOf(slot, newestSlot_, ringWindow_) >= shortest_;
        }

        MOA_DEVICE void applyAge(float (&scores)[2][4], int slot0) const {
#pragma unroll
            for (int h = 0; h < kHalves; ++h) {
                const Mask mask{window_[h]};
#pragma unroll
                for (int j = 0; j < 2; ++j) {
#pragma unroll
                    for (int e = 0; e < 2; ++e) {
                        const int position = length_ - 1 - Rings::ageOf(slot0 + j * 8 + e, newestSlot_, ringWindow_);
                        if (!allows(mask, length_ - 1, position)) scores[j][2 * h + e] = kNegativeInfinity;
                    }
                }
            }
        }

        int length_;
        int ringWindow_;
        int newestSlot_ = 0;
        int shortest_ = 0;
        int window_[kHalves] = {};
    };

    template <class Params>
    static MOA_DEVICE DecodeSegment loadSegment(const Params& p, int index) {
        union {
            Vec16 words[3];
            DecodeSegment segment;
        } value;
        const Vec16* source = reinterpret_cast<const Vec16*>(p.segments) + 3 * index;
#pragma unroll
        for (int i = 0; i < 3; ++i) value.words[i] = loadGlobal(source + i);
        return value.segment;
    }

    /// Walks the block's pages ahead of the arithmetic, over the ends of segments, and starts their copies. A page's
    /// number is read one step before it is used.
    template <class Params>
    struct Reader {
        int segment;
        int lastSegment;
        int page;
        int pageEnd;
        int tableOffset;
        int window;
        int length;
        int pageNumber;

        MOA_DEVICE Reader(const Params& p, int firstSegment, int end) : segment(firstSegment - 1), lastSegment(end), page(0), pageEnd(0) {
            advance(p);
        }

        /// Moves to the next page in use; segment == lastSegment when there is none.
        MOA_DEVICE void advance(const Params& p) {
            ++page;
            while (page >= pageEnd) {
                if (++segment >= lastSegment) {
                    segment = lastSegment;
                    return;
                }
                const DecodeSegment next = loadSegment(p, segment);
                length = loadGlobal(p.lengths + next.slot);
                window = next.window;
                tableOffset = next.tableOffset;
                page = next.pageBegin;
                pageEnd = minimum(next.pageEnd, Rings::pagesInUse(length, window));
            }
            pageNumber = loadGlobal(p.pageTable + tableOffset + page);
        }

        /// Starts the copy of the warp's 16 rows of the present page into `stage`, commits, and moves on. Rows that hold no
        /// token become zeros: whatever lies there, 0 x NaN must not reach the output.
        MOA_DEVICE void start(const Params& p, int stage) {
            if (segment < lastSegment) {
                const int rows = Rings::rowsInUse(page, length, window);
                const uint16_t* source = p.pool + static_cast<int64_t>(pageNumber) * Page<kHeadDim>::kElements;
                copyRows(sharedBase() + stage * kPageBytes, source, rows);
                advance(p);
            }
            cpAsyncCommit();
        }

        static MOA_DEVICE void copyRows(SharedAddress to, const uint16_t* page, int rows) {
            // 2 * headDim / 64 blocks of K and V; of each, the warp's 16 rows are 2 KiB in one piece.
            constexpr int kBlocks = 2 * kHeadDim / kBlockColumns;
            constexpr int kWarpBytes = kWarpRows * kBlockRowBytes;
            const int first = warpIndex() * kWarpBytes + laneIndex() * kChunkBytes;
            const int row = warpIndex() * kWarpRows + laneIndex() / 8;
#pragma unroll
            for (int block = 0; block < kBlocks; ++block) {
#pragma unroll
                for (int step = 0; step < kWarpBytes / 512; ++step) {
                    const int offset = block * Page<kHeadDim>::kBlockBytes + first + step * 512;
                    cpAsync16(to + offset, reinterpret_cast<const unsigned char*>(page) + offset, row + step * 4 < rows);
                }
            }
        }
    };

    /// The group's query rows as A fragments; rows without a head are zero.
    template <class Params>
    static MOA_DEVICE void loadQueries(uint32_t (&queries)[kHeadDim / 16][4], const Params& p, const DecodeSegment& segment) {
        const int row = laneIndex() >> 2;
        const uint16_t* source = p.q + static_cast<int64_t>(segment.slot) * kQueryStride + (segment.kvHead * kGroupSize + row) * kHeadDim + 2 * (laneIndex() & 3);
#pragma unroll
        for (int step = 0; step < kHeadDim / 16; ++step) {
#pragma unroll
            for (int part = 0; part < 4; ++part) {
                const int half = part & 1;
                const bool present = half < kHalves && row + half * 8 < kGroupSize;
                queries[step][part] =
                    present ? loadGlobal(reinterpret_cast<const uint32_t*>(source + half * 8 * kHeadDim + step * 16 + (part >> 1) * 8)) : 0u;
            }
        }
    }

    /// The warp's 16 keys of one page: scores, mask, softmax, O += P V.
    static MOA_DEVICE void attend(State& state, const uint32_t (&queries)[kHeadDim / 16][4], const GroupMask& mask, float scale2, int page,
                                  int stage) {
        const int lane = laneIndex();
        const int warpRow = warpIndex() * kWarpRows;
        const SharedAddress keys = sharedBase() + stage * kPageBytes;
        const SharedAddress values = keys + Page<kHeadDim>::kHalfElements * 2;

        // S = Q K^T: two tiles of 8 keys
        float scores[2][4] = {};
#pragma unroll
        for (int step = 0; step < kHeadDim / 16; ++step) {
            uint32_t fragment[4];
            ldmatrixX4(fragment, keys + swizzledOffset<kPageTokens>(warpRow + (lane & 7) + ((lane >> 4) << 3), step * 2 + ((lane >> 3) & 1)));
            mma16816<Element>(scores[0], queries[step], fragment[0], fragment[1]);
            mma16816<Element>(scores[1], queries[step], fragment[2], fragment[3]);
        }

        mask.apply(scores, page);

#pragma unroll
        for (int h = 0; h < kHalves; ++h) {
            float largest = larger(larger(scores[0][2 * h], scores[0][2 * h + 1]), larger(scores[1][2 * h], scores[1][2 * h + 1]));
            largest = larger(state.maximum[h], quadMaximum(largest));
            const float base = finiteMaximum(largest) * scale2;
            const float correction = exp2Approx(state.maximum[h] * scale2 - base);
            state.maximum[h] = largest;
            float rowSum = state.sum[h] * correction;
#pragma unroll
            for (int j = 0; j < 2; ++j) {
#pragma unroll
                for (int e = 2 * h; e < 2 * h + 2; ++e) {
                    scores[j][e] = exp2Approx(scores[j][e] * scale2 - base);
                    rowSum += scores[j][e];
                }
            }
            state.sum[h] = rowSum;
#pragma unroll
            for (int j = 0; j < kOutputTiles; ++j) {
                state.output[j][2 * h] *= correction;
                state.output[j][2 * h + 1] *= correction;
            }
        }

        // O += P V: one k-step of 16 keys
        uint32_t probabilities[4];
        probabilities[0] = packPair<Element>(scores[0][0], scores[0][1]);
        probabilities[1] = kHalves == 2 ? packPair<Element>(scores[0][2], scores[0][3]) : 0u;
        probabilities[2] = packPair<Element>(scores[1][0], scores[1][1]);
        probabilities[3] = kHalves == 2 ? packPair<Element>(scores[1][2], scores[1][3]) : 0u;
#pragma unroll
        for (int pair = 0; pair < kOutputTiles / 2; ++pair) {
            uint32_t fragment[4];
            ldmatrixX4Transposed(fragment, values + swizzledOffset<kPageTokens>(warpRow + (lane & 15), pair * 2 + (lane >> 4)));
            accumulate(state.output[2 * pair], probabilities, fragment[0], fragment[1]);
            accumulate(state.output[2 * pair + 1], probabilities, fragment[2], fragment[3]);
        }
    }

    static MOA_DEVICE void accumulate(float (&output)[2 * kHalves], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        float tile[4] = {output[0], output[1], 0.0f, 0.0f};
        if constexpr (kHalves == 2) {
            tile[2] = output[2];
            tile[3] = output[3];
        }
        mma16816<Element>(tile, a, b0, b1);
#pragma unroll
        for (int e = 0; e < 2 * kHalves; ++e) output[e] = tile[e];
    }

    /// The four warps' states become the segment's: written out, or kept as a partial result for the merge of splits.
    template <class Params>
    static MOA_DEVICE void mergeWarps(State& state, const Params& p, const DecodeSegment& segment) {
        const SharedAddress area = sharedBase() + kStages * kPageBytes;
        const int lane = laneIndex();
        const int warp = warpIndex();
#pragma unroll
        for (int h = 0; h < kHalves; ++h) {
            const float total = quadSum(state.sum[h]);
            const int member = (lane >> 2) + h * 8;
            if (member < kGroupSize) {
                const SharedAddress row = area + (warp * kGroupSize + member) * kMergeFloats * 4;
#pragma unroll
                for (int j = 0; j < kOutputTiles; ++j) {
                    storeShared(row + (j * 8 + 2 * (lane & 3)) * 4, Vec8{{floatBits(state.output[j][2 * h]), floatBits(state.output[j][2 * h + 1])}});
                }
                if ((lane & 3) == 0) storeShared(row + kHeadDim * 4, Vec8{{floatBits(state.maximum[h]), floatBits(total)}});
            }
        }
        blockBarrier();

        const bool whole = segment.splits == 1;
        float* partial = whole ? nullptr : p.partials + static_cast<int64_t>(segment.firstPartial + segment.split) * kPartialFloats;
        const float scale2 = p.scale * kLog2e;
        for (int index = threadIndex(); index < kGroupSize * (kHeadDim / 2); index += kThreads) {
            const int member = index / (kHeadDim / 2);
            const int column = index % (kHeadDim / 2) * 2;
            Sum sum;
#pragma unroll
            for (int part = 0; part < kWarps; ++part) {
                const SharedAddress row = area + (part * kGroupSize + member) * kMergeFloats * 4;
                sum.largest = larger(sum.largest, loadShared<float>(row + kHeadDim * 4));
            }
#pragma unroll
            for (int part = 0; part < kWarps; ++part) {
                const SharedAddress row = area + (part * kGroupSize + member) * kMergeFloats * 4;
                const Vec8 pair = loadShared<Vec8>(row + column * 4);
                sum.add(loadShared<float>(row + kHeadDim * 4), loadShared<float>(row + kHeadDim * 4 + 4), pair, scale2);
            }
            if (whole) {
                writeOut(sum, p, segment, member, column);
            } else {
                float* to = partial + member * kStateFloats;
                storeGlobal(reinterpret_cast<Vec8*>(to + column), Vec8{{floatBits(sum.first), floatBits(sum.second)}});
                if (column == 0) {
                    storeGlobal(reinterpret_cast<Vec8*>(to + kHeadDim), Vec8{{floatBits(sum.largest), floatBits(sum.total)}});
                }
            }
        }
        if (!whole) mergeSplits(p, segment, area);
        blockBarrier();  // the area is free for the next segment
    }

    /// The block that finishes a ring last adds the partial results of all its splits, in their order.
    template <class Params>
    static MOA_DEVICE void mergeSplits(const Params& p, const DecodeSegment& segment, SharedAddress area) {
        deviceFence();
        blockBarrier();
        if (threadIndex() == 0) {
            storeShared(area, atomicIncrementWrap(p.tickets + segment.ticket, static_cast<uint32_t>(segment.splits - 1)));
            deviceFence();
        }
        blockBarrier();
        if (loadShared<uint32_t>(area) != static_cast<uint32_t>(segment.splits - 1)) return;

        const float* partials = p.partials + static_cast<int64_t>(segment.firstPartial) * kPartialFloats;
        const float scale2 = p.scale * kLog2e;
        for (int index = threadIndex(); index < kGroupSize * (kHeadDim / 2); index += kThreads) {
            const int member = index / (kHeadDim / 2);
            const int column = index % (kHeadDim / 2) * 2;
            const float* row = partials + member * kStateFloats;
            Sum sum;
            for (int split = 0; split < segment.splits; ++split) {
                sum.largest = larger(sum.largest, loadGlobal(row + static_cast<int64_t>(split) * kPartialFloats + kHeadDim));
            }
            for (int split = 0; split < segment.splits; ++split) {
                const float* from = row + static_cast<int64_t>(split) * kPartialFloats;
                const Vec8 scalars = loadGlobal(reinterpret_cast<const Vec8*>(from + kHeadDim));
                sum.add(bitsToFloat(scalars.w[0]), bitsToFloat(scalars.w[1]), loadGlobal(reinterpret_cast<const Vec8*>(from + column)), scale2);
            }
            writeOut(sum, p, segment, member, column);
        }
    }

    /// Two columns of one row, gathered from parts with their own maxima. `largest` is known before the first part is added.
    struct Sum {
        float largest = kNegativeInfinity;
        float total = 0.0f;
        float first = 0.0f;
        float second = 0.0f;

        MOA_DEVICE void add(float maximum, float partSum, const Vec8& columns, float scale2) {
            const float weight = exp2Approx(maximum * scale2 - finiteMaximum(largest) * scale2);
            total += partSum * weight;
            first += bitsToFloat(columns.w[0]) * weight;
            second += bitsToFloat(columns.w[1]) * weight;
        }
    };

    template <class Params>
    static MOA_DEVICE void writeOut(const Sum& sum, const Params& p, const DecodeSegment& segment, int member, int column) {
        const int head = segment.kvHead * kGroupSize + member;
        const float inverse = sum.total > 0.0f ? 1.0f / sum.total : 0.0f;
        storeGlobal(reinterpret_cast<uint32_t*>(p.out + static_cast<int64_t>(segment.slot) * kQueryStride + head * kHeadDim + column),
                    packPair<Element>(sum.first * inverse, sum.second * inverse));
        if (p.lse != nullptr && column == 0) {
            storeGlobal(p.lse + static_cast<int64_t>(segment.slot) * Config::kQueryHeads + head, logSumExp(sum.largest, sum.total, p.scale));
        }
    }
};

}  // namespace moa
