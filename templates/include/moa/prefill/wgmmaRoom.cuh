// What the producer and the warpgroups of a block of prefill on Hopper share: where shared memory holds what, its barriers, and what they tell each other.
// How they work together is in wgmmaPrefill.cuh.
#pragma once
#include <moa/prefill/keyPages.cuh>
#include <moa/primitives/mbarrier.cuh>

namespace moa {

/// A stage of a ring of buffers, and the parity of the phase it is in.
template <int kCount>
class Turn {
public:
    MOA_DEVICE int index() const { return index_; }
    MOA_DEVICE uint32_t parity() const { return parity_; }
    MOA_DEVICE void advance() {
        if (++index_ == kCount) {
            index_ = 0;
            parity_ ^= 1;
        }
    }

private:
    int index_ = 0;
    uint32_t parity_ = 0;
};

/// What there is to know of a step.
struct PrefillStep {
    KeyPage first;
    KeyPage second;  ///< none where a tile is one page
    int flags;  ///< kBegins, kLast, kEnd, and for each group the PageShare of the first page and of the second, two bits each

    static constexpr int kBegins = 1 << 16;  ///< a group begins with this step
    static constexpr int kLast = 1 << 17;    ///< of its item
    static constexpr int kEnd = 1 << 18;     ///< there is no step and no item any more
    static constexpr int kScanned = 1 << 19; ///< its values were scanned for those that are not finite (wgmmaScan.cuh)
    static constexpr int kSkips = kNoneOfPage | kNoneOfPage << 2;
    /// A group's first tile is computed whole: where it has one page, that stands in for the second, so that what is multiplied by 0 is a number.
    MOA_DEVICE bool fillsTile() const { return second.exists() || (flags & kBegins) != 0; }
    MOA_DEVICE bool isLast() const { return (flags & kLast) != 0; }
    MOA_DEVICE bool isEnd() const { return (flags & kEnd) != 0; }
    MOA_DEVICE bool isScanned() const { return (flags & kScanned) != 0; }
    MOA_DEVICE int share(int group, int half) const { return flags >> (4 * group + 2 * half) & 3; }
    /// No row of the group attends any of its keys.
    MOA_DEVICE bool skips(int group) const { return (flags >> 4 * group & kSkips) == kSkips; }
};

template <class Config>
struct WgmmaRoom {
    static constexpr int kHeadDim = Config::kHeadDim;
    static constexpr int kGroups = Config::kGroups;
    static constexpr int kStages = Config::kStages;
    static constexpr int kRows = 64 * kGroups;
    /// Pages of a tile: with headDim 256 the sums of O leave registers for the scores of one.
    static constexpr int kTilePages = kHeadDim > 128 ? 1 : 2;
    static constexpr int kColumns = kTilePages * kPageTokens;
    static constexpr int kComputeWarps = 4 * kGroups;
    static constexpr int kBlocks = kHeadDim / kBlockColumns;
    static constexpr int kChunks = kHeadDim / kChunkElements;
    /// Queries that are held in registers pass through a stage of the keys; others have two places of their own, or with headDim 256 one, which they leave as
    /// soon as the last S is computed.
    static constexpr int kKeyStages = kStages + (Config::kHoldsQueries ? 1 : 0);
    static constexpr int kQueryStages = Config::kHoldsQueries ? 0 : kHeadDim > 128 ? 1 : 2;
    static constexpr bool kLeavesQueriesEarly = kQueryStages == 1;
    /// With three groups a step of 128 keys often has none for one of them; with two it never has, but for an odd last page.
    static constexpr bool kSkipsSteps = kGroups > 2;
    static constexpr int kItems = 4;
    static constexpr int kItemBytes = static_cast<int>(sizeof(PrefillItem));
    static constexpr int kStepBytes = 16;
    /// Of the partial result of a part of an item, in global memory: O, maximum and sum of each row.
    static constexpr int kPartialBytes = kRows * (kHeadDim + 2) * 4;
    static_assert(kGroups >= 2 && kGroups <= 3, "warpgroups take turns");

    // Shared memory, in bytes from its base.
    static constexpr int kPageBlockBytes = kPageTokens * kBlockRowBytes;  ///< 64 tokens x 64 columns
    /// Queries that pass through a stage of keys lie as a tile of kRows rows does, others group after group.
    static constexpr int kQueryBlockBytes = Config::kHoldsQueries ? kRows * kBlockRowBytes : kPageBlockBytes;
    static constexpr int kQueryGroupBytes = Config::kHoldsQueries ? kPageBlockBytes : kBlocks * kPageBlockBytes;
    static constexpr int kKeyBlockBytes = kColumns * kBlockRowBytes;
    static constexpr int kQueryBytes = kBlocks * kRows * kBlockRowBytes;
    static constexpr int kKeyBytes = kBlocks * kKeyBlockBytes;
    static constexpr int kKeys = kQueryStages * kQueryBytes;
    static constexpr int kValues = kKeys + kKeyStages * kKeyBytes;
    /// O goes out so many chunks of a row at a time, by way of the queries' room, or where that has been left, of its own.
    static constexpr int kOutputChunks = kChunks < 16 ? kChunks : 16;
    static constexpr int kOutputs = kValues + kStages * kKeyBytes;
    static constexpr int kItemSlots = kOutputs + (kLeavesQueriesEarly ? kRows * kOutputChunks * kChunkBytes : 0);
    static constexpr int kSteps = kItemSlots + kItems * kItemBytes;
    /// Values that are not finite (wgmmaScan.cuh): a bit for each row of a stage's tile, entries of a queue, and votes of the warps.
    static constexpr int kScanWarps = 3;
    static constexpr int kScanThreads = 32 * kScanWarps;
    static constexpr int kScans = kStages + 1;
    static constexpr int kMarkBytes = 16;
    static_assert(kColumns <= 8 * kMarkBytes);
    static constexpr int kMarks = kSteps + kKeyStages * kStepBytes;
    static constexpr int kScanEntries = kMarks + kStages * kMarkBytes;
    static constexpr int kScanVotes = kScanEntries + 4 * kScans;
    /// For each warp of an item, a byte: whether it stores its rows in the second pass, and whether its outputs of the first are not finite.
    static constexpr int kStores = kScanVotes + 4 * 2 * kScanWarps;
    static constexpr int kNotFinite = kStores + kItems * kComputeWarps;
    static constexpr int kBarriers = (kNotFinite + kItems * kComputeWarps + 7) / 8 * 8;
    static constexpr int kBarrierCount = 2 * (kKeyStages + kStages + kQueryStages) + kItems + kScans;
    static_assert(!Config::kHoldsQueries || kQueryBytes == kKeyBytes, "queries fit a stage of keys");

