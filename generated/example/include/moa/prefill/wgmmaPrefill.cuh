// Prefill attention on Hopper: FlashAttention-3's pipeline (arXiv 2407.08608) over the pages that a head's mask leaves.
//
//   block      = a producer warp and kGroups warpgroups that compute; it stays, and takes items from the work list until none is left
//   item       = kRows = 64 kGroups query rows of one head; a warpgroup owns 64 of them
//   step       = a tile of two pages of keys, or of one where their number is odd and it is the last
//   warpgroup  : S(n+1) = Q K^T(n+1) and O += P(n) V(n) under way together; softmax of S(n+1) while O += P V goes on
//                the groups take turns at issuing, so that one computes its softmax while the tensor cores work for the other
//   producer   : items, Q, and K and V page by page (tensor copies of new tokens, bulk copies of ring pages), as far ahead as there are stages; it
//                alone walks the mask, and says of each step which pages it has and what of them needs masking
//
//   shared memory: Q [kRows] as swizzled blocks of 64 columns; K, V [kStages][2 pages] the same; items, steps and barriers
//   barriers     : full (the bytes have landed) and empty (all who read are done) of each stage of K and V, of Q, and of each item; and landed, of
//                  values that the producer has to complete
#pragma once
#include <moa/prefill/keyPages.cuh>
#include <moa/primitives/barrier.cuh>
#include <moa/primitives/bulkCopy.cuh>
#include <moa/primitives/count.cuh>
#include <moa/primitives/ldmatrix.cuh>
#include <moa/primitives/mbarrier.cuh>
#include <moa/primitives/registers.cuh>
#include <moa/primitives/tensorCopy.cuh>
#include <moa/primitives/wgmma.cuh>
#include <moa/softmax.cuh>

namespace moa {

template <class Config, class Mask>
class WgmmaPrefill {
    using Element = typename Config::Element;
    static constexpr int kHeadDim = Config::kHeadDim;
    static constexpr int kGroups = Config::kGroups;
    static constexpr int kStages = Config::kStages;
    static constexpr int kRows = 64 * kGroups;
    static constexpr int kColumns = 2 * kPageTokens;
    static constexpr int kComputeWarps = 4 * kGroups;
    static constexpr int kBlocks = kHeadDim / kBlockColumns;
    static constexpr int kChunks = kHeadDim / kChunkElements;
    static constexpr bool kHoldsQueries = Config::kHoldsQueries;
    /// The walk is a step ahead of the copies, so that nobody waits for numbers of pages: where the producer has registers for it.
    static constexpr bool kWalksAhead = Config::kProducerRegisters >= 40;
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

public:
    static constexpr int kSharedBytes = (kBarriers + 8 * kBarrierCount + 15) / 16 * 16;
    static constexpr int kThreads = (kGroups + 1) * 128;

    template <class Params>
    static MOA_DEVICE void run(const Params& p) {
        if (threadIndex() == 0) initialize();
        blockBarrier();
        const int group = warpIndex() / 4;
        if (group == kGroups) {
            lowerRegisters<Config::kProducerRegisters>();
            if (warpIndex() == kComputeWarps) produce(p);
        } else {
            raiseRegisters<Config::kComputeRegisters>();
            compute(p, group);
        }
    }

private:
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
    struct Step {
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

    // ---- The producer -----------------------------------------------------------------------------------------------

