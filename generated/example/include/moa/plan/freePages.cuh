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

/// The rings of a slot in a class: p.rings is [classes][slots][kvHeads].
template <class Params>
MOA_DEVICE int64_t firstRingOf(const Params& p, int classIndex, int slot) {
    return (static_cast<int64_t>(classIndex) * p.slots + slot) * p.kvHeads;
}

MOA_DEVICE Ring loadRing(const Ring* ring) {
    const Vec8 words = loadGlobal(reinterpret_cast<const Vec8*>(ring));
    return Ring{static_cast<int>(words.w[0]), static_cast<int>(words.w[1])};
}

/// How many bits of `mask` are of lanes below this one.
MOA_DEVICE int countLanesBelow(uint32_t mask) { return countBits(mask & ((1u << laneIndex()) - 1)); }

/// Takes `count` pages for a warp, which follow each other on the stack, and mostly in the pool. Returns how many were free before: page n of the run is
/// number `free - 1 - n` of the stack. Where too few are free the run is shorter, and p.error is set.
template <class Params>
MOA_DEVICE int takeRun(const Params& p, int count) {
    if (count == 0) return 0;
    int free = 0;
    if (laneIndex() == 0) {
        free = atomicAddGlobal(p.freeCount, -count);
        if (free < count) {
            // Who comes in between sees too few pages, but none of those that are put back was there.
            atomicAddGlobal(p.freeCount, count - maximum(free, 0));
            storeGlobal(p.error, 1);
        }
    }
    return shuffle(free, 0);
}

/// Page n of a run that was taken when `free` pages were free: it has one holder now. -1 where the run is shorter.
template <class Params>
MOA_DEVICE int pageOfRun(const Params& p, int free, int n) {
    if (n >= free) return -1;
    const int page = loadGlobal(p.freePages + free - 1 - n);
    storeGlobal(p.refs + page, 1);
    return page;
}

/// Takes a page for each lane that wants one, and returns -1 in the others. Where too few are free, some lanes that want one get -1 too.
template <class Params>
MOA_DEVICE int takePages(const Params& p, bool wanted) {
    const uint32_t mask = warpBallot(wanted);
    const int free = takeRun(p, countBits(mask));
    return wanted ? pageOfRun(p, free, countLanesBelow(mask)) : -1;
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
