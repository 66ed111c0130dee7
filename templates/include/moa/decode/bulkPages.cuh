// Pages by bulk copies (sm_90): one warp produces, a whole page in one copy; the others compute. A page is stored as the matrix unit wants it
// in shared memory, so nothing else is needed. full[stage]: the page has landed; empty[stage]: the warps of its group are done with it. Groups take
// stages in turn, as they take pages.
//
// At most kInFlight copies are under way at once: more would not read faster, but everything else that the launch reads would wait behind them; and fewer until the
// stages are full for the first time, for the end of the launch before.
#pragma once
#include <moa/decode/segment.cuh>
#include <moa/primitives/barrier.cuh>
#include <moa/primitives/bulkCopy.cuh>
#include <moa/primitives/dependentLaunch.cuh>
#include <moa/primitives/mbarrier.cuh>

namespace moa {

template <class Config>
class BulkPages {
    using Cache = typename Config::Cache;
    static constexpr int kStages = Config::kStages;
    static constexpr int kGroups = Config::kGroups;
    static constexpr int kInFlight = Config::kInFlight;
    static constexpr int kInFlightAtFirst = Config::kInFlightAtFirst;
    static_assert(kStages % kGroups == 0, "a stage belongs to one group");
    static_assert(kInFlightAtFirst <= kInFlight && kInFlight <= kStages);
    static constexpr int kItemLanes = PageItem::kBytes / 4;                ///< of the producer, that write an item
    static constexpr int kItems = kStages * Cache::kPageBytes;             ///< offset of the items
    static constexpr int kBarriers = kItems + kStages * PageItem::kBytes;  ///< offset of full[], then empty[]

public:
    static constexpr bool kByHalves = false;
    static constexpr int kSharedBytes = kBarriers + (2 * kStages * 8 + 15) / 16 * 16;

    /// By one thread, before the block meets.
    static MOA_DEVICE void initialize() {
#pragma unroll
        for (int stage = 0; stage < kStages; ++stage) {
            mbarrierInit(full(stage), kItemLanes);
            mbarrierInit(empty(stage), Config::kWarps / kGroups);
        }
        mbarrierInitFence();
    }

    /// The producer: by all lanes of its warp, until the block's last page is under way. `started` is called when the stages are full for the
    /// first time, or all is under way.
    template <class Params, class Started>
    static MOA_DEVICE void produce(const Params& p, PageWalker<Config>& walker, const Started& started) {
        int stage = 0;
        uint32_t parity = 1;  // the stages are empty at first: the phase before the first has completed
        bool first = true;
        int inFlight = kInFlightAtFirst;
        int landing = kStages - inFlight;  // the stage of the copy `inFlight` before this one, and its phase
        uint32_t landingParity = 1;
        while (!walker.done()) {
            if (first || inFlight == kInFlight) {
                mbarrierWait(full(landing), landingParity);
                if (++landing == kStages) {
                    landing = 0;
                    landingParity ^= 1;
                }
            } else {
                ++inFlight;
            }
            mbarrierWait(empty(stage), parity);
            walker.writeItem(item(stage));
            const int number = walker.pageNumber();
            if (laneIndex() == 0 && !walker.empty()) {
                mbarrierArriveExpect(full(stage), Cache::kPageBytes);
                const unsigned char* pool = reinterpret_cast<const unsigned char*>(p.pool);
                bulkCopyOnce(sharedBase() + stage * Cache::kPageBytes, pool + static_cast<int64_t>(number) * Cache::kPageBytes, Cache::kPageBytes, full(stage));
            } else if (laneIndex() < kItemLanes) {
                mbarrierArrive(full(stage));  // for the word of the item that the lane wrote
            }
            walker.advance(p);
            if (++stage == kStages) {
                stage = 0;
                parity ^= 1;
                if (first) started();
                first = false;
            }
        }
        if (first) started();
    }

    /// Waits for the next page, as a computing warp; it lies at `stage()`.
    template <class Params>
    MOA_DEVICE PageItem acquire(const Params&) {
        mbarrierWait(full(stage_), parity_);
        return loadItem(item(stage_));
    }
    MOA_DEVICE DecodeSegment segment() const { return loadSegment(item(stage_)); }
    MOA_DEVICE SharedAddress stage() const { return sharedBase() + stage_ * Cache::kPageBytes; }

    /// The warp is done with the page; `written` says that the lane wrote to it.
    template <class Params>
    MOA_DEVICE void release(const Params&, bool written) {
        if (written) asyncProxyFence();
        warpBarrier();
        if (laneIndex() == 0) mbarrierArrive(empty(stage_));
        stage_ += kGroups;
        if (stage_ >= kStages) {
            stage_ -= kStages;
            parity_ ^= 1;
        }
    }

private:
    static MOA_DEVICE SharedAddress item(int stage) { return sharedBase() + kItems + stage * PageItem::kBytes; }
    static MOA_DEVICE SharedAddress full(int stage) { return sharedBase() + kBarriers + stage * 8; }
    static MOA_DEVICE SharedAddress empty(int stage) { return sharedBase() + kBarriers + (kStages + stage) * 8; }

    int stage_ = warpIndex() / 4;
    uint32_t parity_ = 0;
};

}  // namespace moa
