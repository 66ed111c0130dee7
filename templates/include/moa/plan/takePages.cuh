// Takes the pages that the new tokens of a step are written to, in all layers: new ones, and copies of those that
// another sequence holds too. Run again for the same tokens it does nothing.
//
//   slots : each block lists those that may need a page. In most steps of decode there are none, and the launch ends: `reserved` may lag behind by tokens
//           that begin no page
//   rings : a lane looks at one ring of a listed slot. Neighbours go to different warps, so that all share the copies
//   pages : a warp lays the pages that its rings need end to end, one for a lane, and copies them one after the other
//   end   : the block that finishes last writes `reserved`, when all others have read it
//
// Two slots that share a page may both write it in one step: each counts itself out of the page's holders, and copies
// the page unless it was the last one, which keeps it. Nobody writes into a page before the launch has ended, so the
// page may be copied when its other holders have already left it, or keep it.
#pragma once
#include <moa/plan/freePages.cuh>
#include <moa/plan/newTokens.cuh>
#include <moa/primitives/thread.cuh>

namespace moa {

template <int kBlockThreads>
class TakePages {
    static constexpr int kWarps = kBlockThreads / 32;
    static constexpr int kVec16Bytes = static_cast<int>(sizeof(Vec16));
    static constexpr int kInFlight = 8;  ///< a lane's, read before written: pages are whole steps of a warp, of 4 KiB

public:
    static constexpr int kThreads = kBlockThreads;
    static constexpr int kSharedBytes = kThreads * kVec16Bytes + (kWarps * 4 + 15) / 16 * 16;

    /// By `blocks` blocks of which this is number `block`; whatever else the grid does.
    template <class Params>
    static MOA_DEVICE void run(const Params& p, int block, int blocks) {
        bool listsAny = false;  // the same in all blocks
        for (int first = 0; first < p.slots; first += kThreads) {
            if (first > 0) blockBarrier();  // all have read the list before
            const int listed = listSlots(p, first);
            listsAny |= listed > 0;
            takeForRings(p, listed, block, blocks);
        }
        if (!listsAny || !isLastBlock(p.ticket, blocks, sharedBase())) return;
        for (int slot = threadIndex(); slot < p.slots; slot += kThreads) {
            const Growth growth = growthOf(p, slot);
            if (growth.target > growth.reserved) storeGlobal(p.reserved + slot, growth.target);
        }
    }

private:
    /// What a step does to a sequence.
    struct alignas(16) Growth {
        int slot;
        int reserved;  ///< tokens that have their pages, those in the cache among them
        int target;    ///< tokens after the step
        int sharing;
    };

    /// Pages of a ring that the new tokens lie in, from page `first` on. Behind the last page of the ring come those of
    /// the window again, from its first one on.
    struct RingPages {
        int64_t firstEntry;  ///< of the ring in the page table
        int first;
        int count;
        int taken;        ///< pages of the ring that are there
        int fresh;        ///< new pages
        int end;          ///< pages of the ring
        int windowPages;  ///< of those
    };

    template <class Params>
    static MOA_DEVICE Growth growthOf(const Params& p, int slot) {
        if (slot >= p.slots) return Growth{slot, 0, 0, 0};
        const int length = loadGlobal(p.lengths + slot);
        const int reserved = maximum(length, loadGlobal(p.reserved + slot));
        const int sharing = loadGlobal(p.sharing + slot);
        const NewTokens tokens{p.lengths, p.cuSeqlens, p.counts, p.tokens, 0, 0};
        return Growth{slot, reserved, length < 0 ? 0 : length + tokens.ofSequence(slot), sharing};
    }

    /// Whether a ring may need a page: a new token begins one, or there may be shared ones.
    template <class Params>
    static MOA_DEVICE bool needsLook(const Params& p, const Growth& growth) {
        if (growth.target <= growth.reserved) return false;
        if (growth.sharing != 0) return true;
        constexpr int kEndless = 0x7fffffff;  // a shorter window needs no page that this one does not
        for (int i = 0; i < p.sinkCount; ++i) {
            const RingGeometry geometry{loadGlobal(p.sinks + i)};
            if (geometry.pagesInUse(growth.target, kEndless) > geometry.pagesInUse(growth.reserved, kEndless)) return true;
        }
        return false;
    }

