// Append: rotates (RoPE, arXiv 2104.09864) and writes new tokens' keys and values into their rings, in the layout of page.cuh.
//
//   task    = one head's row of one token: of K, of V, and with RoPE of Q, which is rotated where it lies
//   threads : headDim / 16 for a task; a thread holds chunk c and its RoPE partner chunk c + headDim / 16
//   lengths : the block that finishes last adds the new tokens, when all others have read the old lengths
//
// A token that would be overwritten by a later token of the same launch is not written at all.
#pragma once
#include <moa/page.cuh>
#include <moa/primitives/barrier.cuh>
#include <moa/primitives/math.cuh>
#include <moa/primitives/thread.cuh>

namespace moa {

template <class Config>
class Append {
    using Element = typename Config::Element;
    static constexpr int kHeadDim = Config::kHeadDim;
    static constexpr int kKvHeads = Config::kKvHeads;
    static constexpr int kQueryStride = Config::kQueryHeads * kHeadDim;  ///< elements between tokens
    static constexpr int kKeyStride = kKvHeads * kHeadDim;
    static constexpr int kQueryTasks = Config::kRope ? Config::kQueryHeads : 0;
    static constexpr int kTasks = 2 * kKvHeads + kQueryTasks;  ///< of one token
    static constexpr int kTaskThreads = kHeadDim / 16;
    static constexpr int kThreads = 128;
    using Rings = RingGeometry<Config::kSink>;

public:
    static constexpr int kSharedBytes = 16;

    template <class Params>
    static MOA_DEVICE void run(const Params& p) {
        const int64_t total = static_cast<int64_t>(p.tokens) * kTasks * kTaskThreads;
        const int64_t step = static_cast<int64_t>(gridSize()) * kThreads;
        for (int64_t index = static_cast<int64_t>(blockIndex()) * kThreads + threadIndex(); index < total; index += step) {
            const int chunk = static_cast<int>(index % kTaskThreads);
            const int64_t row = index / kTaskThreads;
            writeRow(p, static_cast<int>(row / kTasks), static_cast<int>(row % kTasks), chunk);
        }
        advanceLengths(p);
    }

private:
    template <class Params>
    static MOA_DEVICE void writeRow(const Params& p, int token, int task, int chunk) {
        const int slot = p.cuSeqlens == nullptr ? token : slotOf(p, token);
        const int first = p.cuSeqlens == nullptr ? token : loadGlobal(p.cuSeqlens + slot);
        const int end = p.cuSeqlens == nullptr ? token + 1 : loadGlobal(p.cuSeqlens + slot + 1);
        const int length = loadGlobal(p.lengths + slot);
        const int position = length + token - first;

        if (task < 2 * kKvHeads) {
            const bool isValue = task >= kKvHeads;
            const int head = isValue ? task - kKvHeads : task;
            uint16_t* source = (isValue ? p.v : p.k) + static_cast<int64_t>(token) * kKeyStride;
            writeKeyOrValue(p, source + head * kHeadDim, slot, head, isValue, position, length + end - first, chunk);
        } else if constexpr (Config::kRope) {
            uint16_t* row = p.q + static_cast<int64_t>(token) * kQueryStride + (task - 2 * kKvHeads) * kHeadDim;
            Vec16 low = loadGlobal(reinterpret_cast<const Vec16*>(row) + chunk);
            Vec16 high = loadGlobal(reinterpret_cast<const Vec16*>(row) + chunk + kTaskThreads);
            rotate(p, low, high, position, chunk);
            storeGlobal(reinterpret_cast<Vec16*>(row) + chunk, low);
            storeGlobal(reinterpret_cast<Vec16*>(row) + chunk + kTaskThreads, high);
        }
    }

