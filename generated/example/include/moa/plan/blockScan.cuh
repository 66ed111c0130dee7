// Sums and prefix sums over the threads of a block, and a stable sort by small keys that one block does in global
// memory.
//
// All threads of the block call each function together and with the same sizes. What comes out never depends on which
// thread is faster: no place is taken by an atomic operation. Loops are not unrolled where that saves little time: a
// plan runs once in a step, so its instructions come from far.
#pragma once
#include <moa/integers.cuh>
#include <moa/primitives/ballot.cuh>
#include <moa/primitives/barrier.cuh>
#include <moa/primitives/memory.cuh>
#include <moa/primitives/shuffle.cuh>
#include <moa/primitives/shuffleUp.cuh>
#include <moa/primitives/thread.cuh>

namespace moa {

/// `exchange(word)` of a value of 4 or of 8 bytes, word by word.
template <class T, class Exchange>
MOA_DEVICE T exchangeWords(T value, const Exchange& exchange) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    if constexpr (sizeof(T) == 4) {
        return exchange(value);
    } else {
        const uint64_t bits = static_cast<uint64_t>(value);
        const uint64_t low = exchange(static_cast<uint32_t>(bits));
        const uint64_t high = exchange(static_cast<uint32_t>(bits >> 32));
        return static_cast<T>(high << 32 | low);
    }
}

/// How many bits a number that is not negative needs: 0 for 0.
MOA_DEVICE int bitsOf(int value) {
    uint32_t ones = static_cast<uint32_t>(value);
#pragma unroll
    for (int step = 1; step < 32; step *= 2) ones |= ones >> step;
    return countBits(ones);
}

/// The sum of the values of the threads before this one, and of all.
template <class T>
struct Prefix {
    T before;
    T total;
};

/// Sums over the block, of `int` or `int64_t`. What any thread wrote before such a call is visible after it.
template <int kThreads>
class BlockScan {
    static_assert(kThreads > 0 && kThreads <= 1024 && kThreads % 32 == 0, "a block is made of whole warps");

public:
    static constexpr int kWarps = kThreads / 32;
    /// A value of each warp and one of all, in two places that take turns: a warp that is ahead doesn't overwrite what
    /// another still reads.
    static constexpr int kSharedBytes = 2 * (kWarps + 1) * 8;

    /// `shared` is aligned to 8 bytes.
    explicit MOA_DEVICE BlockScan(SharedAddress shared) : shared_(shared) {}

    template <class T>
    MOA_DEVICE Prefix<T> prefix(T value) {
        const T upToThis = inclusive(value);
        const Prefix<T> warps = ofWarps(upToThis, 31);
        return {warps.before + upToThis - value, warps.total};
    }

    /// How many threads before this one, and of all, say yes.
    MOA_DEVICE Prefix<int> count(bool yes) {
        const uint32_t lanes = warpBallot(yes);
        const Prefix<int> warps = ofWarps(countBits(lanes), 0);
        return {warps.before + countBits(lanes & ((1u << laneIndex()) - 1)), warps.total};
    }

    template <class T>
    MOA_DEVICE T sum(T value) {
        return merge(value, T{0}, [](T a, T b) { return a + b; });
    }

    template <class T>
    MOA_DEVICE T largest(T value) {
        return merge(value, value, [](T a, T b) { return a > b ? a : b; });
    }

private:
    static MOA_DEVICE int warp() { return threadIndex() / 32; }

    MOA_DEVICE SharedAddress nextPlace() {
        turn_ ^= 1;
        return shared_ + turn_ * ((kWarps + 1) * 8);
    }

    template <class T>
    static MOA_DEVICE T inclusive(T value) {
#pragma unroll
        for (int step = 1; step < 32; step *= 2) {
            const T other = exchangeWords(value, [step](auto word) { return shuffleUp(word, step); });
            if (laneIndex() >= step) value += other;
        }
        return value;
    }

    /// Of the values that lane `lane` of each warp has. The first warp adds them up.
    template <class T>
    MOA_DEVICE Prefix<T> ofWarps(T value, int lane) {
        const SharedAddress place = nextPlace();
        const auto at = [place](int index) { return place + index * static_cast<int>(sizeof(T)); };
        if (laneIndex() == lane) storeShared(at(warp()), value);
        blockBarrier();
        if (warp() == 0) {
            const T own = laneIndex() < kWarps ? loadShared<T>(at(laneIndex())) : T{0};
            const T upToThis = inclusive(own);
            if (laneIndex() < kWarps) storeShared(at(laneIndex()), upToThis - own);
            if (laneIndex() == kWarps - 1) storeShared(at(kWarps), upToThis);
        }
        blockBarrier();
        return {loadShared<T>(at(warp())), loadShared<T>(at(kWarps))};
    }

    /// `absent` changes nothing where it is merged.
    template <class T, class Merge>
    MOA_DEVICE T merge(T value, T absent, const Merge& mergeTwo) {
        const T own = mergeLanes(value, mergeTwo);
        const SharedAddress place = nextPlace();
        const auto at = [place](int index) { return place + index * static_cast<int>(sizeof(T)); };
        if (laneIndex() == 0) storeShared(at(warp()), own);
        blockBarrier();
        return mergeLanes(laneIndex() < kWarps ? loadShared<T>(at(laneIndex())) : absent, mergeTwo);
    }

    template <class T, class Merge>
    static MOA_DEVICE T mergeLanes(T value, const Merge& mergeTwo) {
#pragma unroll
        for (int step = 16; step > 0; step /= 2) {
            const auto exchange = [step](auto word) { return shuffle(word, laneIndex() ^ step); };
            value = mergeTwo(value, exchangeWords(value, exchange));
        }
        return value;
    }