    /// By one warp. Lane w holds word w of the item; lane 0 starts the copies.
    template <class Params>
    static MOA_DEVICE void produce(const Params& p) {
        if (laneIndex() == 0) {
            prefetchTensorMap(p.queryMap);
            prefetchTensorMap(p.keyMap);
            prefetchTensorMap(p.valueMap);
        }
        Turn<kStages> key;
        Turn<kStages> value;
        Turn<kItems> slot;
        uint32_t queryParity = 1;
        uint32_t landedParity = 0;
        // An item is known an item ahead, and its number two.
        int word = loadWord(p, blockIndex());
        uint32_t ticket = takeTicket(p);
        for (;;) {
            mbarrierWait(emptyItem(slot.index), slot.parity ^ 1);
            if (laneIndex() < PrefillItem::kWords) {
                storeShared(itemSlot(slot.index) + 4 * laneIndex(), word);
                mbarrierArrive(fullItem(slot.index));
            }
            slot.advance();
            const PrefillItem item{shuffle(word, 0), shuffle(word, 1), shuffle(word, 2), shuffle(word, 3),
                                   shuffle(word, 4), shuffle(word, 5), shuffle(word, 6), shuffle(word, 7)};
            if (item.length == 0) break;
            const int next = gridSize() + static_cast<int>(shuffle(ticket, 0));
            word = loadWord(p, next);
            if (next < p.itemCount) ticket = takeTicket(p);

            const int firstRow = item.queryBlock * kRows;
            KeyPages<Mask> pages(Mask{item.window}, rings(p), item, firstRow, minimum(firstRow + kRows, item.length) - 1);
            Step step = nextStep(p, pages, item, Step::kFirst);
            Step ahead = step;
            if constexpr (kWalksAhead) {
                if (!step.isLast()) ahead = nextStep(p, pages, item, 0);
            }
            copyKeys(p, item, step, key);
            mbarrierWait(emptyQuery(), queryParity);
            queryParity ^= 1;
            if (laneIndex() == 0) copyQueries(p, item);

            // V lags K by a step, as those who compute do.
            while (!step.isLast()) {
                const Step before = step;
                if constexpr (kWalksAhead) {
                    step = ahead;
                    if (!step.isLast()) ahead = nextStep(p, pages, item, 0);
                } else {
                    step = nextStep(p, pages, item, 0);
                }
                copyKeys(p, item, step, key);
                copyValues(p, item, before, value, landedParity);
            }
            copyValues(p, item, step, value, landedParity);
        }
    }

    /// For the producer, which has few registers: with a sink that the compiler knows, its way through the mask takes more.
    template <class Params>
    static MOA_DEVICE RingGeometry rings(const Params& p) {
        return RingGeometry{opaque(Config::rings(p).sink)};
    }

    template <class Params>
    static MOA_DEVICE Step nextStep(const Params& p, KeyPages<Mask>& pages, const PrefillItem& item, int flags) {
        Step step;
        step.first = pages.next();
        step.second = pages.next();
        step.firstNumber = step.first.isRing() ? loadGlobal(p.pageTable + item.tableOffset + step.first.ringPage()) : 0;
        step.secondNumber = step.second.isRing() ? loadGlobal(p.pageTable + item.tableOffset + step.second.ringPage()) : 0;
        step.flags = flags | (pages.done() ? Step::kLast : 0);
#pragma unroll
        for (int group = 0; group < kGroups; ++group) {
            const int row = item.queryBlock * kRows + 64 * group;
            const Mask mask{item.window};
            const RingTokens ring = pages.ring(rings(p), item);
            step.flags |= shareOfPage(mask, ring, item, step.first, row, row + 63) << (4 * group);
            step.flags |= shareOfPage(mask, ring, item, step.second, row, row + 63) << (4 * group + 2);
        }
        return step;
    }

    /// Lane 0 gets the number of an item behind those that blocks begin with.
    template <class Params>
    static MOA_DEVICE uint32_t takeTicket(const Params& p) {
        return laneIndex() == 0 ? atomicIncrementWrapRelaxed(p.ticket, static_cast<uint32_t>(p.itemCount - 1)) : 0;
    }

    /// Zeros, which no item has for its length, when there is no such item.
    template <class Params>
    static MOA_DEVICE int loadWord(const Params& p, int index) {
        if (index >= p.itemCount || laneIndex() >= PrefillItem::kWords) return 0;
        return loadGlobal(reinterpret_cast<const int*>(p.items + index) + laneIndex());
    }

