// The pages of the pool: the free ones as a stack in global memory, the others with a count of their holders.
//
//   freePages[0 .. freeCount - 1] : numbers of free pages
//   refs[page]                    : the page tables that the page is in; 0 for a free one
//
// A launch only takes pages or only gives them up, never both. So atomic additions to the counter suffice: who takes
// pages reads entries that nobody writes, who gives some up writes entries that nobody reads. Both are done by whole
// warps, with one addition for all lanes.
#pragma once
#include <moa/page.cuh>
#include <moa/primitives/atomics.cuh>
#include <moa/primitives/ballot.cuh>
#include <moa/primitives/barrier.cuh>
#include <moa/primitives/shuffle.cuh>

namespace moa {

/// Where the rings of one layer of a session are described.
struct alignas(16) PagedLayer {
    int64_t firstEntry;  ///< of the layer's part of the page table
    int classIndex;      ///< of the layers that have these rings
    int sink;            ///< tokens
};

/// The rings of a slot in a class: p.rings is [classes][slots][kKvHeads].
template <int kKvHeads, class Params>
MOA_DEVICE int64_t firstRingOf(const Params& p, int classIndex, int slot) {
    return (static_cast<int64_t>(classIndex) * p.slots + slot) * kKvHeads;
}

MOA_DEVICE Ring loadRing(const Ring* ring) {
    const Vec8 words = loadGlobal(reinterpret_cast<const Vec8*>(ring));
    return Ring{static_cast<int>(words.w[0]), static_cast<int>(words.w[1])};
}

/// How many bits of `mask` are of lanes below this one.
MOA_DEVICE int countLanesBelow(uint32_t mask) { return countBits(mask & ((1u << laneIndex()) - 1)); }

/// Takes a page for each lane that wants one, and returns -1 in the others. The page has one holder. Where too few are
/// free, some lanes that want one get -1 too, and p.error is set.
template <class Params>
MOA_DEVICE int takePages(const Params& p, bool wanted) {
    const uint32_t mask = warpBallot(wanted);
    if (mask == 0) return -1;
    const int count = countBits(mask);
    int free = 0;  // pages that were free before
    if (laneIndex() == 0) {
        free = atomicAddGlobal(p.freeCount, -count);
        if (free < count) {
            // Who comes in between sees too few pages, but none of those that are put back was there.
            atomicAddGlobal(p.freeCount, count - maximum(free, 0));
            storeGlobal(p.error, 1);
        }
    }
    free = shuffle(free, 0);
    const int rank = countLanesBelow(mask);
    if (!wanted || rank >= free) return -1;
    const int page = loadGlobal(p.freePages + free - 1 - rank);
    storeGlobal(p.refs + page, 1);
    return page;
}

/// Every lane gives up `kPages` pages, -1 for none: each has one holder less, and is free when it had no other.
template <int kPages, class Params>
MOA_DEVICE void giveUpPages(const Params& p, const int (&pages)[kPages]) {
    int old[kPages];
#pragma unroll
    for (int i = 0; i < kPages; ++i) old[i] = pages[i] < 0 ? 0 : atomicAddGlobal(p.refs + pages[i], -1);
    uint32_t masks[kPages];
    int count = 0;  // pages of the warp that are free now
#pragma unroll
    for (int i = 0; i < kPages; ++i) {
        masks[i] = warpBallot(old[i] == 1);
        count += countBits(masks[i]);
    }
    if (count == 0) return;
    int next = 0;
    if (laneIndex() == 0) next = atomicAddGlobal(p.freeCount, count);
    next = shuffle(next, 0);
#pragma unroll
    for (int i = 0; i < kPages; ++i) {
        if (old[i] == 1) storeGlobal(p.freePages + next + countLanesBelow(masks[i]), pages[i]);
        next += countBits(masks[i]);
    }
}

/// Whether this block is the last of `blocks` to call this: what the others read and wrote before comes before what it
/// does now. All threads of a block call it; `scratch` is 4 bytes of shared memory that nobody uses.
MOA_DEVICE bool isLastBlock(uint32_t* ticket, int blocks, SharedAddress scratch) {
    const uint32_t last = static_cast<uint32_t>(blocks - 1);
    blockBarrier();
    if (threadIndex() == 0) storeShared(scratch, atomicIncrementWrap(ticket, last));
    blockBarrier();
    return loadShared<uint32_t>(scratch) == last;
}

}  // namespace moa
