// Expand for chunks of prompts behind a cache in E4M3: pages of rings become pages of 16-bit elements, which prefill reads in place of the pool's.
//
//   block   = one page, of those of all rings in the order of their list; it becomes the page of the same number
//   thread  : eight elements of K or V at once, 8 bytes in and 16 out; all that it reads is under way before it writes
//   element = number of the code x scale of the head's keys or values, rounded
//
// Rows that hold no token come along as they are: prefill masks them, as it does in the pool.
#pragma once
#include <moa/decode/cache16.cuh>
#include <moa/decode/cache8.cuh>
#include <moa/primitives/thread.cuh>

namespace moa {

/// A ring whose pages in use are expanded.
struct ExpandedRing {
    int firstPage;    ///< pages of the rings before it
    int tableOffset;  ///< of its first page in the page table
    int kvHead;
};

template <class Config>
class Expand {
    using Element = typename Config::Element;
    using From = Cache8<Config::kHeadDim, Element>;
    using To = Cache16<Config::kHeadDim, Element>;
    static constexpr int kRowChunks = Page<Config::kHeadDim>::kChunks;

public:
    static constexpr int kThreads = 256;
    static constexpr int kSharedBytes = 0;

    template <class Params>
    static MOA_DEVICE void run(const Params& p) {
        const ExpandedRing* ring = ringOf(p, blockIndex());
        const int ringPage = blockIndex() - loadGlobal(&ring->firstPage);
        const int page = loadGlobal(p.pageTable + loadGlobal(&ring->tableOffset) + ringPage);
        const int kvHead = loadGlobal(&ring->kvHead);
        const uint8_t* from = p.pool + static_cast<int64_t>(page) * From::kPageBytes;
        uint8_t* to = reinterpret_cast<uint8_t*>(p.expanded) + static_cast<int64_t>(blockIndex()) * To::kPageBytes;
        Codes keys;
        Codes values;
        load(keys, from);
        load(values, from + From::kHalfBytes);
        store(to, keys, From::keyScale(p, kvHead));
        store(to + To::kHalfBytes, values, From::valueScale(p, Config::kKvHeads, kvHead));
    }

private:
    static constexpr int kSteps = kPageTokens * kRowChunks / kThreads;
    using Codes = Vec8[kSteps];

    /// The ring that has page `page` of all: the last one that begins at or before it.
    template <class Params>
    static MOA_DEVICE const ExpandedRing* ringOf(const Params& p, int page) {
        int low = 0;
        int high = p.ringCount;
        while (high - low > 1) {
            const int middle = (low + high) / 2;
            if (loadGlobal(&p.rings[middle].firstPage) <= page) {
                low = middle;
            } else {
                high = middle;
            }
        }
        return p.rings + low;
    }

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
