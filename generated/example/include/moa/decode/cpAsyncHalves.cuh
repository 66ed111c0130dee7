// Pages by cp.async where shared memory has room for one: every warp copies the 16 rows it computes, keys and values apart. While it multiplies keys the
// values of the page come, and while it multiplies values the keys of the next one. Otherwise as cpAsyncPages.cuh, with one group of warps.
#pragma once
#include <moa/decode/segment.cuh>
#include <moa/primitives/barrier.cuh>
#include <moa/primitives/cpAsync.cuh>

namespace moa {

template <class Config>
class CpAsyncHalves {
    using Cache = typename Config::Cache;
    static_assert(Config::kStages == 1 && Config::kGroups == 1, "there is one page");
    static constexpr int kHalfBlocks = Cache::kBlocks / 2;

public:
    static constexpr bool kByHalves = true;  ///< so whoever attends says when keys have been read, or values are wanted before
    static constexpr int kSharedBytes = Cache::kPageBytes + Config::kWarps * PageItem::kBytes;

    template <class Params>
    MOA_DEVICE explicit CpAsyncHalves(const Params& p) : walker_(p, 0, 1), item_(sharedBase() + Cache::kPageBytes + warpIndex() * PageItem::kBytes) {
        startKeys(p);
        startValues(p);
    }

    /// Waits for the keys of the next page, whose rows lie at `stage()`; what comes after it is known from here on.
    template <class Params>
    MOA_DEVICE PageItem acquire(const Params& p) {
        cpAsyncWait<1>();
        warpBarrier();  // the warp's keys have landed
        walker_.advance(p);
        return loadItem(item_);
    }
    MOA_DEVICE DecodeSegment segment() const { return loadSegment(item_); }
    MOA_DEVICE SharedAddress stage() const { return sharedBase(); }

    /// The values are needed before the keys have been read.
    MOA_DEVICE void waitForValues() const {
        cpAsyncWait<0>();
        warpBarrier();
    }

    /// The lanes are done with the keys, and with the item; the values have landed.
    template <class Params>
    MOA_DEVICE void releaseKeys(const Params& p) {
        warpBarrier();
        startKeys(p);
        cpAsyncWait<1>();
        warpBarrier();
    }

    /// The lanes are done with the page.
    template <class Params>
    MOA_DEVICE void release(const Params& p, bool) {
        warpBarrier();
        startValues(p);
    }

    /// True once the warp has read all lengths that it will ever read.
    MOA_DEVICE bool exhausted() const { return walker_.done(); }
    MOA_DEVICE void finish() { cpAsyncWait<0>(); }

private:
    /// Start the copies of the warp's 16 rows of the walker's page, if there is one, and commit. Rows that hold no token become zeros: whatever lies there,
    /// 0 x NaN must not reach the output.
    template <class Params>
    MOA_DEVICE void startKeys(const Params& p) {
        if (!walker_.done()) walker_.writeItem(item_);
        copyRows(p, 0);
    }
    template <class Params>
    MOA_DEVICE void startValues(const Params& p) {
        copyRows(p, kHalfBlocks);
    }

    /// Of every block of the page, the warp's 16 rows lie in one piece.
    template <class Params>
    MOA_DEVICE void copyRows(const Params& p, int firstBlock) {
        if (!walker_.done() && !walker_.empty()) {
            constexpr int kWarpBytes = Cache::kBlockBytes / 4;
            const unsigned char* pool = reinterpret_cast<const unsigned char*>(p.pool);
            const unsigned char* page = pool + static_cast<int64_t>(walker_.pageNumber()) * Cache::kPageBytes;
            const int first = warpIndex() * kWarpBytes + laneIndex() * kChunkBytes;
#pragma unroll
            for (int block = 0; block < kHalfBlocks; ++block) {
#pragma unroll
                for (int step = 0; step < kWarpBytes / 512; ++step) {
                    const int offset = (firstBlock + block) * Cache::kBlockBytes + first + step * 512;
                    cpAsync16(sharedBase() + offset, page + offset, Cache::rowAt(first + step * 512) < walker_.rows());
                }
            }
        }
        cpAsyncCommit();
    }

    PageWalker<Config> walker_;
    SharedAddress item_;
};

}  // namespace moa
