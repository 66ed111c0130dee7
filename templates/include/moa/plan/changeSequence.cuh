// Changes of sequences on the device: one is added, removed, forked or truncated by a launch; and the begin of a session.
//
//   grid     : any. Warps take rings by turns, threads take windows and lengths
//   pages    : `reserved` tokens of a sequence have theirs, in all layers: the first pagesInUse(reserved) of a ring
//   fork     : both sequences hold all pages; who writes one that has another holder gets a copy (takePages.cuh)
//   reserved : all blocks read it, so where it changes it is written by the block that finishes last. The host need not
//              know it: where counts of tokens lie on the device it does not
//
// Nothing else that a launch reads is changed in it, but for the counts of holders and of free pages: atomic additions.
#pragma once
#include <moa/plan/freePages.cuh>
#include <moa/plan/windows.cuh>
#include <moa/primitives/thread.cuh>

namespace moa {

enum class SequenceOperation : int {
    add,       ///< an empty sequence of at most `value` tokens begins in the free slot `slot`
    remove,    ///< the sequence in `slot` ends
    fork,      ///< the free slot `other` becomes what `slot` is, and shares its pages
    truncate,  ///< the sequence in `slot` goes back to `value` tokens, in all layers
    begin,     ///< of a session, before all others: `value` pages are free, and the rings of every slot get their places in the page table
};

class SequenceChanges {
    static constexpr int kLanePages = 4;                ///< under way at once
    static constexpr int kWarpPages = 32 * kLanePages;  ///< neighbours in the page table

public:
    static constexpr int kThreads = 256;
    static constexpr int kSharedBytes = 16;

    template <class Params>
    static MOA_DEVICE void run(const Params& p) {
        switch (static_cast<SequenceOperation>(p.operation)) {
            case SequenceOperation::add: add(p, p.value); break;
            case SequenceOperation::remove: cutBack(p, 0, true); break;
            case SequenceOperation::fork: fork(p); break;
            case SequenceOperation::truncate: cutBack(p, p.value, false); break;
            case SequenceOperation::begin: begin(p, p.value); break;
        }
    }

private:
    /// The first page to be taken is page 0.
    template <class Params>
    static MOA_DEVICE void begin(const Params& p, int pages) {
        for (int page = gridThread(); page < pages; page += gridThreads()) storeGlobal(p.freePages + page, pages - 1 - page);
        if (gridThread() == 0) storeGlobal(p.freeCount, pages);
        for (int ring = gridThread(); ring < p.classes * p.slots * p.kvHeads; ring += gridThreads()) {
            const int slot = ring / p.kvHeads % p.slots;
            const int* const places = p.ringPlaces + ring / (p.slots * p.kvHeads) * (p.kvHeads + 1);
            const int first = slot * loadGlobal(places + p.kvHeads) + loadGlobal(places + ring % p.kvHeads);
            storeGlobal(reinterpret_cast<Vec8*>(p.rings + ring), Vec8{{static_cast<uint32_t>(first), 0u}});
        }
    }

    template <class Params>
    static MOA_DEVICE void add(const Params& p, int bound) {
        const auto windowOf = [&p, bound](int planClass, int head, const int*) {
            return spanAt(p, p.headSpans + planClass * p.queryHeads + head, planClass, bound);
        };
        const auto ringWindowOf = [&p, bound](int planClass, int head, const Ring*) {
            return spanAt(p, p.ringSpans + planClass * p.kvHeads + head, planClass, bound);
        };
        writeWindows(p, p.slot, windowOf, ringWindowOf);
        forLayers(p, [&p](int* lengths) { storeGlobal(lengths + p.slot, 0); });
        if (gridThread() == 0) writeSlot(p, p.slot, bound, 0, 0);
    }

    /// Tokens behind the sink of the expression whose number lies at `expression`.
    template <class Params>
    static MOA_DEVICE int spanAt(const Params& p, const int* expression, int planClass, int bound) {
        const int number = loadGlobal(expression);
        const int begin = loadGlobal(p.spanBegins + number);
        const int end = loadGlobal(p.spanBegins + number + 1);
        return evaluateSpan(p.spanRules, p.spanSteps, begin, end, p.minSpan, bound) - loadGlobal(p.spanSinks + planClass);
    }

    template <class Params>
    static MOA_DEVICE void fork(const Params& p) {
        const int64_t back = p.slot - p.other;  // slots from the new sequence to the old one
        const auto windowOf = [&p, back](int, int, const int* to) { return loadGlobal(to + back * p.queryHeads); };
        const auto ringWindowOf = [&p, back](int, int, const Ring* to) {
            return loadGlobal(&(to + back * p.kvHeads)->window);
        };
        writeWindows(p, p.other, windowOf, ringWindowOf);
        forLayers(p, [&p](int* lengths) { storeGlobal(lengths + p.other, loadGlobal(lengths + p.slot)); });
        const int reserved = loadGlobal(p.reserved + p.slot);
        if (gridThread() == 0) {
            writeSlot(p, p.other, loadGlobal(p.bounds + p.slot), reserved, 1);
            storeGlobal(p.sharing + p.slot, 1);
        }
        sharePages(p, reserved);
    }

    /// The sequence has `length` tokens, or is removed: pages behind that are given up.
    template <class Params>
    static MOA_DEVICE void cutBack(const Params& p, int length, bool removed) {
        forLayers(p, [&p, length, removed](int* lengths) { storeGlobal(lengths + p.slot, removed ? -1 : length); });
        dropPages(p, length, loadGlobal(p.reserved + p.slot));
        if (!isLastBlock(p.ticket, gridSize(), sharedBase()) || threadIndex() != 0) return;
        if (removed) storeGlobal(p.bounds + p.slot, 0);
        if (length == 0) storeGlobal(p.sharing + p.slot, 0);  // it holds no page
        storeGlobal(p.reserved + p.slot, length);
    }