    static MOA_DEVICE SharedAddress listEntry(int index) { return sharedBase() + index * kVec16Bytes; }

    /// Lists those of slots first .. first + kThreads - 1 that need a look, in their order: all blocks list the same. Returns how many they are.
    template <class Params>
    static MOA_DEVICE int listSlots(const Params& p, int first) {
        const Growth growth = growthOf(p, first + threadIndex());
        const bool isListed = needsLook(p, growth);
        const uint32_t mask = warpBallot(isListed);
        const SharedAddress masks = listEntry(kThreads);
        const int warp = warpIndex();
        if (laneIndex() == 0) storeShared(masks + warp * 4, mask);
        blockBarrier();
        int listed = 0;
        int before = 0;
#pragma unroll
        for (int other = 0; other < kWarps; ++other) {
            const int count = countBits(loadShared<uint32_t>(masks + other * 4));
            if (other < warp) before += count;
            listed += count;
        }
        if (listed == 0) return 0;
        if (isListed) storeShared(listEntry(before + countLanesBelow(mask)), growth);
        blockBarrier();
        return listed;
    }

    template <class Params>
    static MOA_DEVICE void takeForRings(const Params& p, int listed, int block, int blocks) {
        const int rings = listed * p.layers * p.kvHeads;
        const int warps = blocks * kWarps;
        const int lane = laneIndex();
        for (int first = warpIndex() * blocks + block; first < rings; first += 32 * warps) {
            RingPages own{};
            if (first + lane * warps < rings) own = pagesOf(p, first + lane * warps);
            int before = own.count;  // pages of this lane's ring and of those of lanes below
#pragma unroll
            for (int distance = 1; distance < 32; distance *= 2) {
                const int below = shuffle(before, (lane - distance) & 31);
                if (lane >= distance) before += below;
            }
            const int count = shuffle(before, 31);
            before -= own.count;
            // The new pages of a ring are taken together: who reads it goes through few places of the pool.
            int freshBefore = own.fresh;
#pragma unroll
            for (int distance = 1; distance < 32; distance *= 2) {
                const int below = shuffle(freshBefore, (lane - distance) & 31);
                if (lane >= distance) freshBefore += below;
            }
            const int free = takeRun(p, shuffle(freshBefore, 31));
            freshBefore -= own.fresh;
            for (int item = 0; item < count; item += 32) takeForItem(p, own, before, freshBefore, free, item + lane, count);
        }
    }

    /// The pages of ring `index` of the listed slots.
    template <class Params>
    static MOA_DEVICE RingPages pagesOf(const Params& p, int index) {
        const int kvHead = index % p.kvHeads;
        const int row = index / p.kvHeads;
        const Growth growth = loadShared<Growth>(listEntry(row / p.layers));
        const PagedLayer layer = loadGlobal(p.pagedLayers + row % p.layers);
        const Ring ring = loadRing(p.rings + firstRingOf(p, layer.classIndex, growth.slot) + kvHead);
        const RingGeometry geometry{layer.sink};
        RingPages pages;
        pages.firstEntry = layer.firstEntry + ring.tableOffset;
        pages.windowPages = ceilDivide(ring.window, kPageTokens);
        pages.end = geometry.sinkPages() + pages.windowPages;
        pages.taken = geometry.pagesInUse(growth.reserved, ring.window);
        const int target = geometry.pagesInUse(growth.target, ring.window);
        const int begin = growth.reserved - layer.sink;  // tokens behind the sink
        const int end = growth.target - layer.sink;
        pages.fresh = target - pages.taken;
        if (growth.sharing == 0) {  // all new pages hold new tokens
            pages.first = pages.taken;
            pages.count = target - pages.taken;
        } else if (begin < 0) {  // from somewhere in the sink to the last page in use
            pages.first = growth.reserved / kPageTokens;
            pages.count = target - pages.first;
        } else if (end - begin >= ring.window) {
            pages.first = geometry.sinkPages();
            pages.count = pages.windowPages;
        } else {
            const int beginSlot = begin % ring.window;
            const int lastSlot = (end - 1) % ring.window;
            const int page = beginSlot / kPageTokens;
            const int toLast = lastSlot / kPageTokens - page + 1;
            pages.first = geometry.sinkPages() + page;
            pages.count = beginSlot <= lastSlot ? toLast : minimum(pages.windowPages, pages.windowPages + toLast);
        }
        return pages;
    }

