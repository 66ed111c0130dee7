// How many tokens each slot's sequence has before a step, and how many the step brings.
#pragma once
#include <moa/integers.cuh>
#include <moa/primitives/memory.cuh>

namespace moa {

struct NewTokens {
    const int* lengths;    ///< [slots] tokens in the cache of the layer whose call begins the step; -1: no sequence
    const int* cuSeqlens;  ///< [slots + 1] first new token of each slot; null: `each`
    const int* counts;     ///< [slots] how many of them are tokens; null: all
    int each;              ///< new tokens of each sequence
    int fewest;            ///< sequences with fewer or more than this many are left out
    int most;

    /// New tokens of a slot; 0 without a sequence.
    MOA_DEVICE int of(int slot) const { return loadGlobal(lengths + slot) < 0 ? 0 : ofSequence(slot); }

    /// The same of a slot that has a sequence: no more than it has rows.
    MOA_DEVICE int ofSequence(int slot) const {
        const int rows = cuSeqlens == nullptr ? each : loadGlobal(cuSeqlens + slot + 1) - loadGlobal(cuSeqlens + slot);
        return counts == nullptr ? rows : minimum(rows, loadGlobal(counts + slot));
    }

    /// Where the new tokens of a slot begin; without cuSeqlens the number of the slot, since each has as many rows.
    MOA_DEVICE int rowOf(int slot) const { return cuSeqlens == nullptr ? slot : loadGlobal(cuSeqlens + slot); }

    /// Tokens of a slot's sequence behind the step; 0 of one that is left out, or has no new tokens.
    MOA_DEVICE int lengthAfter(int slot) const {
        const int added = of(slot);
        return added < maximum(1, fewest) || added > most ? 0 : loadGlobal(lengths + slot) + added;
    }
};

}  // namespace moa
