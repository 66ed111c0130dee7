// From the parts of a ring to its output: the states of a block's warps become a piece's, and where a ring is cut into several pieces, the block that finishes last
// adds their partial results in the order of the splits, so the result does not depend on timing.
//
// Behind a piece with which a block leaves the ring its warps meet. Behind another one nobody waits: full: all warps have written their states; each reads the next page
// first, then adds its share; free: all have done so.
#pragma once
#include <type_traits>

#include <moa/decode/queryRows.cuh>
#include <moa/primitives/barrier.cuh>
#include <moa/primitives/mbarrier.cuh>
#include <moa/scoreOptions.cuh>

namespace moa {

template <class Config>
class Merge {
    using Element = typename Config::Element;
    static constexpr int kHeadDim = Config::kHeadDim;
    static constexpr int kWarps = Config::kWarps;
    static constexpr int kThreads = kWarps * 32;
    static constexpr int kStateFloats = kHeadDim + 4;  ///< of one query head in a partial result: O, the maximum, the sum; rows of 16 bytes
    static constexpr int kRowFloats = kHeadDim + 4;    ///< in shared memory: two rows are 8 banks apart, so that the four lanes that write a column of heads do not conflict
    /// Of partial results, a lane reads so many columns of so many heads and splits at once: one latency for most rings.
    static constexpr int kLaneColumns = kHeadDim / 32;
    using Columns = std::conditional_t<kLaneColumns == 2, Vec8, Vec16>;
    static constexpr int kVectorColumns = kLaneColumns == 2 ? 2 : 4;
    static constexpr int kVectors = kLaneColumns / kVectorColumns;  ///< of a lane, 32 kVectorColumns columns apart
    static_assert(kLaneColumns == kVectors * kVectorColumns, "a lane reads 8 or 16 bytes at once");
    static constexpr int kMostMembers = kVectors > 1 ? 2 : 4;
    static constexpr int kMembers = Config::kMaxGroup < kMostMembers ? Config::kMaxGroup : kMostMembers;
    static constexpr int kSplits = 4;

public:
    static constexpr int kRowBytes = kRowFloats * 4;
    static constexpr int kBarriers = kWarps * Config::kMaxGroup * kRowBytes;  ///< offset of full and free
    static constexpr int kBytes = kBarriers + 16;
    /// Floats of one partial result.
    static constexpr int kPartialFloats = Config::kMaxGroup * kStateFloats;

    /// By one thread, before the block meets.
    static MOA_DEVICE void initialize(SharedAddress area) {
        mbarrierInit(full(area), kThreads);
        mbarrierInit(free(area), kThreads);
    }

    /// Before a computing warp writes its states of a piece to `area`: warp after warp, kMaxGroup rows each.
    MOA_DEVICE void claim(SharedAddress area) const { mbarrierWait(free(area), (left_ + 1) & 1); }

    /// All computing warps have written their states of the piece with which the block leaves the ring.
    template <class Params>
    static MOA_DEVICE void close(const Params& p, const DecodeSegment& segment, SharedAddress area) {
        const auto out = [&](const Sum& sum, int member, int column) { writeOut(sum, p, segment, member, column); };
        meet();
        if (segment.splits == 1) {
            combine(p, segment, area, threadIndex(), out);
        } else {
            writePartials(p, segment, segment.split, area, threadIndex());
            if (finishesRing(p, segment, area)) {
                gather(p, segment, area);
                meet();
                combine(p, segment, area, threadIndex(), out);
            }
        }
        meet();  // the area is free for the next piece
    }

    /// The lane has written its states of another piece. Each lane says so for itself: a lane for its warp, behind a barrier of the warp, would order them as well, but
    /// compute-sanitizer's racecheck would not see it.
    static MOA_DEVICE void leave(SharedAddress area) {
        mbarrierArrive(full(area));
    }

    /// After `leave`, when the warp has done what need not wait: its share of the sums of the piece, which is the one before that of `segment`.
    template <class Params>
    MOA_DEVICE void settle(const Params& p, const DecodeSegment& segment, SharedAddress area) {
        mbarrierWait(full(area), left_ & 1);
        // Where the threads of a group suffice, the groups take turns.
        const int thread = threadIndex() + left_ % Config::kGroups * (kThreads / Config::kGroups);
        writePartials(p, segment, segment.split - 1, area, thread < kThreads ? thread : thread - kThreads);
        mbarrierArrive(free(area));
        ++left_;
    }

private:
    /// Two columns of one row, gathered from parts with their own maxima.
    struct Sum {
        float largest = kNegativeInfinity;
        float total = 0.0f;
        float first = 0.0f;
        float second = 0.0f;
    };

