// The producer warp of prefill on Hopper: it takes items, walks the mask, and copies what the warpgroups compute with.
#pragma once
#include <moa/prefill/wgmmaScan.cuh>
#include <moa/primitives/bulkCopy.cuh>
#include <moa/primitives/tensorCopy.cuh>

namespace moa {

template <class Config, class Mask>
class WgmmaProducer : WgmmaRoom<Config> {
    using Room = WgmmaRoom<Config>;
    static constexpr bool kHoldsQueries = Config::kHoldsQueries;
    using Room::kHeadDim, Room::kGroups, Room::kStages, Room::kKeyStages, Room::kQueryStages, Room::kRows, Room::kTilePages, Room::kColumns, Room::kBlocks, Room::kChunks, Room::kItems, Room::kComputeWarps, Room::kScanThreads, Room::kScans, Room::kSkipsSteps,
          Room::kPageBlockBytes, Room::kQueryBlockBytes, Room::kQueryGroupBytes, Room::kKeyBlockBytes, Room::kQueryBytes, Room::fullKey, Room::emptyKey,
          Room::fullValue, Room::emptyValue, Room::fullQuery, Room::emptyQuery, Room::emptyItem, Room::landed, Room::keys, Room::scanEntry,
          Room::values, Room::queries, Room::stores, Room::notFinite, Room::itemSlot, Room::stepSlot, Room::loadItem;
    static_assert(PrefillItem::kWords <= 32, "a lane has a word");

    /// A page of the walk, looked up by one lane: 32 at once.
    struct Found {
        int code;    ///< of its KeyPage
        int number;  ///< of the pool's page, where it is one of the ring
        int facts;   ///< PageShare of each group, 4 bits a group; and rows in use
        static constexpr int kRowsAt = 16;
    };

    /// The pages of a tile, one or two side by side, and where the pool has them.
    struct Pages {
        KeyPage first;
        KeyPage second;
        int firstNumber;
        int secondNumber;
    };

    /// Of an item, what copies of its keys and values take.
    struct Place {
        int firstToken;
        int column;  ///< of the first element of the head's keys and values
        int pages;
        int groups;  ///< that have rows
    };

    /// From this bit on flags say which groups have begun.
    static constexpr int kBegunAt = 24;
    /// What a second page says that no tile has: no group attends it.
    static constexpr int kNoShare = kNoneOfPage | kNoneOfPage << 4 | kNoneOfPage << 8;

public:
    /// By one warp. Lane w holds word w of the item; lane 0 starts the copies.
    template <class Params>
    static MOA_DEVICE void produce(const Params& p) {
        if (laneIndex() == 0) {
            prefetchTensorMap(p.queryMap);
            prefetchTensorMap(p.keyMap);
            prefetchTensorMap(p.valueMap);
        }
        Turn<kKeyStages> key;
        Turn<kStages> value;
        Turn<kHoldsQueries ? 1 : kQueryStages> query;
        Turn<kItems> slot;
        Turn<kScans> scan;
        bool scans = false;  // the second pass
        int again = 0;       // items that come again next; they lie in their slots
        // An item is known an item ahead, and its number two.
        int word = loadFirstWord(p);
        uint32_t ticket = takeTicket(p, blockIndex());
        for (;;) {
            mbarrierWait(emptyItem(slot.index()), slot.parity() ^ 1);
            const SharedAddress at = itemSlot(slot.index());
            if (again > 0) {
                --again;
            } else {
                const bool isEnd = shuffle(word, 1) == 0;
                if (!scans && (isEnd || anyNotFinite(slot.index()))) {
                    endPass(key);
                    again = collect(slot);
                    scans = true;
                    continue;
                }
                if (isEnd) break;
                if (laneIndex() < PrefillItem::kWords) storeShared(at + 4 * laneIndex(), word);
                if (laneIndex() == 0) {
#pragma unroll
                    for (int warps = 0; warps < kComputeWarps; warps += 4) storeShared(stores(slot.index(), warps), 0x01010101);
                }
                warpBarrier();  // what comes next through a barrier tells of the item, too
                const int next = gridSize() + static_cast<int>(shuffle(ticket, 0));
                word = loadWord(p, next);
                ticket = takeTicket(p, next);
            }
            slot.advance();

            const Place place = placeOf(p, at);
            if constexpr (kHoldsQueries) {
                mbarrierWait(emptyKey(key.index()), key.parity() ^ 1);
                if (laneIndex() == 0) {
                    storeShared(stepSlot(key.index()), Vec16{});
                    copyQueries(p, at, keys(key.index()), fullKey(key.index()));
                }
                key.advance();
            }
            int flags = 0;
#pragma unroll 1
            for (int from = 0; from < place.pages; from += 32) {
                const Found found = look(p, at, from);
                copyKeys(p, place, found, from, scans, flags, key);
                if (!kHoldsQueries && from == 0) {
                    mbarrierWait(emptyQuery(query.index()), query.parity() ^ 1);
                    if (laneIndex() == 0) copyQueries(p, at, queries(query.index()), fullQuery(query.index()));
                    query.advance();
                }
                // V lags K by a step, as those who compute do.
                int page = from;
#pragma unroll 1
                for (; page + kTilePages < minimum(from + 32, place.pages); page += kTilePages) {
                    copyKeys(p, place, found, page + kTilePages, scans, flags, key);
                    copyValues(p, place, found, page, scans, flags, value, scan);
                }
                copyValues(p, place, found, page, scans, flags, value, scan);
            }
        }
        endPass(key);
        if (laneIndex() == 0) {
            // The queue has an entry more than there are stages, so whoever read this one is done with it.
            storeShared(scanEntry(scan.index()), int{ScanEntry::kEnd});
            mbarrierArrive(landed(scan.index()));
        }
    }

private:
    /// Those who compute end their pass, when they have computed what came before.
    static MOA_DEVICE void endPass(Turn<kKeyStages>& key) {
        mbarrierWait(emptyKey(key.index()), key.parity() ^ 1);
        if (laneIndex() == 0) {
            storeShared(stepSlot(key.index()), Vec16{{0, 0, PrefillStep::kEnd, 0}});
            mbarrierArrive(fullKey(key.index()));
        }
        key.advance();
    }