    template <class Params>
    static MOA_DEVICE void writeKeyOrValue(const Params& p, uint16_t* row, int slot, int head, bool isValue, int position,
                                           int newLength, int chunk) {
        const Vec8 ringWords = loadGlobal(reinterpret_cast<const Vec8*>(p.rings) + slot * kKvHeads + head);
        const int window = static_cast<int>(ringWords.w[1]);
        const bool kept = position < Config::kSink || position >= newLength - window;
        const bool rotated = Config::kRope && !isValue;
        if (!kept && !rotated) return;

        Vec16 low = loadGlobal(reinterpret_cast<const Vec16*>(row) + chunk);
        Vec16 high = loadGlobal(reinterpret_cast<const Vec16*>(row) + chunk + kTaskThreads);
        if constexpr (Config::kRope) {
            if (!isValue) {
                rotate(p, low, high, position, chunk);
                storeGlobal(reinterpret_cast<Vec16*>(row) + chunk, low);
                storeGlobal(reinterpret_cast<Vec16*>(row) + chunk + kTaskThreads, high);
            }
        }
        if (!kept) return;

        const int ringSlot = Rings::slotOf(position, window);
        const int page = loadGlobal(p.pageTable + static_cast<int>(ringWords.w[0]) + ringSlot / kPageTokens);
        const int pageRow = ringSlot % kPageTokens;
        unsigned char* to = reinterpret_cast<unsigned char*>(p.pool + static_cast<int64_t>(page) * Page<kHeadDim>::kElements +
                                                             (isValue ? Page<kHeadDim>::kHalfElements : 0));
        storeGlobal(reinterpret_cast<Vec16*>(to + swizzledOffset<kPageTokens>(pageRow, chunk)), low);
        storeGlobal(reinterpret_cast<Vec16*>(to + swizzledOffset<kPageTokens>(pageRow, chunk + kTaskThreads)), high);
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

    /// RoPE on eight pairs (i, i + headDim / 2); the table holds cos and sin of every pair, interleaved, for every position.
    template <class Params>
    static MOA_DEVICE void rotate(const Params& p, Vec16& low, Vec16& high, int position, int chunk) {
        const float* table = p.cosSin + static_cast<int64_t>(position) * kHeadDim + chunk * 16;
#pragma unroll
        for (int word = 0; word < 4; ++word) {
            const Vec16 angles = loadGlobal(reinterpret_cast<const Vec16*>(table) + word);
            const float x0 = unpackLow<Element>(low.w[word]);
            const float x1 = unpackHigh<Element>(low.w[word]);
            const float y0 = unpackLow<Element>(high.w[word]);
            const float y1 = unpackHigh<Element>(high.w[word]);
            const float cos0 = bitsToFloat(angles.w[0]);
            const float sin0 = bitsToFloat(angles.w[1]);
            const float cos1 = bitsToFloat(angles.w[2]);
            const float sin1 = bitsToFloat(angles.w[3]);
            low.w[word] = packPair<Element>(x0 * cos0 - y0 * sin0, x1 * cos1 - y1 * sin1);
            high.w[word] = packPair<Element>(y0 * cos0 + x0 * sin0, y1 * cos1 + x1 * sin1);
        }
    }

    template <class Params>
    static MOA_DEVICE void advanceLengths(const Params& p) {
        blockBarrier();
        if (threadIndex() == 0) {
            deviceFence();
            storeShared(sharedBase(), atomicIncrementWrap(p.ticket, static_cast<uint32_t>(gridSize() - 1)));
            deviceFence();
        }
        blockBarrier();
        if (loadShared<uint32_t>(sharedBase()) != static_cast<uint32_t>(gridSize() - 1)) return;
        for (int slot = threadIndex(); slot < p.slots; slot += kThreads) {
            const int added = p.cuSeqlens == nullptr ? 1 : loadGlobal(p.cuSeqlens + slot + 1) - loadGlobal(p.cuSeqlens + slot);
            storeGlobal(p.lengths + slot, loadGlobal(p.lengths + slot) + added);
        }
    }
};

}  // namespace moa