    static constexpr int kSharedBytes = (kBarriers + 8 * kBarrierCount + 15) / 16 * 16;
    static constexpr int kThreads = (kGroups + 1) * 128;

    static MOA_DEVICE SharedAddress barrier(int index) { return sharedBase() + kBarriers + 8 * index; }
    static MOA_DEVICE SharedAddress fullKey(int stage) { return barrier(stage); }
    static MOA_DEVICE SharedAddress emptyKey(int stage) { return barrier(kKeyStages + stage); }
    static MOA_DEVICE SharedAddress fullValue(int stage) { return barrier(2 * kKeyStages + stage); }
    static MOA_DEVICE SharedAddress emptyValue(int stage) { return barrier(2 * kKeyStages + kStages + stage); }
    static MOA_DEVICE SharedAddress fullQuery(int stage) { return barrier(2 * (kKeyStages + kStages) + stage); }
    static MOA_DEVICE SharedAddress emptyQuery(int stage) { return barrier(2 * (kKeyStages + kStages) + kQueryStages + stage); }
    static MOA_DEVICE SharedAddress emptyItem(int slot) { return barrier(2 * (kKeyStages + kStages + kQueryStages) + slot); }
    /// The values of an entry of the scan queue have landed.
    static MOA_DEVICE SharedAddress landed(int entry) { return barrier(kBarrierCount - kScans + entry); }
    static MOA_DEVICE SharedAddress marks(int stage) { return sharedBase() + kMarks + stage * kMarkBytes; }
    static MOA_DEVICE SharedAddress scanEntry(int entry) { return sharedBase() + kScanEntries + 4 * entry; }
    static MOA_DEVICE SharedAddress scanVote(int set, int warp) { return sharedBase() + kScanVotes + 4 * (set * kScanWarps + warp); }
    static MOA_DEVICE SharedAddress stores(int slot, int warp) { return sharedBase() + kStores + slot * kComputeWarps + warp; }
    static MOA_DEVICE SharedAddress notFinite(int slot, int warp) { return sharedBase() + kNotFinite + slot * kComputeWarps + warp; }
    static MOA_DEVICE SharedAddress queries(int stage) { return sharedBase() + stage * kQueryBytes; }
    static MOA_DEVICE SharedAddress keys(int stage) { return sharedBase() + kKeys + stage * kKeyBytes; }
    static MOA_DEVICE SharedAddress values(int stage) { return sharedBase() + kValues + stage * kKeyBytes; }
    static MOA_DEVICE SharedAddress outputs() { return sharedBase() + kOutputs; }
    static MOA_DEVICE SharedAddress itemSlot(int slot) { return sharedBase() + kItemSlots + slot * kItemBytes; }
    static MOA_DEVICE SharedAddress stepSlot(int stage) { return sharedBase() + kSteps + stage * kStepBytes; }

    static MOA_DEVICE PrefillItem loadItem(SharedAddress slot) {
        return PrefillItem::ofVectors([&](int i) { return loadShared<Vec16>(slot + 16 * i); });
    }

    static MOA_DEVICE void initialize() {
#pragma unroll
        for (int stage = 0; stage < kKeyStages; ++stage) {
            mbarrierInit(fullKey(stage), 1);
            mbarrierInit(emptyKey(stage), kComputeWarps);
        }
#pragma unroll
        for (int stage = 0; stage < kStages; ++stage) {
            mbarrierInit(fullValue(stage), 1);
            mbarrierInit(emptyValue(stage), kComputeWarps + kScanThreads);
        }
#pragma unroll
        for (int stage = 0; stage < kQueryStages; ++stage) {
            mbarrierInit(fullQuery(stage), 1);
            mbarrierInit(emptyQuery(stage), kComputeWarps);
        }
#pragma unroll
        for (int slot = 0; slot < kItems; ++slot) mbarrierInit(emptyItem(slot), kComputeWarps);
#pragma unroll
        for (int entry = 0; entry < kScans; ++entry) mbarrierInit(landed(entry), 1);
        for (int warps = 0; warps < kItems * kComputeWarps; warps += 4) storeShared(sharedBase() + kNotFinite + warps, 0);
        mbarrierInitFence();
    }
};

}  // namespace moa