    static MOA_DEVICE int gridThread() { return blockIndex() * kThreads + threadIndex(); }
    static MOA_DEVICE int gridThreads() { return gridSize() * kThreads; }

    template <class Params>
    static MOA_DEVICE void writeSlot(const Params& p, int slot, int bound, int reserved, int sharing) {
        storeGlobal(p.bounds + slot, bound);
        storeGlobal(p.reserved + slot, reserved);
        storeGlobal(p.sharing + slot, sharing);
    }

    /// Writes the windows of `slot` in every class: those of query heads, and those of rings, whose place in the page
    /// table stays. The functions take the class in the plan, the head, and where the window is to lie.
    template <class Params, class WindowOf, class RingWindowOf>
    static MOA_DEVICE void writeWindows(const Params& p, int slot, const WindowOf& windowOf,
                                        const RingWindowOf& ringWindowOf) {
        const int heads = p.queryHeads + p.kvHeads;
        for (int index = gridThread(); index < p.classes * heads; index += gridThreads()) {
            const int classIndex = index / heads;
            const int head = index % heads;
            const int planClass = loadGlobal(p.planClasses + classIndex);
            if (head < p.queryHeads) {
                int* const to = p.windows + (static_cast<int64_t>(classIndex) * p.slots + slot) * p.queryHeads + head;
                storeGlobal(to, windowOf(planClass, head, to));
            } else {
                const int kvHead = head - p.queryHeads;
                Ring* const to = p.rings + firstRingOf(p, classIndex, slot) + kvHead;
                storeGlobal(&to->window, ringWindowOf(planClass, kvHead, to));
            }
        }
    }

    /// Calls `change` with the lengths of each layer.
    template <class Params, class Change>
    static MOA_DEVICE void forLayers(const Params& p, const Change& change) {
        for (int layer = gridThread(); layer < p.layers; layer += gridThreads()) {
            change(p.lengths + static_cast<int64_t>(layer) * p.lengthStride);
        }
    }

    /// Calls `visit` for every ring of `slot`, by whole warps: with its layer, its KV head, the ring, and which part of
    /// its pages the warp takes, of how many. Where there are more warps than rings, several share one.
    template <class Params, class Visit>
    static MOA_DEVICE void forRings(const Params& p, const Visit& visit) {
        const int rings = p.layers * p.kvHeads;
        const int warps = gridSize() * (kThreads / 32);
        const int parts = maximum(1, warps / maximum(1, rings));
        for (int unit = warpIndex() * gridSize() + blockIndex(); unit < rings * parts; unit += warps) {
            const int kvHead = unit / parts % p.kvHeads;
            const PagedLayer layer = loadGlobal(p.pagedLayers + unit / parts / p.kvHeads);
            const Ring ring = loadRing(p.rings + firstRingOf(p, layer.classIndex, p.slot) + kvHead);
            visit(layer, kvHead, ring, unit % parts, parts);
        }
    }

    /// Every page in use at `reserved` tokens gets one more holder.
    template <class Params>
    static MOA_DEVICE void sharePages(const Params& p, int reserved) {
        forRings(p, [&p, reserved](const PagedLayer& layer, int kvHead, const Ring& ring, int part, int parts) {
            const Ring* const other = p.rings + firstRingOf(p, layer.classIndex, p.other) + kvHead;
            const int* const from = p.pageTable + layer.firstEntry + ring.tableOffset;
            int* const to = p.pageTable + layer.firstEntry + loadGlobal(&other->tableOffset);
            const int end = RingGeometry{layer.sink}.pagesInUse(reserved, ring.window);
            for (int first = part * kWarpPages; first < end; first += parts * kWarpPages) {
                int pages[kLanePages];
                loadEntries(pages, from, first, end);
#pragma unroll
                for (int i = 0; i < kLanePages; ++i) {
                    if (pages[i] < 0) continue;
                    atomicAddGlobal(p.refs + pages[i], 1);
                    storeGlobal(to + first + 32 * i + laneIndex(), pages[i]);
                }
            }
        });
    }

    /// The pages in use at `reserved` tokens, and not at `length`, are given up.
    template <class Params>
    static MOA_DEVICE void dropPages(const Params& p, int length, int reserved) {
        forRings(p, [&p, length, reserved](const PagedLayer& layer, int, const Ring& ring, int part, int parts) {
            int* const entries = p.pageTable + layer.firstEntry + ring.tableOffset;
            const RingGeometry geometry{layer.sink};
            const int begin = geometry.pagesInUse(length, ring.window);
            const int end = geometry.pagesInUse(reserved, ring.window);
            for (int first = begin + part * kWarpPages; first < end; first += parts * kWarpPages) {
                int pages[kLanePages];
                loadEntries(pages, entries, first, end);
#pragma unroll
                for (int i = 0; i < kLanePages; ++i) {
                    if (pages[i] >= 0) storeGlobal(entries + first + 32 * i + laneIndex(), -1);
                }
                giveUpPages(p, pages);
            }
        });
    }

    /// Entries `first` .. `first + kWarpPages - 1`, 32 at a time; -1 for those from `end` on.
    static MOA_DEVICE void loadEntries(int (&pages)[kLanePages], const int* entries, int first, int end) {
#pragma unroll
        for (int i = 0; i < kLanePages; ++i) {
            const int index = first + 32 * i + laneIndex();
            pages[i] = index < end ? loadGlobal(entries + index) : -1;
        }
    }
};

}  // namespace moa
