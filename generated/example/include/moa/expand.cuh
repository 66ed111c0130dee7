// Expand for chunks of prompts behind a cache in E4M3: pages of rings become pages of 16-bit elements, which prefill reads in place of the pool's.
//
//   grid    = any: blocks take the rings of the sequences that go on by turns, and of a ring its pages in use
//   page    : entry n of the layer's page table becomes page n
//   thread  : eight elements of K or V at once, 8 bytes in and 16 out; all that it reads is under way before it writes
//   element = number of the code x scale of the head's keys or values, rounded
//
// Rows that hold no token come along as they are: prefill masks them, as it does in the pool.
#pragma once
#include <moa/decode/cache16.cuh>
#include <moa/decode/cache8.cuh>
#include <moa/primitives/thread.cuh>

namespace moa {

template <class Config>
class Expand {
    using Element = typename Config::Element;
    using From = Cache8<Config::kHeadDim, Element>;
    using To = Cache16<Config::kHeadDim, Element>;
    static constexpr int kKvHeads = Config::kKvHeads;
    static constexpr int kRowChunks = Page<Config::kHeadDim>::kChunks;
    static constexpr int kRingBlocks = 8;  ///< that share the pages of a ring

public:
    static constexpr int kThreads = 256;
    static constexpr int kSharedBytes = 0;

    template <class Params>
    static MOA_DEVICE void run(const Params& p) {
        for (int task = blockIndex(); task < p.slots * kKvHeads * kRingBlocks; task += gridSize()) {
            const int unit = task / kRingBlocks;
            const int slot = unit / kKvHeads;
            const int kvHead = unit % kKvHeads;
            const int length = loadGlobal(p.lengths + slot);
            if (length <= 0 || loadGlobal(p.cuSeqlens + slot + 1) == loadGlobal(p.cuSeqlens + slot)) continue;
            const Vec8 words = loadGlobal(reinterpret_cast<const Vec8*>(p.rings) + unit);
            const int entry = static_cast<int>(words.w[0]);
            const int pages = RingGeometry{p.sink}.pagesInUse(length, static_cast<int>(words.w[1]));
            for (int page = task % kRingBlocks; page < pages; page += kRingBlocks) expandPage(p, kvHead, entry + page);
        }
    }

private:
    template <class Params>
    static MOA_DEVICE void expandPage(const Params& p, int kvHead, int entry) {
        const int page = loadGlobal(p.pageTable + entry);
        const uint8_t* from = p.pool + static_cast<int64_t>(page) * From::kPageBytes;
        uint8_t* to = reinterpret_cast<uint8_t*>(p.expanded) + static_cast<int64_t>(entry) * To::kPageBytes;
        Codes keys;
        Codes values;
        load(keys, from);
        load(values, from + From::kHalfBytes);
        store(to, keys, From::keyScale(p, kvHead));
        store(to + To::kHalfBytes, values, From::valueScale(p, kKvHeads, kvHead));
    }

    static constexpr int kSteps = kPageTokens * kRowChunks / kThreads;
    using Codes = Vec8[kSteps];

    static MOA_DEVICE void load(Codes& codes, const uint8_t* from) {
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
            const int index = step * kThreads + threadIndex();
            codes[step] = loadGlobal(reinterpret_cast<const Vec8*>(from + From::chunkOffset(index / kRowChunks, index % kRowChunks)));
        }
    }

    static MOA_DEVICE void store(uint8_t* to, const Codes& codes, float scale) {
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
            const int index = step * kThreads + threadIndex();
            storeGlobal(reinterpret_cast<Vec16*>(to + To::chunkOffset(index / kRowChunks, index % kRowChunks)), decodeE4m3<Element>(codes[step], scale));
        }
    }
};

}  // namespace moa