    static MOA_DEVICE SharedAddress full(SharedAddress area) { return area + kBarriers; }
    static MOA_DEVICE SharedAddress free(SharedAddress area) { return area + kBarriers + 8; }

    /// The computing threads meet.
    static MOA_DEVICE void meet() {
        if constexpr (Config::kProducer) {
            namedBarrier(1, kThreads);
        } else {
            blockBarrier();
        }
    }

    static MOA_DEVICE float weightOf(float maximum, float largest, float scale2) { return exp2Approx(maximum * scale2 - finiteMaximum(largest) * scale2); }

    /// Adds the states of the warps, in their order, and gives each pair of columns to `emit`. As computing thread number `thread`.
    template <class Params, class Emit>
    static MOA_DEVICE void combine(const Params& p, const DecodeSegment& segment, SharedAddress area, int thread, const Emit& emit) {
        const float scale2 = scoreUnit<Config>(p) * kLog2e;
        for (int index = thread; index < QueryRows<Config>::count(p, segment) * (kHeadDim / 2); index += kThreads) {
            const int member = index / (kHeadDim / 2);
            const int column = index % (kHeadDim / 2) * 2;
            const SharedAddress row = area + member * kRowBytes;
            Sum sum;
            Vec8 scalars[kWarps];
#pragma unroll
            for (int part = 0; part < kWarps; ++part) {
                scalars[part] = loadShared<Vec8>(row + part * Config::kMaxGroup * kRowBytes + kHeadDim * 4);
                sum.largest = larger(sum.largest, bitsToFloat(scalars[part].w[0]));
            }
#pragma unroll
            for (int part = 0; part < kWarps; ++part) {
                const Vec8 columns = loadShared<Vec8>(row + part * Config::kMaxGroup * kRowBytes + column * 4);
                const float weight = weightOf(bitsToFloat(scalars[part].w[0]), sum.largest, scale2);
                sum.total += bitsToFloat(scalars[part].w[1]) * weight;
                sum.first += bitsToFloat(columns.w[0]) * weight;
                sum.second += bitsToFloat(columns.w[1]) * weight;
            }
            emit(sum, member, column);
        }
    }

    template <class Params>
    static MOA_DEVICE void writePartials(const Params& p, const DecodeSegment& segment, int split, SharedAddress area, int thread) {
        float* partial = p.partials + static_cast<int64_t>(segment.firstPartial + split) * kPartialFloats;
        combine(p, segment, area, thread, [&](const Sum& sum, int member, int column) { writePartial(sum, partial + member * kStateFloats, column); });
    }

    /// To be kept in the cache, beside the pages that a launch reads once, until the ring's last piece comes.
    static MOA_DEVICE void writePartial(const Sum& sum, float* row, int column) {
        storeGlobalKept(row + column, Vec8{{floatBits(sum.first), floatBits(sum.second)}});
        if (column == 0) storeGlobalKept(row + kHeadDim, Vec8{{floatBits(sum.largest), floatBits(sum.total)}});
    }

    /// Counts the segment as finished; true for the last of its ring, which sees the partial results of all.
    template <class Params>
    static MOA_DEVICE bool finishesRing(const Params& p, const DecodeSegment& segment, SharedAddress area) {
        const uint32_t last = static_cast<uint32_t>(segment.runs - 1);
        meet();
        if (threadIndex() == 0) storeShared(area, atomicIncrementWrap(p.tickets + 1 + QueryRows<Config>::ring(p, segment), last));
        meet();
        const bool finished = loadShared<uint32_t>(area) == last;
        if (finished) meet();  // `area` has been read
        return finished;
    }

