// Values that are not finite, in prefill on Hopper. A masked key has probability 0, and 0 x NaN is NaN. A block computes in
// two passes (wgmmaPrefill.cuh); in the second, tiles that the mask cuts are scanned before they are multiplied: by the three
// warps beside the producer, which are idle otherwise. In both they make zeros of rows that hold no token.
//
//   queue  : the producer enters each tile that needs it; its values land at the entry's barrier, not at the stage's
//   scan   : the warps read a third of the tile each, and agree; rows of pages without a token become zeros
//   marks  : if there is a value that is not finite, one warp makes zeros of those, and marks their rows
//   then   : the stage is full. The warps that compute make NaN of the rows of queries to which a marked row contributes, by the
//            product of the probabilities and the marks, so other rows have the same bits whatever the value was
//   empty  : each thread that scans says for itself when it is done with a stage, and reads and writes what others must see by
//            the lane that says so: racecheck follows no barrier of a warp (docs/kernels/prefill.md)
#pragma once
#include <moa/finite.cuh>
#include <moa/prefill/wgmmaRoom.cuh>
#include <moa/primitives/barrier.cuh>
#include <moa/primitives/bulkCopy.cuh>
#include <moa/primitives/shuffle.cuh>

namespace moa {

/// A tile to scan, as a word.
struct ScanEntry {
    int word;

    static constexpr int kEnd = -1;
    static constexpr int kOnlyRows = 1 << 24;  ///< rows without a token become zeros, and that is all
    /// `first` and `second`: rows of its pages that hold a token; `second` is 0 where there is one page.
    static MOA_DEVICE ScanEntry of(int stage, int first, int second) { return ScanEntry{stage | first << 8 | second << 16}; }
    MOA_DEVICE bool isEnd() const { return word == kEnd; }
    MOA_DEVICE int stage() const { return word & 255; }
    MOA_DEVICE int first() const { return word >> 8 & 255; }
    MOA_DEVICE int second() const { return word >> 16 & 255; }
    MOA_DEVICE bool isOnlyRows() const { return (word & kOnlyRows) != 0; }
};

template <class Config>
class WgmmaScan : WgmmaRoom<Config> {
    using Element = typename Config::Element;
    using Room = WgmmaRoom<Config>;
    using Room::kBlocks, Room::kChunks, Room::kColumns, Room::kComputeWarps, Room::kScanWarps, Room::kScanThreads, Room::kScans, Room::fullValue, Room::emptyValue, Room::landed, Room::marks, Room::scanEntry,
        Room::scanVote, Room::values;
    static constexpr int kBarrier = 8;  ///< of the warps that scan, among named barriers
    static constexpr int kRowChunks = kBlockRowBytes / kChunkBytes;
    static constexpr int kTileChunks = kBlocks * kColumns * kRowChunks;

public:
    /// By the warps `kComputeWarps + 1` on.
    static MOA_DEVICE void run() {
        const int warp = warpIndex() - kComputeWarps - 1;
        Turn<kScans> turn;
        for (int set = 0;; set ^= 1) {
            mbarrierWait(landed(turn.index()), turn.parity());
            const ScanEntry entry = readEntry(turn.index());
            turn.advance();
            if (entry.isEnd()) break;
            const SharedAddress tile = values(entry.stage());
            const bool found = warpAny(scan(tile, entry, warp));
            if (laneIndex() == 0) storeShared(scanVote(set, warp), static_cast<int>(found));
            asyncProxyFence();  // for rows that became zeros
            namedBarrier(kBarrier, kScanThreads);
            if (warp == 0) {
                int any = 0;
                if (laneIndex() < kScanWarps) any = loadShared<int>(scanVote(set, laneIndex()));
                Vec16 marked{};
                if (warpAny(any != 0)) {
                    mark(marked, tile, entry);
                    asyncProxyFence();
                    warpBarrier();
                }
                if (laneIndex() == 0) {
                    storeShared(marks(entry.stage()), marked);
                    mbarrierArrive(fullValue(entry.stage()));
                }
            }
            mbarrierArrive(emptyValue(entry.stage()));
        }
    }

private:
    static MOA_DEVICE ScanEntry readEntry(int at) {
        int word = 0;
        if (laneIndex() == 0) word = loadShared<int>(scanEntry(at));
        return ScanEntry{shuffle(word, 0)};
    }

