// The producer warp of prefill on Hopper: it takes items, walks the mask, and copies what the warpgroups compute with.
#pragma once
#include <moa/prefill/wgmmaRoom.cuh>
#include <moa/primitives/bulkCopy.cuh>
#include <moa/primitives/tensorCopy.cuh>

namespace moa {

template <class Config, class Mask>
class WgmmaProducer : WgmmaRoom<Config> {
    using Room = WgmmaRoom<Config>;
    using Step = PrefillStep;
    /// The walk is a step ahead of the copies, so that nobody waits for numbers of pages: where the producer has registers for it.
    static constexpr bool kWalksAhead = Config::kProducerRegisters >= 40;
    using Room::kHeadDim, Room::kGroups, Room::kStages, Room::kRows, Room::kColumns, Room::kBlocks, Room::kChunks, Room::kItems,
          Room::kPageBlockBytes, Room::kQueryBlockBytes, Room::kKeyBlockBytes, Room::kQueryBytes, Room::fullKey, Room::emptyKey,
          Room::fullValue, Room::emptyValue, Room::fullQuery, Room::emptyQuery, Room::fullItem, Room::emptyItem, Room::landed, Room::keys,
          Room::values, Room::itemSlot, Room::stepSlot;

public:
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

private:
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
};

}  // namespace moa
