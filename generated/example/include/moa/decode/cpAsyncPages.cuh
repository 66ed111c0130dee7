// Pages by cp.async (sm_80): every warp copies the 16 rows it computes, through a pipeline of its own, so that no barrier of the block is
// needed until a segment ends. A warp sees every kGroups-th page of a segment.
#pragma once
#include <moa/decode/segment.cuh>
#include <moa/primitives/barrier.cuh>
#include <moa/primitives/cpAsync.cuh>

namespace moa {

template <class Config>
class CpAsyncPages {
    using Cache = typename Config::Cache;
    static constexpr int kStages = Config::kStages;
    static constexpr int kGroups = Config::kGroups;

public:
    static constexpr bool kByHalves = false;
    static constexpr int kStageBytes = kGroups * kStages * Cache::kPageBytes;
    static constexpr int kSharedBytes = kStageBytes + Config::kWarps * kStages * PageItem::kBytes;
    /// The warp's group, which sees every kGroups-th page.
    static MOA_DEVICE int offset() { return warpIndex() / 4; }

    template <class Params>
    MOA_DEVICE explicit CpAsyncPages(const Params& p)
        : walker_(p, offset(), kGroups),
          stages_(sharedBase() + offset() * kStages * Cache::kPageBytes),
          items_(sharedBase() + kStageBytes + warpIndex() * kStages * PageItem::kBytes) {
#pragma unroll
        for (int stage = 0; stage < kStages - 1; ++stage) start(p, stage);
    }

    /// Waits for the next page; its rows lie at `stage()`.
    template <class Params>
    MOA_DEVICE PageItem acquire(const Params& p) {
        cpAsyncWait<kStages - 2>();
        warpBarrier();  // the warp's rows have landed, and its lanes are done with the stage before
        start(p, stage_ == 0 ? kStages - 1 : stage_ - 1);
        return loadItem(entry(stage_));
    }
    MOA_DEVICE DecodeSegment segment() const { return loadSegment(entry(stage_)); }
    MOA_DEVICE SharedAddress stage() const { return stages_ + stage_ * Cache::kPageBytes; }

    /// The lanes are done with the page.
    template <class Params>
    MOA_DEVICE void release(const Params&, bool) { stage_ = stage_ + 1 == kStages ? 0 : stage_ + 1; }

    /// True once the warp has read all lengths that it will ever read.
    MOA_DEVICE bool exhausted() const { return walker_.done(); }
    MOA_DEVICE void finish() { cpAsyncWait<0>(); }

private:
    MOA_DEVICE SharedAddress entry(int stage) const { return items_ + stage * PageItem::kBytes; }

    /// Starts the copy of the warp's 16 rows of the walker's page into `stage`, commits, and moves on. Rows that hold no token become
    /// zeros: whatever lies there, 0 x NaN must not reach the output.
    template <class Params>
    MOA_DEVICE void start(const Params& p, int stage) {
        if (!walker_.done()) {
            walker_.writeItem(entry(stage));
            if (!walker_.empty()) {
                const unsigned char* pool = reinterpret_cast<const unsigned char*>(p.pool);
                copyRows(stages_ + stage * Cache::kPageBytes, pool + static_cast<int64_t>(walker_.pageNumber()) * Cache::kPageBytes, walker_.rows());
            }
            walker_.advance(p);
        }
        cpAsyncCommit();
    }

    /// Of every block of the page, the warp's 16 rows lie in one piece.
    static MOA_DEVICE void copyRows(SharedAddress to, const unsigned char* page, int rows) {
        constexpr int kWarpBytes = Cache::kBlockBytes / 4;
        const int first = (warpIndex() & 3) * kWarpBytes + laneIndex() * kChunkBytes;
#pragma unroll
        for (int block = 0; block < Cache::kBlocks; ++block) {
#pragma unroll
            for (int step = 0; step < kWarpBytes / 512; ++step) {
                const int offset = block * Cache::kBlockBytes + first + step * 512;
                copyChunk(to + offset, page + offset, Cache::rowAt(first + step * 512) < rows);
            }
        }
    }

    /// The L2 cache is told that a page is read once, so that what is read again stays in it. Not where one group of warps leaves the address in shared memory to uniform
    /// registers: of the two, ptxas 13.0 makes an instruction for sm_90 that is illegal.
    static MOA_DEVICE void copyChunk(SharedAddress to, const void* from, bool valid) {
        if constexpr (kGroups > 1) {
            cpAsync16Once(to, from, valid);
        } else {
            cpAsync16(to, from, valid);
        }
    }

    PageWalker<Config> walker_;
    SharedAddress stages_;
    SharedAddress items_;
    int stage_ = 0;
};

}  // namespace moa
