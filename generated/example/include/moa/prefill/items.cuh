// What prefill works on: one item a block of query rows of one head of one sequence. Made on the device (plan/prefillPlan.cuh).
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
    int firstPage;    ///< of the pages that its rows visit (KeyPages), those from this one on
    int pages;        ///< so many
    int part;         ///< none, or the number of its partial result: item part ^ 1 visits the other pages of these rows
    int newest;       ///< window slot of the newest cached token; where one lies behind the sink

    static constexpr int kWords = 12;
    static constexpr int kWhole = -1;

    MOA_DEVICE bool isPart() const { return part != kWhole; }

    /// `word(i)` is its word i.
    template <class Word>
    static MOA_DEVICE PrefillItem of(const Word& word) {
        return PrefillItem{word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7), word(8), word(9), word(10), word(11)};
    }

    /// Read by `load(i)`, its 16 bytes i.
    template <class Load>
    static MOA_DEVICE PrefillItem ofVectors(const Load& load) {
        const Vec16 vectors[kWords / 4] = {load(0), load(1), load(2)};
        return of([&](int i) { return static_cast<int>(vectors[i / 4].w[i % 4]); });
    }
};

/// Item `index` of a list in global memory.
MOA_DEVICE PrefillItem loadPrefillItem(const PrefillItem* items, int index) {
    const Vec16* words = reinterpret_cast<const Vec16*>(items + index);
    return PrefillItem::ofVectors([&](int i) { return loadGlobal(words + i); });
}

}  // namespace moa