    template <class Params>
    static MOA_DEVICE void copyQueries(const Params& p, const PrefillItem& item) {
        mbarrierArriveExpect(fullQuery(), kQueryBytes);
#pragma unroll
        for (int block = 0; block < kBlocks; ++block) {
#pragma unroll
            for (int group = 0; group < kGroups; ++group) {
                tensorCopy<KeepInCache::first>(sharedBase() + block * kQueryBlockBytes + group * kPageBlockBytes, p.queryMap,
                                               item.firstToken + item.queryBlock * kRows + 64 * group, item.head * kHeadDim + block * kBlockColumns, fullQuery());
            }
        }
    }

    /// The step's keys and what there is to know of it, when the stage is empty.
    template <class Params>
    static MOA_DEVICE void copyKeys(const Params& p, const PrefillItem& item, const Step& step, Turn<kStages>& turn) {
        mbarrierWait(emptyKey(turn.index), turn.parity ^ 1);
        if (laneIndex() == 0) {
            storeShared(stepSlot(turn.index), Vec16{{static_cast<uint32_t>(step.first.code), static_cast<uint32_t>(step.second.code), static_cast<uint32_t>(step.flags), 0}});
            copyPages(p, item, step, p.keyMap, 0, keys(turn.index), fullKey(turn.index));
        }
        turn.advance();
    }

    /// The step's values. Rows of a page that hold no token of the sequence become zeros: what lies there may be infinite, which a probability of 0 does
    /// not cancel.
    template <class Params>
    static MOA_DEVICE void copyValues(const Params& p, const PrefillItem& item, const Step& step, Turn<kStages>& turn, uint32_t& landedParity) {
        const SharedAddress to = values(turn.index);
        mbarrierWait(emptyValue(turn.index), turn.parity ^ 1);
        const int first = rowsInUse(p, item, step.first);
        const int second = step.second.exists() ? rowsInUse(p, item, step.second) : first;
        const bool whole = minimum(first, second) == kPageTokens;
        if (laneIndex() == 0) copyPages(p, item, step, p.valueMap, kBlocks * kPageBlockBytes, to, whole ? fullValue(turn.index) : landed());
        if (!whole) {
            mbarrierWait(landed(), landedParity);
            landedParity ^= 1;
            clearRows(to, first);
            if (step.fillsTile()) clearRows(to + kPageBlockBytes, second);
            asyncProxyFence();
            warpBarrier();
            if (laneIndex() == 0) mbarrierArrive(fullValue(turn.index));
        }
        turn.advance();
    }

    /// Rows of a page that hold a token of the sequence: rows 0 .. result - 1.
    template <class Params>
    static MOA_DEVICE int rowsInUse(const Params& p, const PrefillItem& item, KeyPage page) {
        if (page.isRing()) return rings(p).rowsInUse(page.ringPage(), item.cached, item.ringWindow);
        return minimum(kPageTokens, item.length - page.code * kPageTokens);
    }

    static MOA_DEVICE void clearRows(SharedAddress page, int first) {
#pragma unroll 1
        for (int index = first * kChunks + laneIndex(); index < kPageTokens * kChunks; index += 32) {
            storeShared(page + swizzledOffset<kColumns>(index / kChunks, index % kChunks), Vec16{});
        }
    }

    template <class Params>
    static MOA_DEVICE void copyPages(const Params& p, const PrefillItem& item, const Step& step, const TensorMap& map, int ringOffset, SharedAddress to, SharedAddress full) {
        mbarrierArriveExpect(full, (step.fillsTile() ? 2 : 1) * kBlocks * kPageBlockBytes);
        copyPage(p, item, step.first, step.firstNumber, map, ringOffset, to, full);
        if (!step.fillsTile()) return;
        if (step.second.exists()) {
            copyPage(p, item, step.second, step.secondNumber, map, ringOffset, to + kPageBlockBytes, full);
        } else {
            copyPage(p, item, step.first, step.firstNumber, map, ringOffset, to + kPageBlockBytes, full);
        }
    }