    SharedAddress shared_;
    int turn_ = 0;
};

/// A stable sort of numbers by keys, least significant digit first. Each warp has a run of the numbers and counts their
/// digits in shared memory, 32 numbers at a time: lanes with the same digit find each other by ballots, so that each
/// knows how many of them come before it.
template <int kThreads>
class BlockSort {
public:
    static constexpr int kWarps = kThreads / 32;
    static constexpr int kDigitBits = 8;
    static constexpr int kDigits = 1 << kDigitBits;
    static constexpr int kMostCells = kWarps * kDigits;
    static constexpr int kSharedBytes = (kMostCells + kMostCells / 32) * 4;
    /// So that the place of a number in its warp's run and its digit are one word.
    static constexpr int kMostNumbers = kWarps << (31 - kDigitBits);

    /// `shared` is free between two calls. There are three lists of words in global memory, one behind the other: lists
    /// 0 and 1 of numbers, and one for the sort's own use.
    MOA_DEVICE BlockSort(BlockScan<kThreads>& scan, SharedAddress shared, int* lists, int listWords)
        : scan_(scan), shared_(shared), lists_(lists), listWords_(listWords) {}

    /// The numbers of list `from` (kRising: 0 .. count - 1) in rising order of `keyOf(number)`, which is not negative
    /// and has at most `bits` bits; equal keys stay in their order. Returns the list where they are: list `to` where
    /// keys have one digit, and where they have more, by turns the other one and this.
    template <class KeyOf>
    MOA_DEVICE int sort(int from, int count, int bits, int to, const KeyOf& keyOf) {
        int shift = 0;
#pragma unroll 1
        do {
            const auto numberAt = [&](int index) { return from == kRising ? index : loadGlobal(list(from) + index); };
            const auto digitAt = [&](int index) { return keyOf(numberAt(index)) >> shift & (kDigits - 1); };
            const auto move = [&](int index, int place) { storeGlobal(list(to) + place, numberAt(index)); };
            place(count, minimum(bits - shift, kDigitBits), digitAt, move);
            from = to;
            to = 1 - to;
            shift += kDigitBits;
        } while (shift < bits);
        return from;
    }
    static constexpr int kRising = -1;

private:
    /// Calls `digitAt(index)` and then `move(index, place)` once for each index below `count`: places are in rising
    /// order of digits, of equal ones in the order of indices.
    template <class DigitAt, class Move>
    MOA_DEVICE void place(int count, int bits, const DigitAt& digitAt, const Move& move) {
        const int run = ceilDivide(ceilDivide(count, kWarps), 32) * 32;
        const int warps = minimum(kWarps, ceilDivide(count, 32));  // at least as many as have numbers
        const int warp = threadIndex() / 32;
        const int begin = minimum(count, warp * run);
        const int end = minimum(count, begin + run);
        // Counts lie digit by digit, in each warp by warp. A thread adds up some that lie together.
        const int share = ceilDivide(warps << bits, kThreads);
        const int cells = share * kThreads;
        const int firstCell = threadIndex() * share;
#pragma unroll 1
        for (int cell = threadIndex(); cell < cells; cell += kThreads) storeShared(cellAt(cell), 0);
        blockBarrier();

#pragma unroll 1
        for (int first = begin; first < end; first += 32) {
            const int index = first + laneIndex();
            const bool valid = index < end;
            const int digit = valid ? digitAt(index) : 0;
            uint32_t same = warpBallot(valid);
#pragma unroll 1
            for (int bit = 0; bit < bits; bit += 4) {
#pragma unroll
                for (int next = 0; next < 4; ++next) {
                    const bool set = (digit >> (bit + next) & 1) != 0;
                    const uint32_t lanes = warpBallot(set);
                    same &= set ? lanes : ~lanes;
                }
            }
            const int before = countBits(same & ((1u << laneIndex()) - 1));
            const SharedAddress cell = cellAt(digit * warps + warp);
            const int counted = valid ? loadShared<int>(cell) : 0;
            warpBarrier();
            if (valid) {
                if (before == 0) storeShared(cell, counted + countBits(same));
                storeGlobal(list(2) + index, (counted + before) << kDigitBits | digit);
            }
            warpBarrier();
        }
        blockBarrier();

        int sum = 0;
#pragma unroll 1
        for (int cell = firstCell; cell < firstCell + share; ++cell) sum += loadShared<int>(cellAt(cell));
        int place = scan_.prefix(sum).before;
#pragma unroll 1
        for (int cell = firstCell; cell < firstCell + share; ++cell) {
            const int counted = loadShared<int>(cellAt(cell));
            storeShared(cellAt(cell), place);
            place += counted;
        }
        blockBarrier();

#pragma unroll 1
        for (int index = begin + laneIndex(); index < end; index += 32) {
            const int rank = loadGlobal(list(2) + index);
            const int digit = rank & (kDigits - 1);
            move(index, loadShared<int>(cellAt(digit * warps + warp)) + (rank >> kDigitBits));
        }
        blockBarrier();
    }

    /// A word is left out behind every 32, so that neither the threads' runs of cells nor one warp's cells of many
    /// digits fall into few banks.
    MOA_DEVICE SharedAddress cellAt(int cell) const {
        return shared_ + (cell + static_cast<int>(static_cast<uint32_t>(cell) / 32)) * 4;
    }

    MOA_DEVICE int* list(int number) const { return lists_ + int64_t{number} * listWords_; }

    BlockScan<kThreads>& scan_;
    SharedAddress shared_;
    int* lists_;
    int listWords_;
};

}  // namespace moa