    /// Whether a warp's outputs of a slot's item, which has been computed, are not finite.
    static MOA_DEVICE bool anyNotFinite(int slot) {
        return warpAny(laneIndex() < kComputeWarps / 4 && loadShared<int>(notFinite(slot, 4 * laneIndex())) != 0);
    }

    /// Waits for all items of the first pass. Those with outputs that are not finite move to the slots from `next` on, for the warps that have such. Returns
    /// how many they are.
    static MOA_DEVICE int collect(Turn<kItems> next) {
        Turn<kItems> to = next;
        int found = 0;
#pragma unroll 1
        for (int i = 0; i < kItems; ++i) {
            mbarrierWait(emptyItem(next.index()), next.parity() ^ 1);
            if (anyNotFinite(next.index())) {
                if (laneIndex() == 0) {
#pragma unroll 1
                    for (int word = 0; word < PrefillItem::kWords; ++word) storeShared(itemSlot(to.index()) + 4 * word, loadShared<int>(itemSlot(next.index()) + 4 * word));
#pragma unroll
                    for (int warps = 0; warps < kComputeWarps; warps += 4) storeShared(stores(to.index(), warps), loadShared<int>(notFinite(next.index(), warps)));
                }
                to.advance();
                ++found;
            }
            next.advance();
        }
        warpBarrier();
        return found;
    }

    /// For the producer, which has few registers: with a sink that the compiler knows, its way through the mask takes more.
    template <class Params>
    static MOA_DEVICE RingGeometry rings(const Params& p) {
        return RingGeometry{opaque(Config::rings(p).sink)};
    }

    template <class Params>
    static MOA_DEVICE Place placeOf(const Params& p, SharedAddress at) {
        const PrefillItem item = loadItem(at);
        return Place{item.firstToken, item.head / Config::groupSize(p) * kHeadDim, item.pages, minimum(kGroups, ceilDivide(item.length - item.queryBlock * kRows, 64))};
    }

    /// Lane i looks up page `page + i` of the item. The item is read as often as it is asked: it would take a third of the registers.
    template <class Params>
    static MOA_DEVICE Found look(const Params& p, SharedAddress at, int page) {
        const KeyPage found = pageOf(p, loadItem(opaque(at)), page + laneIndex());
        const PrefillItem item = loadItem(opaque(at));
        Found result{found.code, 0, 0};
        int rows = kPageTokens;
        if (found.isRing()) {
            result.number = loadGlobal(p.pageTable + item.tableOffset + found.ringPage());
            rows = rings(p).rowsInUse(found.ringPage(), item.cached, item.ringWindow);
        } else if (found.exists()) {
            rows = minimum(kPageTokens, item.length - found.code * kPageTokens);
        }
        result.facts = rows << Found::kRowsAt;
#pragma unroll 1
        for (int group = 0; group < kGroups; ++group) {
            const int row = item.queryBlock * kRows + 64 * group;
            result.facts |= shareOfPage(Mask{item.window}, RingTokens::of(rings(p), item), item, found, row, row + 63) << (4 * group);
        }
        return result;
    }