    template <class Params>
    static MOA_DEVICE void copyPage(const Params& p, const PrefillItem& item, KeyPage page, int number, const TensorMap& map, int ringOffset, SharedAddress to, SharedAddress full) {
        if (page.isRing()) {
            const unsigned char* from = reinterpret_cast<const unsigned char*>(p.pool) + static_cast<int64_t>(number) * (2 * kBlocks * kPageBlockBytes) + ringOffset;
#pragma unroll
            for (int block = 0; block < kBlocks; ++block) bulkCopy(to + block * kKeyBlockBytes, from + block * kPageBlockBytes, kPageBlockBytes, full);
        } else {
            const int column = item.head / Config::groupSize(p) * kHeadDim;
#pragma unroll
            for (int block = 0; block < kBlocks; ++block) {
                tensorCopy<KeepInCache::last>(to + block * kKeyBlockBytes, map, item.firstToken + page.code * kPageTokens, column + block * kBlockColumns, full);
            }
        }
    }

    // ---- Those who compute ------------------------------------------------------------------------------------------

    /// The warp's 16 rows of Q, as the A fragments of Q K^T, where registers have room: then they are read from shared memory once an item.
    struct Queries {
        uint32_t fragments[kHoldsQueries ? kHeadDim / 16 : 1][4];

        MOA_DEVICE void load() {
            const SwizzledRow<kRows> row(sharedBase() ^ ((laneIndex() >> 4) * kChunkBytes), warpIndex() * 16 + (laneIndex() & 15));
#pragma unroll
            for (int i = 0; i < kHeadDim / 16; ++i) ldmatrixX4(fragments[i], row.at(2 * i, 0));
        }
    };

    struct Softmax {
        float maximum[2];  ///< of rows g and g + 8, in raw units
        float sum[2];      ///< of what the lane has seen
        float scale2;
    };

    struct Turns {
        Turn<kStages> key;
        Turn<kStages> value;
        Turn<kItems> item;
        uint32_t queryParity = 0;
    };

    template <class Params>
    static MOA_DEVICE void compute(const Params& p, int group) {
        if (group == kGroups - 1) namedBarrierArrive(turnOf(0), 256);  // group 0 begins
        Turns turns;
        float output[kHeadDim / 2];
        float scores[kColumns / 2];
        uint32_t probabilities[kColumns / 16][4];
        Softmax softmax;
        softmax.scale2 = p.scale * kLog2e;

        Queries queries;
        Step step;
        // An item's first S is computed together with the last O += P V of the item before.
        bool more = takeItem(queries, step, turns);
        wgmmaFence();
        multiplyKeys<kColumns>(scores, queries, group, turns.key.index);
        wgmmaCommit();
        wgmmaWait<0>(scores);
#pragma unroll 1
        while (more) {
            const int slot = turns.item.index;
            const SharedAddress item = itemSlot(slot);
            releaseKeys(turns, step);
            maskScores<kColumns>(p, scores, item, step, group);
            softmax.maximum[0] = softmax.maximum[1] = kNegativeInfinity;
            softmax.sum[0] = softmax.sum[1] = 0.0f;
            float correction[2];
            updateSoftmax<kColumns>(scores, softmax, correction);
            packProbabilities<kColumns>(probabilities, scores);
#pragma unroll
            for (int i = 0; i < kHeadDim / 2; ++i) output[i] = 0.0f;

            bool narrow = false;
#pragma unroll 1
            while (!step.isLast() && !narrow) {
                mbarrierWait(fullKey(turns.key.index), turns.key.parity);
                step = loadStep(turns.key.index);
                narrow = !step.second.exists();
                if (narrow) {
                    float half[kPageTokens / 2];
                    advance<kPageTokens>(p, half, probabilities, output, softmax, item, step, queries, group, turns);
                } else {
                    advance<kColumns>(p, scores, probabilities, output, softmax, item, step, queries, group, turns);
                }
            }
            turns.item.advance();
            mbarrierWait(fullValue(turns.value.index), turns.value.parity);
            if (narrow) {
                more = endItem<kPageTokens>(p, slot, output, scores, probabilities, softmax, queries, step, group, turns);
            } else {
                more = endItem<kColumns>(p, slot, output, scores, probabilities, softmax, queries, step, group, turns);
            }
        }
    }