    /// Whether row `row` of a tile holds a token; -1: it is no row of its pages.
    static MOA_DEVICE int holds(const ScanEntry& entry, int row) {
        if (row < kPageTokens) return row < entry.first() ? 1 : 0;
        return row - kPageTokens < entry.second() ? 1 : entry.second() > 0 ? 0 : -1;
    }

    /// The warp's third of a tile, four rows of a block at once. Whether a lane found a value that is not finite.
    static MOA_DEVICE bool scan(SharedAddress tile, const ScanEntry& entry, int warp) {
        if (entry.first() == kPageTokens && (Room::kTilePages == 1 || entry.second() == kPageTokens)) return scanWhole(tile, warp);
        uint32_t bits = 0;
#pragma unroll 1
        for (int index = warp * 32 + laneIndex(); index < kTileChunks; index += 32 * kScanWarps) {
            const int state = holds(entry, index / kRowChunks % kColumns);
            const SharedAddress at = tile + index * kChunkBytes;
            if (state > 0 && !entry.isOnlyRows()) {
                const Vec16 chunk = loadShared<Vec16>(at);
#pragma unroll
                for (int word = 0; word < 4; ++word) bits |= nonFiniteBits<Element>(chunk.w[word]);
            } else if (state == 0) {
                storeShared(at, Vec16{});
            }
        }
        return bits != 0;
    }

    /// The same of a tile whose rows all hold a token: four loads are under way at once.
    static MOA_DEVICE bool scanWhole(SharedAddress tile, int warp) {
        constexpr int kStep = 32 * kScanWarps;
        uint32_t sums[2] = {};
#pragma unroll 1
        for (int first = warp * 32 + laneIndex(); first < kTileChunks; first += 4 * kStep) {
            Vec16 chunks[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) chunks[i] = first + i * kStep < kTileChunks ? loadShared<Vec16>(tile + (first + i * kStep) * kChunkBytes) : Vec16{};
#pragma unroll
            for (int i = 0; i < 4; ++i) {
#pragma unroll
                for (int word = 0; word < 4; ++word) sums[word % 2] = addTimesZero<Element>(sums[word % 2], chunks[i].w[word]);
            }
        }
        return (nonFiniteBits<Element>(sums[0]) | nonFiniteBits<Element>(sums[1])) != 0;
    }

    /// Values that are not finite become zeros, and their rows get a bit of `marked`, row 32 w + b bit b of word w.
    static MOA_DEVICE void mark(Vec16& marked, SharedAddress tile, const ScanEntry& entry) {
#pragma unroll
        for (int word = 0; word < kColumns / 32; ++word) {
            const int row = 32 * word + laneIndex();
            int found = 0;
            if (holds(entry, row) >= 0) {
#pragma unroll 1
                for (int column = 0; column < kChunks; ++column) {
                    const SharedAddress at = tile + swizzledOffset<kColumns>(row, column);
                    Vec16 chunk = loadShared<Vec16>(at);
                    const int marks = clearNonFinite<Element>(chunk);
                    if (marks != 0) storeShared(at, chunk);
                    found |= marks;
                }
            }
            uint32_t bits = static_cast<uint32_t>(found != 0) << laneIndex();
#pragma unroll
            for (int lanes = 16; lanes > 0; lanes /= 2) bits |= shuffleXor(bits, lanes);
            marked.w[word] = bits;
        }
    }
};

}  // namespace moa