    template <class Params>
    static MOA_DEVICE KeyPage pageOf(const Params& p, const PrefillItem& item, int number) {
        if (number >= item.pages) return KeyPage{KeyPage::kNone};
        const int firstRow = item.queryBlock * kRows;
        const KeyPages<Mask> pages(Mask{item.window}, rings(p), item, firstRow, minimum(firstRow + kRows, item.length) - 1);
        return pages.at(item.firstPage + number);
    }

    static MOA_DEVICE Pages pagesOf(const Found& found, int lane) {
        if constexpr (kTilePages == 1) return Pages{KeyPage{shuffle(found.code, lane)}, KeyPage{KeyPage::kNone}, shuffle(found.number, lane), 0};
        return Pages{KeyPage{shuffle(found.code, lane)}, KeyPage{shuffle(found.code, lane + 1)}, shuffle(found.number, lane), shuffle(found.number, lane + 1)};
    }

    /// Lane 0 gets the number of an item behind those that blocks begin with, if there is an item `index`: so as many are taken as there are items.
    template <class Params>
    static MOA_DEVICE uint32_t takeTicket(const Params& p, int index) {
        if (laneIndex() != 0) return 0;
        const int count = loadGlobal(p.itemCount);
        return index < count ? atomicIncrementWrapRelaxed(p.ticket, static_cast<uint32_t>(count - 1)) : 0;
    }

    /// Of the item that the block begins with: where there are fewer items than blocks, the plan ends with zeros for the others.
    template <class Params>
    static MOA_DEVICE int loadFirstWord(const Params& p) {
        return laneIndex() < PrefillItem::kWords ? loadGlobal(reinterpret_cast<const int*>(p.items + blockIndex()) + laneIndex()) : 0;
    }

    /// Zeros, which no item has for its length, when there is no such item.
    template <class Params>
    static MOA_DEVICE int loadWord(const Params& p, int index) {
        if (laneIndex() >= PrefillItem::kWords || index >= loadGlobal(p.itemCount)) return 0;
        return loadGlobal(reinterpret_cast<const int*>(p.items + index) + laneIndex());
    }

    template <class Params>
    static MOA_DEVICE void copyQueries(const Params& p, SharedAddress at, SharedAddress to, SharedAddress full) {
        const PrefillItem item = loadItem(at);
        mbarrierArriveExpect(full, kQueryBytes);
#pragma unroll
        for (int block = 0; block < kBlocks; ++block) {
#pragma unroll
            for (int group = 0; group < kGroups; ++group) {
                tensorCopy<KeepInCache::first>(to + block * kQueryBlockBytes + group * kQueryGroupBytes, p.queryMap,
                                               item.firstToken + item.queryBlock * kRows + 64 * group, item.head * kHeadDim + block * kBlockColumns, full);
            }
        }
    }

    /// The keys of the tile that begins with page `page` of the item, of which `found` has the 32 that they are among, and what there is to know of the step, when the
    /// stage is empty. `flags`: those of the step before; of them the groups that have begun are kept.
    template <class Params>
    static MOA_DEVICE void copyKeys(const Params& p, const Place& place, const Found& found, int page, bool scans, int& flags, Turn<kKeyStages>& turn) {
        const int lane = page % 32;
        const Pages pages = pagesOf(found, lane);
        constexpr int kShares = (1 << 4 * kGroups) - 1;
        const int first = shuffle(found.facts, lane);
        const int second = kTilePages == 1 ? kNoShare : shuffle(found.facts, lane + 1);
        PrefillStep step{pages.first, pages.second, (first & kShares) | (second & kShares) << 2 | (page + kTilePages >= place.pages ? PrefillStep::kLast : 0)};
        int begun = flags >> kBegunAt;
        int here = 0;
#pragma unroll
        for (int group = 0; group < kGroups; ++group) {
            // A group with rows, but without a key in a part of an item, computes the last step: its result is nothing.
            here |= group < place.groups && (step.isLast() || !(kSkipsSteps && step.skips(group))) ? 1 << group : 0;
        }
        if (kTilePages == 2 && (here & ~begun) != 0) step.flags |= PrefillStep::kBegins;
        flags = step.flags | (here | begun) << kBegunAt;
        if (scans && isCut(place, pages, first, second)) step.flags |= PrefillStep::kScanned;
        mbarrierWait(emptyKey(turn.index()), turn.parity() ^ 1);
        if (laneIndex() == 0) {
            storeShared(stepSlot(turn.index()), Vec16{{static_cast<uint32_t>(step.first.code), static_cast<uint32_t>(step.second.code), static_cast<uint32_t>(step.flags), 0}});
            copyPages(p, place, pages, step.fillsTile(), p.keyMap, 0, keys(turn.index()), fullKey(turn.index()));
        }
        turn.advance();
    }