    /// Waits for the next item, and for what its first S is made of. False when there is none.
    static MOA_DEVICE bool takeItem(Queries& queries, Step& step, Turns& turns) {
        mbarrierWait(fullItem(turns.item.index), turns.item.parity);
        if (loadShared<int>(itemSlot(turns.item.index) + 4) == 0) return false;
        mbarrierWait(fullKey(turns.key.index), turns.key.parity);
        step = loadStep(turns.key.index);
        mbarrierWait(fullQuery(), turns.queryParity);
        turns.queryParity ^= 1;
        if constexpr (kHoldsQueries) {
            queries.load();
            release(emptyQuery());
        }
        return true;
    }

    /// O += P V of the item's last step, of kWidth keys, and the first S of the next item; then the item's results go out. Where there is no next item, S is
    /// of what lies there, and nobody looks at it: a product under a condition would keep the compiler from leaving any of them in flight.
    template <int kWidth, class Params>
    static MOA_DEVICE bool endItem(const Params& p, int slot, float (&output)[kHeadDim / 2], float (&scores)[kColumns / 2], const uint32_t (&probabilities)[kColumns / 16][4],
                                   Softmax& softmax, Queries& queries, Step& step, int group, Turns& turns) {
        wgmmaFence();
        multiplyValues<kWidth>(output, probabilities, turns.value.index);
        wgmmaCommit();
        const bool more = takeItem(queries, step, turns);
        wgmmaFence();
        multiplyKeys<kColumns>(scores, queries, group, turns.key.index);
        wgmmaCommit();
        wgmmaWait<1>(output);
        release(emptyValue(turns.value.index));
        turns.value.advance();
        store(p, loadItem(itemSlot(slot)), output, softmax);
        release(emptyItem(slot));
        wgmmaWait<0>(scores);
        return more;
    }

    /// S(n+1) = Q K^T(n+1) and O += P(n) V(n) together, then P(n+1). kWidth keys are those of step n+1; step n has kColumns.
    template <int kWidth, class Params>
    static MOA_DEVICE void advance(const Params& p, float (&scores)[kWidth / 2], uint32_t (&probabilities)[kColumns / 16][4], float (&output)[kHeadDim / 2], Softmax& softmax,
                                   SharedAddress item, const Step& step, const Queries& queries, int group, Turns& turns) {
        namedBarrier(turnOf(group), 256);
        wgmmaFence();
        multiplyKeys<kWidth>(scores, queries, group, turns.key.index);
        wgmmaCommit();
        mbarrierWait(fullValue(turns.value.index), turns.value.parity);
        wgmmaFence();
        multiplyValues<kColumns>(output, probabilities, turns.value.index);
        wgmmaCommit();
        namedBarrierArrive(turnOf(group + 1 == kGroups ? 0 : group + 1), 256);
        wgmmaWait<1>(scores);
        releaseKeys(turns, step);
        maskScores<kWidth>(p, scores, item, step, group);
        float correction[2];
        updateSoftmax<kWidth>(scores, softmax, correction);
        wgmmaWait<0>(output, scores);
        release(emptyValue(turns.value.index));
        turns.value.advance();
        packProbabilities<kWidth>(probabilities, scores);
        if (warpAny(correction[0] != 1.0f || correction[1] != 1.0f)) {
#pragma unroll
            for (int i = 0; i < kHeadDim / 2; ++i) output[i] *= correction[i / 2 % 2];
        }
    }

    /// S = Q K^T of the group's 64 rows, in raw units.
    template <int kWidth>
    static MOA_DEVICE void multiplyKeys(float (&scores)[kWidth / 2], const Queries& queries, int group, int stage) {
        const uint64_t q = matrixDescriptor(sharedBase() + group * kPageBlockBytes, 16, 8 * kBlockRowBytes);
        const uint64_t k = matrixDescriptor(keys(stage), 16, 8 * kBlockRowBytes);
#pragma unroll
        for (int i = 0; i < kHeadDim / 16; ++i) {
            const uint64_t keyStep = advanceDescriptor(k, i / 4 * kKeyBlockBytes + i % 4 * 32);
            if constexpr (kHoldsQueries) {
                wgmmaRegistersKMajor<Element, kWidth>(scores, queries.fragments[i], keyStep, i > 0);
            } else {
                wgmmaShared<Element, kWidth>(scores, advanceDescriptor(q, i / 4 * kQueryBlockBytes + i % 4 * 32), keyStep, i > 0);
            }
        }
    }