    /// Takes page `item` of `count`, which are those of all lanes' rings end to end. `own` is this lane's ring, and
    /// `before` counts the pages before those of it, `freshBefore` the new ones among them, which were taken when `free` were free.
    template <class Params>
    static MOA_DEVICE void takeForItem(const Params& p, const RingPages& own, int before, int freshBefore, int free, int item, int count) {
        int owner = 0;  // the last lane whose pages begin at the item or before it
#pragma unroll
        for (int step = 16; step > 0; step /= 2) {
            if (shuffle(before, owner + step) <= item) owner += step;
        }
        int page = shuffle(own.first, owner) + item - shuffle(before, owner);
        const int taken = shuffle(own.taken, owner);
        const int end = shuffle(own.end, owner);
        const int windowPages = shuffle(own.windowPages, owner);
        const int rank = shuffle(freshBefore, owner) + page - taken;  // of a new page, among those of the warp
        const uint32_t low = shuffle(static_cast<uint32_t>(own.firstEntry), owner);
        const uint32_t high = shuffle(static_cast<uint32_t>(own.firstEntry >> 32), owner);
        if (page >= end) page -= windowPages;
        int* const entry = p.pageTable + static_cast<int64_t>(uint64_t{high} << 32 | low) + page;

        const bool isNew = item < count && page >= taken;
        int old = -1;  // the page that a copy replaces
        if (item < count && !isNew) old = loadGlobal(entry);
        if (old >= 0 && !leave(p, old)) old = -1;
        const int copy = takePages(p, old >= 0);
        const int next = isNew ? pageOfRun(p, free, rank) : copy;
        if (next >= 0) {
            storeGlobal(entry, next);
        } else if (old >= 0) {
            atomicAddGlobal(p.refs + old, 1);  // there is no page for a copy: it stays
        }
        for (uint32_t copies = warpBallot(next >= 0 && old >= 0); copies != 0; copies &= copies - 1) {
            const int lane = lowestBit(copies);
            copyPage(p, shuffle(old, lane), shuffle(next, lane));
        }
    }

    /// Counts this slot out of the holders of a page, unless it is the last one.
    template <class Params>
    static MOA_DEVICE bool leave(const Params& p, int page) {
        if (atomicAddGlobal(p.refs + page, -1) > 1) return true;
        atomicAddGlobal(p.refs + page, 1);
        return false;
    }

    /// By a whole warp.
    template <class Params>
    static MOA_DEVICE void copyPage(const Params& p, int from, int to) {
        const auto pageAt = [&p](int page) { return p.pool + static_cast<int64_t>(page) * p.pageBytes; };
        const Vec16* const source = reinterpret_cast<const Vec16*>(pageAt(from)) + laneIndex();
        Vec16* const target = reinterpret_cast<Vec16*>(pageAt(to)) + laneIndex();
#pragma unroll 1
        for (int chunk = 0; chunk < p.pageBytes / kVec16Bytes; chunk += 32 * kInFlight) {
            Vec16 held[kInFlight];
#pragma unroll
            for (int i = 0; i < kInFlight; ++i) held[i] = loadGlobal(source + chunk + 32 * i);
#pragma unroll
            for (int i = 0; i < kInFlight; ++i) storeGlobal(target + chunk + 32 * i, held[i]);
        }
    }
};

}  // namespace moa
