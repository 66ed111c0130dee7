// How a KV page lies in memory, and where a token lies in its ring.
//
//   page   = K page, then V page
//   K page = [headDim / 64] blocks of [64 tokens][64 elements]; V page the same
//   block  = 128-byte rows; the 16-byte chunk c of row r is stored at chunk c ^ (r & 7)
//
// The same swizzle serves shared memory, so a page is copied as it is and read by ldmatrix without bank conflicts.
//
//   ring   = sink pages, then window pages: slot(j) = j for j < sink, and then (j - sink) mod window
#pragma once
#include <moa/integers.cuh>
#include <moa/primitives/memory.cuh>
#include <moa/primitives/thread.cuh>

namespace moa {

inline constexpr int kPageTokens = 64;
inline constexpr int kBlockColumns = 64;
inline constexpr int kChunkElements = 8;
inline constexpr int kChunkBytes = 16;
inline constexpr int kBlockRowBytes = kBlockColumns * 2;

template <int kHeadDim>
struct Page {
    static_assert(kHeadDim % kBlockColumns == 0, "a page is made of 64-column blocks");
    static constexpr int kChunks = kHeadDim / kChunkElements;
    static constexpr int kBlockBytes = kPageTokens * kBlockRowBytes;
    static constexpr int kHalfElements = kPageTokens * kHeadDim;
    static constexpr int kElements = 2 * kHalfElements;
};

/// Bytes from the start of a swizzled [rows][64 columns] x (headDim / 64) tile to chunk `chunk` of row `row`.
template <int kRows>
MOA_DEVICE constexpr int swizzledOffset(int row, int chunk) {
    return (chunk >> 3) * (kRows * kBlockRowBytes) + row * kBlockRowBytes + (((chunk & 7) ^ (row & 7)) * kChunkBytes);
}

/// One lane's row of a swizzled tile, for addressing by ldmatrix: the row is fixed, chunks and whole groups of 8 rows vary
/// by constants, so an address costs one exclusive or. A lane that wants odd chunks flips chunk bit 0 of `tile`.
template <int kRows>
class SwizzledRow {
public:
    /// `tile` is 1024-byte aligned but for that flip.
    MOA_DEVICE SwizzledRow(SharedAddress tile, int row) : row_(opaque(static_cast<int>((tile + row * kBlockRowBytes) ^ ((row & 7) * kChunkBytes)))) {}

    /// Address of chunk `chunk`, `rows` (a multiple of 8) further down.
    MOA_DEVICE SharedAddress at(int chunk, int rows) const {
        return (row_ ^ ((chunk & 7) * kChunkBytes)) + (chunk >> 3) * (kRows * kBlockRowBytes) + rows * kBlockRowBytes;
    }

private:
    SharedAddress row_;
};

/// The ring of one (sequence, layer, KV head).
struct alignas(8) Ring {
    int tableOffset;  ///< of its first page in the page table
    int window;       ///< slots behind the sink, the largest window of its query heads
};

/// The geometry of rings, for a sink of `sink` tokens.
struct RingGeometry {
    int sink;

    MOA_DEVICE constexpr int sinkPages() const { return (sink + kPageTokens - 1) / kPageTokens; }

    /// The slot of the token at position j.
    MOA_DEVICE int slotOf(int j, int window) const { return j < sink ? j : sinkPages() * kPageTokens + windowSlot(j, window); }

    /// Pages that hold a token when the sequence has `length` tokens: always the first ones of the ring.
    MOA_DEVICE int pagesInUse(int length, int window) const {
        return length <= sink ? ceilDivide(length, kPageTokens) : sinkPages() + ceilDivide(minimum(length - sink, window), kPageTokens);
    }

    /// Rows of page `page` that hold a token: rows 0 .. result - 1.
    MOA_DEVICE int rowsInUse(int page, int length, int window) const {
        const int slots = page < sinkPages() ? minimum(sink, length) - page * kPageTokens
                                             : minimum(length - sink, window) - (page - sinkPages()) * kPageTokens;
        return maximum(0, minimum(slots, kPageTokens));
    }

    /// The window slot of the token at position j >= sink, counted from the first window page.
    MOA_DEVICE int windowSlot(int j, int window) const { return (j - sink) % window; }

    /// How many tokens the one in window slot `slot` is older than the newest, which lies in slot `newestSlot`.
    static MOA_DEVICE int ageOf(int slot, int newestSlot, int window) {
        const int behind = newestSlot - slot;
        return behind < 0 ? behind + window : behind;
    }
};

}  // namespace moa