    /// O += P V.
    template <int kWidth>
    static MOA_DEVICE void multiplyValues(float (&output)[kHeadDim / 2], const uint32_t (&probabilities)[kColumns / 16][4], int stage) {
        const uint64_t v = matrixDescriptor(values(stage), kKeyBlockBytes, 8 * kBlockRowBytes);
#pragma unroll
        for (int i = 0; i < kWidth / 16; ++i) wgmmaRegisters<Element, kHeadDim>(output, probabilities[i], advanceDescriptor(v, i * 16 * kBlockRowBytes));
    }

    /// Scores of pairs that the mask forbids become -inf. Most pages have none.
    template <int kWidth, class Params>
    static MOA_DEVICE void maskScores(const Params& p, float (&scores)[kWidth / 2], SharedAddress slot, const Step& step, int group) {
#pragma unroll
        for (int half = 0; half < kWidth / kPageTokens; ++half) {
            const int share = step.share(group, half);
            if (share == kWholePage) continue;
            const PrefillItem item = loadItem(slot);
            const KeyPage page = half == 0 ? step.first : step.second;
            const int firstKey = 2 * (laneIndex() & 3);
#pragma unroll
            for (int row = 0; row < 2; ++row) {
                const int position = item.queryBlock * kRows + warpIndex() * 16 + (laneIndex() >> 2) + 8 * row;
                if (share == kUpToRow) {
                    const int last = position - page.code * kPageTokens - firstKey;
                    forEachKey([&](int j, int e) {
                        if (j * 8 + e > last) scores[(half * 8 + j) * 4 + 2 * row + e] = kNegativeInfinity;
                    });
                } else {
                    const PageRow bounds = rowOfPage(Mask{item.window}, Config::rings(p), item, page, position).from(firstKey);
                    forEachKey([&](int j, int e) {
                        if (!bounds.allows(j * 8 + e)) scores[(half * 8 + j) * 4 + 2 * row + e] = kNegativeInfinity;
                    });
                }
            }
        }
    }

    /// Calls `visit(j, e)` for the keys 8 j + e of a page that a lane has scores of, counted from its first.
    template <class Visit>
    static MOA_DEVICE void forEachKey(const Visit& visit) {
#pragma unroll
        for (int j = 0; j < kPageTokens / 8; ++j) {
            visit(j, 0);
            visit(j, 1);
        }
    }

    /// Scores become probabilities relative to the running maximum; what was summed before is to be multiplied by `correction`.
    template <int kWidth>
    static MOA_DEVICE void updateSoftmax(float (&scores)[kWidth / 2], Softmax& softmax, float (&correction)[2]) {
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            float largest = softmax.maximum[row];
#pragma unroll
            for (int j = 0; j < kWidth / 8; ++j) largest = larger(largest, larger(scores[4 * j + 2 * row], scores[4 * j + 2 * row + 1]));
            largest = quadMaximum(largest);
            const float base = finiteMaximum(largest) * softmax.scale2;
            correction[row] = exp2Approx(softmax.maximum[row] * softmax.scale2 - base);
            softmax.maximum[row] = largest;
            float sum = softmax.sum[row] * correction[row];
#pragma unroll
            for (int j = 0; j < kWidth / 8; ++j) {
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    float& score = scores[4 * j + 2 * row + e];
                    score = exp2Approx(multiplyAdd(score, softmax.scale2, -base));
                    sum += score;
                }
            }
            softmax.sum[row] = sum;
        }
    }

    /// The accumulators of S are the A fragments of P V: no shuffle is needed.
    template <int kWidth>
    static MOA_DEVICE void packProbabilities(uint32_t (&probabilities)[kColumns / 16][4], const float (&scores)[kWidth / 2]) {
#pragma unroll
        for (int i = 0; i < kWidth / 16; ++i) {
#pragma unroll
            for (int part = 0; part < 4; ++part) probabilities[i][part] = packPair<Element>(scores[8 * i + 2 * part], scores[8 * i + 2 * part + 1]);
        }
    }

