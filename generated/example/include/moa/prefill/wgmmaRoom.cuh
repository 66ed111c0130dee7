// What the producer and the warpgroups of a block of prefill on Hopper share: where shared memory holds what, its barriers, and what they tell each other.
// How they work together is in wgmmaPrefill.cuh.
#pragma once
#include <moa/prefill/keyPages.cuh>
#include <moa/primitives/mbarrier.cuh>

namespace moa {

/// A stage of a ring of buffers, and the parity of the phase it is in.
template <int kCount>
struct Turn {
    int index = 0;
    uint32_t parity = 0;
    MOA_DEVICE void advance() {
        if (++index == kCount) {
            index = 0;
            parity ^= 1;
        }
    }
};

/// What there is to know of a step.
struct PrefillStep {
    KeyPage first;
    KeyPage second;
    int firstNumber;  ///< of the pool's page, where the first is one of the ring
    int secondNumber;
    int flags;  ///< kFirst, kLast, and for each group the PageShare of the first page and of the second, two bits each

    static constexpr int kFirst = 1 << 16;
    static constexpr int kLast = 1 << 17;
    /// An item's first tile is computed whole: where it has one page, that stands in for the second, so that what is multiplied by 0 is a number.
    MOA_DEVICE bool fillsTile() const { return second.exists() || (flags & kFirst) != 0; }
    MOA_DEVICE bool isLast() const { return (flags & kLast) != 0; }
    MOA_DEVICE int share(int group, int half) const { return flags >> (4 * group + 2 * half) & 3; }
};

template <class Config>
struct WgmmaRoom {
    static constexpr int kHeadDim = Config::kHeadDim;
    static constexpr int kGroups = Config::kGroups;
    static constexpr int kStages = Config::kStages;
    static constexpr int kRows = 64 * kGroups;
    static constexpr int kColumns = 2 * kPageTokens;
    static constexpr int kComputeWarps = 4 * kGroups;
    static constexpr int kBlocks = kHeadDim / kBlockColumns;
    static constexpr int kChunks = kHeadDim / kChunkElements;
    static constexpr int kItems = 2;
    static constexpr int kItemBytes = static_cast<int>(sizeof(PrefillItem));
    static constexpr int kStepBytes = 16;
    static_assert(kGroups >= 2 && kGroups <= 3, "warpgroups take turns");

    // Shared memory, in bytes from its base.
    static constexpr int kPageBlockBytes = kPageTokens * kBlockRowBytes;  ///< 64 tokens x 64 columns
    static constexpr int kQueryBlockBytes = kRows * kBlockRowBytes;
    static constexpr int kKeyBlockBytes = kColumns * kBlockRowBytes;
    static constexpr int kQueryBytes = kBlocks * kQueryBlockBytes;
    static constexpr int kKeyBytes = kBlocks * kKeyBlockBytes;
    static constexpr int kKeys = kQueryBytes;
    static constexpr int kValues = kKeys + kStages * kKeyBytes;
    static constexpr int kItemSlots = kValues + kStages * kKeyBytes;
    static constexpr int kSteps = kItemSlots + kItems * kItemBytes;
    static constexpr int kBarriers = kSteps + kStages * kStepBytes;
    static constexpr int kBarrierCount = 4 * kStages + 3 + 2 * kItems;

    static constexpr int kSharedBytes = (kBarriers + 8 * kBarrierCount + 15) / 16 * 16;
    static constexpr int kThreads = (kGroups + 1) * 128;

    static MOA_DEVICE SharedAddress barrier(int index) { return sharedBase() + kBarriers + 8 * index; }
    static MOA_DEVICE SharedAddress fullKey(int stage) { return barrier(stage); }
    static MOA_DEVICE SharedAddress emptyKey(int stage) { return barrier(kStages + stage); }
    static MOA_DEVICE SharedAddress fullValue(int stage) { return barrier(2 * kStages + stage); }
    static MOA_DEVICE SharedAddress emptyValue(int stage) { return barrier(3 * kStages + stage); }
    static MOA_DEVICE SharedAddress fullQuery() { return barrier(4 * kStages); }
    static MOA_DEVICE SharedAddress emptyQuery() { return barrier(4 * kStages + 1); }
    static MOA_DEVICE SharedAddress fullItem(int slot) { return barrier(4 * kStages + 2 + slot); }
    static MOA_DEVICE SharedAddress emptyItem(int slot) { return barrier(4 * kStages + 2 + kItems + slot); }
    static MOA_DEVICE SharedAddress landed() { return barrier(4 * kStages + 2 + 2 * kItems); }
    static MOA_DEVICE SharedAddress keys(int stage) { return sharedBase() + kKeys + stage * kKeyBytes; }
    static MOA_DEVICE SharedAddress values(int stage) { return sharedBase() + kValues + stage * kKeyBytes; }
    static MOA_DEVICE SharedAddress itemSlot(int slot) { return sharedBase() + kItemSlots + slot * kItemBytes; }
    static MOA_DEVICE SharedAddress stepSlot(int stage) { return sharedBase() + kSteps + stage * kStepBytes; }

    static MOA_DEVICE void initialize() {
#pragma unroll
        for (int stage = 0; stage < kStages; ++stage) {
            mbarrierInit(fullKey(stage), 1);
            mbarrierInit(fullValue(stage), 1);
            mbarrierInit(emptyKey(stage), kComputeWarps);
            mbarrierInit(emptyValue(stage), kComputeWarps);
        }
        mbarrierInit(fullQuery(), 1);
        mbarrierInit(emptyQuery(), kComputeWarps);
        mbarrierInit(landed(), 1);
#pragma unroll
        for (int slot = 0; slot < kItems; ++slot) {
            mbarrierInit(fullItem(slot), PrefillItem::kWords);
            mbarrierInit(emptyItem(slot), kComputeWarps);
        }
        mbarrierInitFence();
    }
};

}  // namespace moa
