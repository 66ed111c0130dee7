// Append for prefill: rotates (RoPE, arXiv 2104.09864) and writes new tokens' keys and values into their rings, in the layout of page.cuh.
//
//   task    = one head's row of one token: of K, of V, and with RoPE of Q, which is rotated where it lies
//   threads : headDim / 16 for a task; a thread holds two chunks, those that turn together
//   lengths : the block that finishes last adds the new tokens, when all others have read the old lengths
//   counts  : where there are some, the first counts[slot] rows of a sequence are tokens, and the others are ignored
//
// A token that would be overwritten by a later token of the same launch is not written at all. Without a pool nothing is written: keys and queries are
// rotated, and that is all.
#pragma once
#include <moa/page.cuh>
#include <moa/primitives/barrier.cuh>
#include <moa/primitives/thread.cuh>
#include <moa/rotate.cuh>

namespace moa {

template <class Config>
class Append {
    using Element = typename Config::Element;
    using Cache = typename Config::Cache;
    using Chunk = typename Cache::Chunk;
    static constexpr int kHeadDim = Config::kHeadDim;
    static constexpr int kKvHeads = Config::kKvHeads;
    static constexpr int kQueryStride = Config::kQueryHeads * kHeadDim;  ///< elements between tokens
    static constexpr int kKeyStride = kKvHeads * kHeadDim;
    static constexpr int kQueryTasks = Config::kRope ? Config::kQueryHeads : 0;
    static constexpr int kTasks = 2 * kKvHeads + kQueryTasks;  ///< of one token
    static constexpr int kTaskThreads = kHeadDim / 16;
    static constexpr int kThreads = 128;

public:
    static constexpr int kSharedBytes = 16;

    template <class Params>
    static MOA_DEVICE void run(const Params& p) {
        const int64_t total = static_cast<int64_t>(p.tokens) * kTasks * kTaskThreads;
        const int64_t step = static_cast<int64_t>(gridSize()) * kThreads;
        for (int64_t index = static_cast<int64_t>(blockIndex()) * kThreads + threadIndex(); index < total; index += step) {
            const int thread = static_cast<int>(index % kTaskThreads);
            const int64_t row = index / kTaskThreads;
            writeRow(p, static_cast<int>(row / kTasks), static_cast<int>(row % kTasks), thread);
        }
        if (p.pool != nullptr) advanceLengths(p);
    }

private:
    template <class Params>
    static MOA_DEVICE void writeRow(const Params& p, int token, int task, int thread) {
        const int slot = slotOf(p, token);
        const int first = loadGlobal(p.cuSeqlens + slot);
        const int end = first + addedTo(p, slot);
        const int length = loadGlobal(p.lengths + slot);
        // A slot without a sequence; a row that is no token, or one of a sequence that is left out.
        if (length < 0 || token >= end || end - first < p.fewest) return;
        const int position = length + token - first;

        if (task < 2 * kKvHeads) {
            const bool isValue = task >= kKvHeads;
            const int head = isValue ? task - kKvHeads : task;
            uint16_t* source = (isValue ? p.v : p.k) + static_cast<int64_t>(token) * kKeyStride;
            writeKeyOrValue(p, source + head * kHeadDim, slot, head, isValue, position, length + end - first, thread);
        } else if constexpr (Config::kRope) {
            uint16_t* row = p.q + static_cast<int64_t>(token) * kQueryStride + (task - 2 * kKvHeads) * kHeadDim;
            Vec16 low = loadGlobal(reinterpret_cast<const Vec16*>(row) + lowChunkOf<Config>(thread));
            Vec16 high = loadGlobal(reinterpret_cast<const Vec16*>(row) + highChunkOf<Config>(thread));
            Rotation<Config>(p, position).rotate(low, high, thread);
            storeGlobal(reinterpret_cast<Vec16*>(row) + lowChunkOf<Config>(thread), low);
            storeGlobal(reinterpret_cast<Vec16*>(row) + highChunkOf<Config>(thread), high);
        }
    }

    template <class Params>
    static MOA_DEVICE void writeKeyOrValue(const Params& p, uint16_t* row, int slot, int head, bool isValue, int position,
                                           int newLength, int thread) {
        const Vec8 ringWords = loadGlobal(reinterpret_cast<const Vec8*>(p.rings) + slot * kKvHeads + head);
        const int window = static_cast<int>(ringWords.w[1]);
        const bool kept = p.pool != nullptr && (position < Config::kSink || position >= newLength - window);
        const bool rotated = Config::kRope && !isValue;
        if (!kept && !rotated) return;

        const int lowChunk = lowChunkOf<Config>(thread);
        const int highChunk = highChunkOf<Config>(thread);
        Vec16 low = loadGlobal(reinterpret_cast<const Vec16*>(row) + lowChunk);
        Vec16 high = loadGlobal(reinterpret_cast<const Vec16*>(row) + highChunk);
        if constexpr (Config::kRope) {
            if (!isValue) {
                Rotation<Config>(p, position).rotate(low, high, thread);
                storeGlobal(reinterpret_cast<Vec16*>(row) + lowChunk, low);
                storeGlobal(reinterpret_cast<Vec16*>(row) + highChunk, high);
            }
        }
        if (!kept) return;

        const int ringSlot = RingGeometry{Config::kSink}.slotOf(position, window);
        const int page = loadGlobal(p.pageTable + static_cast<int>(ringWords.w[0]) + ringSlot / kPageTokens);
        const int pageRow = ringSlot % kPageTokens;
        unsigned char* to = reinterpret_cast<unsigned char*>(p.pool) + static_cast<int64_t>(page) * Cache::kPageBytes + (isValue ? Cache::kHalfBytes : 0);
        storeGlobal(reinterpret_cast<Chunk*>(to + Cache::chunkOffset(pageRow, lowChunk)), Cache::encode(low, p, kKvHeads, head, isValue));
        storeGlobal(reinterpret_cast<Chunk*>(to + Cache::chunkOffset(pageRow, highChunk)), Cache::encode(high, p, kKvHeads, head, isValue));
    }

    /// New tokens of a sequence.
    template <class Params>
    static MOA_DEVICE int addedTo(const Params& p, int slot) {
        if (p.counts != nullptr) return loadGlobal(p.counts + slot);
        return loadGlobal(p.cuSeqlens + slot + 1) - loadGlobal(p.cuSeqlens + slot);
    }

    /// The sequence of packed row `token`: the last one that begins at or before it and is not empty.
    template <class Params>
    static MOA_DEVICE int slotOf(const Params& p, int token) {
        int low = 0;
        int high = p.slots;
        while (high - low > 1) {
            const int middle = (low + high) / 2;
            if (loadGlobal(p.cuSeqlens + middle) <= token) {
                low = middle;
            } else {
                high = middle;
            }
        }
        return low;
    }

    template <class Params>
    static MOA_DEVICE void advanceLengths(const Params& p) {
        blockBarrier();
        if (threadIndex() == 0) {
            storeShared(sharedBase(), atomicIncrementWrap(p.ticket, static_cast<uint32_t>(gridSize() - 1)));
        }
        blockBarrier();
        if (loadShared<uint32_t>(sharedBase()) != static_cast<uint32_t>(gridSize() - 1)) return;
        for (int slot = threadIndex(); slot < p.slots; slot += kThreads) {
            const int added = addedTo(p, slot);
            const int length = loadGlobal(p.lengths + slot);
            if (length >= 0 && added >= p.fewest) storeGlobal(p.lengths + slot, length + added);
        }
    }
};

}  // namespace moa