    /// O / sum goes out: a lane has 4 bytes of each chunk of a row, and takes whole chunks in exchange.
    template <class Params>
    static MOA_DEVICE void store(const Params& p, const PrefillItem& item, const float (&output)[kHeadDim / 2], Softmax& softmax) {
        const int lane = laneIndex() & 3;
        const int firstRow = item.queryBlock * kRows + warpIndex() * 16 + (laneIndex() >> 2);
        const int stride = Config::queryHeads(p) * kHeadDim;  // elements between tokens
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            const float sum = quadSum(softmax.sum[row]);
            const float inverse = sum > 0.0f ? fastDivide(1.0f, sum) : 0.0f;
            const int position = firstRow + 8 * row;
            const int64_t token = static_cast<int64_t>(item.firstToken) + position;
            const bool exists = position < item.length;
            if (p.lse != nullptr && lane == 0 && exists) {
                storeGlobal(p.lse + token * Config::queryHeads(p) + item.head, logSumExp(softmax.maximum[row], sum, p.scale));
            }
#pragma unroll
            for (int quad = 0; quad < kChunks / 4; ++quad) {
                Vec16 parts;
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const int at = 4 * (4 * quad + i) + 2 * row;
                    parts.w[i] = packPair<Element>(output[at] * inverse, output[at + 1] * inverse);
                }
                transposeQuad(parts, lane);
                if (exists) storeGlobal(reinterpret_cast<Vec16*>(p.out + token * stride + item.head * kHeadDim + (4 * quad + lane) * kChunkElements), parts);
            }
        }
    }

    /// Word i of lane t of a quad becomes word t of lane i.
    static MOA_DEVICE void transposeQuad(Vec16& parts, int lane) {
#pragma unroll
        for (int distance = 1; distance <= 2; distance *= 2) {
            const bool upper = (lane & distance) != 0;
#pragma unroll
            for (int n = 0; n < 2; ++n) {
                const int low = distance == 1 ? 2 * n : n;
                uint32_t& first = parts.w[low];
                uint32_t& second = parts.w[low + distance];
                const uint32_t received = shuffleXor(upper ? first : second, distance);
                first = upper ? received : first;
                second = upper ? second : received;
            }
        }
    }

    static MOA_DEVICE int turnOf(int group) { return 1 + group; }

    static MOA_DEVICE PrefillItem loadItem(SharedAddress slot) {
        const Vec16 head = loadShared<Vec16>(slot);
        const Vec16 tail = loadShared<Vec16>(slot + 16);
        return PrefillItem{static_cast<int>(head.w[0]), static_cast<int>(head.w[1]), static_cast<int>(head.w[2]), static_cast<int>(head.w[3]),
                           static_cast<int>(tail.w[0]), static_cast<int>(tail.w[1]), static_cast<int>(tail.w[2]), static_cast<int>(tail.w[3])};
    }

    /// Of the stage whose keys have landed.
    static MOA_DEVICE Step loadStep(int stage) {
        const Vec16 words = loadShared<Vec16>(stepSlot(stage));
        const Step step{KeyPage{static_cast<int>(words.w[0])}, KeyPage{static_cast<int>(words.w[1])}, 0, 0, static_cast<int>(words.w[2])};
        if (threadIndex() == 0) count(Counter::tile, step.second.exists() ? 2 : 1);
        return step;
    }

    /// The step's keys are done with, and with the last step's the queries in shared memory are.
    static MOA_DEVICE void releaseKeys(Turns& turns, const Step& step) {
        release(emptyKey(turns.key.index));
        turns.key.advance();
        if (!kHoldsQueries && step.isLast()) release(emptyQuery());
    }

    /// The warp is done with what the barrier is for.
    static MOA_DEVICE void release(SharedAddress barrier) {
        warpBarrier();
        if (laneIndex() == 0) mbarrierArrive(barrier);
    }
};

}  // namespace moa
