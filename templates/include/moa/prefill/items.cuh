// What prefill works on: one item a block of query rows of one head of one sequence. Built by the schedule (src/passes/schedule/prefillItems.ts).
#pragma once
#include <moa/page.cuh>

namespace moa {

/// Queries are the sequence's new tokens; `cached` tokens before them lie in its ring, and new token t is at position cached + t.
struct alignas(16) PrefillItem {
    int firstToken;   ///< row of the sequence's first new token in q, k, v and out
    int length;       ///< new tokens of the sequence
    int queryBlock;   ///< rows kRows * queryBlock .. + kRows - 1 of the new tokens
    int head;         ///< query head
    int window;       ///< the head's window in tokens
    int cached;       ///< tokens in the ring
    int tableOffset;  ///< of the ring's first page in the page table
    int ringWindow;   ///< slots behind the ring's sink

    static constexpr int kWords = 8;

    static MOA_DEVICE PrefillItem of(const Vec16& head, const Vec16& tail) {
        return PrefillItem{static_cast<int>(head.w[0]), static_cast<int>(head.w[1]), static_cast<int>(head.w[2]), static_cast<int>(head.w[3]),
                           static_cast<int>(tail.w[0]), static_cast<int>(tail.w[1]), static_cast<int>(tail.w[2]), static_cast<int>(tail.w[3])};
    }
};

/// Item `index` of a list in global memory.
MOA_DEVICE PrefillItem loadPrefillItem(const PrefillItem* items, int index) {
    const Vec16* words = reinterpret_cast<const Vec16*>(items + index);
    return PrefillItem::of(loadGlobal(words), loadGlobal(words + 1));
}

}  // namespace moa