    /// Whether the mask cuts a tile: a group with rows does not attend all of it. Facts of its pages are those of `Found`.
    static MOA_DEVICE bool isCut(const Place& place, const Pages& pages, int first, int second) {
        const int groups = (1 << 4 * place.groups) - 1;
        constexpr int kShares = 0x333;  // of each group, two bits of four
        return ((first | (pages.second.exists() ? second : 0)) & groups & kShares) != 0;
    }

    /// The values of these pages. A tile that the mask cuts is scanned in the second pass, and one with rows that hold no token in both: those become zeros.
    /// `flags` are those of the last step whose keys were copied: they matter where one page is a step, which is an item's last.
    template <class Params>
    static MOA_DEVICE void copyValues(const Params& p, const Place& place, const Found& found, int page, bool scans, int flags, Turn<kStages>& turn, Turn<kScans>& scan) {
        const int lane = page % 32;
        const Pages pages = pagesOf(found, lane);
        const bool fillsTile = PrefillStep{pages.first, pages.second, flags}.fillsTile();
        const SharedAddress to = values(turn.index());
        const int first = shuffle(found.facts, lane);
        const int second = kTilePages == 1 ? 0 : shuffle(found.facts, lane + 1);
        const int rows = first >> Found::kRowsAt;
        const int others = kTilePages == 2 && pages.second.exists() ? second >> Found::kRowsAt : rows;
        const bool scanned = scans ? isCut(place, pages, first, second) : minimum(rows, others) < kPageTokens;
        mbarrierWait(emptyValue(turn.index()), turn.parity() ^ 1);
        if (laneIndex() == 0) {
            if (scanned) {
                const ScanEntry entry = ScanEntry::of(turn.index(), rows, fillsTile ? others : 0);
                storeShared(scanEntry(scan.index()), scans ? entry.word : entry.word | ScanEntry::kOnlyRows);
            } else {
                mbarrierArriveMany(emptyValue(turn.index()), kScanThreads);  // nobody scans it
            }
            copyPages(p, place, pages, fillsTile, p.valueMap, kBlocks * kPageBlockBytes, to, scanned ? landed(scan.index()) : fullValue(turn.index()));
        }
        if (scanned) scan.advance();
        turn.advance();
    }

    template <class Params>
    static MOA_DEVICE void copyPages(const Params& p, const Place& place, const Pages& pages, bool fillsTile, const TensorMap& map, int ringOffset, SharedAddress to, SharedAddress full) {
        mbarrierArriveExpect(full, (fillsTile ? 2 : 1) * kBlocks * kPageBlockBytes);
        copyPage(p, place, pages.first, pages.firstNumber, map, ringOffset, to, full);
        if (!fillsTile) return;
        if (pages.second.exists()) {
            copyPage(p, place, pages.second, pages.secondNumber, map, ringOffset, to + kPageBlockBytes, full);
        } else {
            copyPage(p, place, pages.first, pages.firstNumber, map, ringOffset, to + kPageBlockBytes, full);
        }
    }

    template <class Params>
    static MOA_DEVICE void copyPage(const Params& p, const Place& place, KeyPage page, int number, const TensorMap& map, int ringOffset, SharedAddress to, SharedAddress full) {
        if (page.isRing()) {
            const unsigned char* from = reinterpret_cast<const unsigned char*>(p.pool) + static_cast<int64_t>(number) * (2 * kBlocks * kPageBlockBytes) + ringOffset;
#pragma unroll
            for (int block = 0; block < kBlocks; ++block) bulkCopy(to + block * kKeyBlockBytes, from + block * kPageBlockBytes, kPageBlockBytes, full);
        } else {
#pragma unroll
            for (int block = 0; block < kBlocks; ++block) {
                tensorCopy<KeepInCache::last>(to + block * kKeyBlockBytes, map, place.firstToken + page.code * kPageTokens, place.column + block * kBlockColumns, full);
            }
        }
    }
};

}  // namespace moa