    /// Each warp adds every kWarps-th partial result of the ring, in their order, and leaves the sum in `area` as its state.
    template <class Params>
    static MOA_DEVICE void gather(const Params& p, const DecodeSegment& segment, SharedAddress area) {
        const float scale2 = scoreUnit<Config>(p) * kLog2e;
        const int warp = warpIndex();
        const int column = laneIndex() * kVectorColumns;
        const float* partials = p.partials + static_cast<int64_t>(segment.firstPartial) * kPartialFloats;
        for (int firstMember = 0; firstMember < QueryRows<Config>::count(p, segment); firstMember += kMembers) {
            float largest[kMembers];
            float total[kMembers] = {};
            float columns[kMembers][kLaneColumns] = {};
#pragma unroll
            for (int m = 0; m < kMembers; ++m) largest[m] = kNegativeInfinity;
            for (int first = warp; first < segment.splits; first += kSplits * kWarps) {
                Vec8 scalars[kMembers][kSplits];
                Columns parts[kMembers][kSplits][kVectors];
#pragma unroll
                for (int m = 0; m < kMembers; ++m) {
#pragma unroll
                    for (int i = 0; i < kSplits; ++i) {
                        scalars[m][i] = Vec8{{floatBits(kNegativeInfinity), 0u}};
#pragma unroll
                        for (int v = 0; v < kVectors; ++v) parts[m][i][v] = Columns{};
                        const int split = first + i * kWarps;
                        if (split < segment.splits && firstMember + m < QueryRows<Config>::count(p, segment)) {
                            const float* from = partials + static_cast<int64_t>(split) * kPartialFloats + (firstMember + m) * kStateFloats;
                            scalars[m][i] = loadGlobal(reinterpret_cast<const Vec8*>(from + kHeadDim));
#pragma unroll
                            for (int v = 0; v < kVectors; ++v) parts[m][i][v] = loadGlobal(reinterpret_cast<const Columns*>(from + column + v * 32 * kVectorColumns));
                        }
                    }
                }
#pragma unroll
                for (int m = 0; m < kMembers; ++m) {
                    float raised = largest[m];
#pragma unroll
                    for (int i = 0; i < kSplits; ++i) raised = larger(raised, bitsToFloat(scalars[m][i].w[0]));
                    const float correction = weightOf(largest[m], raised, scale2);
                    largest[m] = raised;
                    total[m] *= correction;
#pragma unroll
                    for (int c = 0; c < kLaneColumns; ++c) columns[m][c] *= correction;
#pragma unroll
                    for (int i = 0; i < kSplits; ++i) {
                        const float weight = weightOf(bitsToFloat(scalars[m][i].w[0]), raised, scale2);
                        total[m] += bitsToFloat(scalars[m][i].w[1]) * weight;
#pragma unroll
                        for (int c = 0; c < kLaneColumns; ++c) columns[m][c] += bitsToFloat(parts[m][i][c / kVectorColumns].w[c % kVectorColumns]) * weight;
                    }
                }
            }
#pragma unroll
            for (int m = 0; m < kMembers; ++m) {
                if (firstMember + m >= QueryRows<Config>::count(p, segment)) continue;
                const SharedAddress row = area + (warp * Config::kMaxGroup + firstMember + m) * kRowBytes;
#pragma unroll
                for (int v = 0; v < kVectors; ++v) {
                    Columns words;
#pragma unroll
                    for (int c = 0; c < kVectorColumns; ++c) words.w[c] = floatBits(columns[m][v * kVectorColumns + c]);
                    storeShared(row + (column + v * 32 * kVectorColumns) * 4, words);
                }
                if (laneIndex() == 0) storeShared(row + kHeadDim * 4, Vec8{{floatBits(largest[m]), floatBits(total[m])}});
            }
        }
    }

    template <class Params>
    static MOA_DEVICE void writeOut(Sum sum, const Params& p, const DecodeSegment& segment, int member, int column) {
        const int64_t row = QueryRows<Config>::place(p, segment, member);
        const float weight = joinSink<Config>(p, QueryRows<Config>::head(p, segment, member), sum.largest, sum.total);
        const float inverse = sum.total > 0.0f ? weight / sum.total : 0.0f;
        storeGlobal(reinterpret_cast<uint32_t*>(p.out + row * kHeadDim + column), packPair<Element>(sum.first * inverse, sum.second * inverse));
        if (p.lse != nullptr && column == 0) storeGlobal(p.lse + row, logSumExpOf<Config>(p, sum.largest, sum.total));
    }

    int left_ = 0;  ///< pieces behind which the block went on
};

}  // namespace moa
