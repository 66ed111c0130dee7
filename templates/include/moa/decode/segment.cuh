// What a block of decode works on: segments of rings from the static schedule, and the pages of a segment one by one.
#pragma once
#include <moa/page.cuh>
#include <moa/primitives/shuffle.cuh>

namespace moa {

/// A run of pages of one ring. Built by the schedule (src/passes/schedule/decodeSegments.ts). The first segment of block b is number b; the
/// others of a block follow by `next`.
struct alignas(16) DecodeSegment {
    int slot;          ///< sequence
    int kvHead;
    int tableOffset;   ///< of the ring's first page in the page table
    int window;        ///< of the ring
    int pageBegin;     ///< first page of the run, counted in the ring
    int pageEnd;       ///< one past its last page when the ring is full
    int split;         ///< this segment's number among those of its ring
    int splits;        ///< segments of its ring; 0: of none, for a block without work
    int firstPartial;  ///< partial result of split 0; unused when splits == 1
    int ticket;        ///< counter of finished splits
    int next;          ///< the block's next segment, or -1
    int firstRow;      ///< of its rows of queries (queryRows.cuh)
};

/// What those who compute a page must know of it, beside its rows in a stage. Its segment goes with it: 64 bytes in shared memory.
struct PageItem {
    int page;    ///< counted in the ring
    int length;  ///< tokens of the sequence, the new ones included
    int flags;
    int rows;  ///< rows of the page that hold a token

    static constexpr int kBytes = 64;
    static constexpr int kOffset = sizeof(DecodeSegment);  ///< of these four words, behind the segment's

    static constexpr int kFirst = 1;  ///< its group's first of the segment
    static constexpr int kLast = 2;   ///< its group's last of the segment
    static constexpr int kFinal = 4;  ///< its group's last of all
    static constexpr int kEmpty = 8;  ///< no page at all: every group gets as many items of a segment, and one at least

    MOA_DEVICE bool is(int flag) const { return (flags & flag) != 0; }
};
static_assert(sizeof(DecodeSegment) == 48 && PageItem::kOffset + sizeof(PageItem) == PageItem::kBytes);

MOA_DEVICE PageItem loadItem(SharedAddress entry) {
    const Vec16 words = loadShared<Vec16>(entry + PageItem::kOffset);
    return PageItem{static_cast<int>(words.w[0]), static_cast<int>(words.w[1]), static_cast<int>(words.w[2]), static_cast<int>(words.w[3])};
}

MOA_DEVICE DecodeSegment loadSegment(SharedAddress entry) {
    union {
        Vec16 words[3];
        DecodeSegment segment;
    } value;
#pragma unroll
    for (int i = 0; i < 3; ++i) value.words[i] = loadShared<Vec16>(entry + i * 16);
    return value.segment;
}

/// Walks the pages of a block's segments, as a warp: lane i holds word i of the present segment, and the numbers of 64 pages ahead are
/// spread over the lanes, so that neither is waited for page by page. Groups of warps take pages in turn, and every group gets an item of every
/// segment, so that it knows where the segment begins and ends.
template <class Config>
class PageWalker {
    static constexpr int kWords = sizeof(DecodeSegment) / 4;

public:
    /// Every `step`-th item of each segment, from item `offset` on: all of them, or those of one group.
    template <class Params>
    MOA_DEVICE PageWalker(const Params& p, int offset, int step) : offset_(offset), step_(step) {
        word_ = loadWord(p, blockIndex());
        open(p);
    }

    MOA_DEVICE bool done() const { return done_; }
    MOA_DEVICE bool empty() const { return page_ >= pageEnd_; }
    /// The number in the pool of the present page.
    MOA_DEVICE int pageNumber() const { return shuffle(numbers_, (page_ - base_) & 31); }
    /// Rows of the present page that hold a token.
    MOA_DEVICE int rows() const { return rows_; }

    /// Writes the present item for those who compute it.
    MOA_DEVICE void writeItem(SharedAddress entry) const {
        const int lane = laneIndex();
        const bool last = page_ + Config::kGroups >= itemEnd_;
        const int flags = (page_ < firstEnd_ ? PageItem::kFirst : 0) | (last ? PageItem::kLast : 0) | (last && next_ < 0 ? PageItem::kFinal : 0) |
                          (empty() ? PageItem::kEmpty : 0);
        int word = word_;
        if (lane == kWords) word = page_;
        if (lane == kWords + 1) word = length_;
        if (lane == kWords + 2) word = flags;
        if (lane == kWords + 3) word = rows_;
        if (lane < PageItem::kBytes / 4) storeShared<int>(entry + lane * 4, word);
    }

    template <class Params>
    MOA_DEVICE void advance(const Params& p) {
        page_ += step_;
        if (page_ < itemEnd_) {
            if (page_ - base_ >= 32) {
                base_ += 32;
                numbers_ = ahead_;
                ahead_ = loadNumbers(p, base_ + 32);
            }
            setRows(p);
        } else if (next_ < 0) {
            done_ = true;
        } else {
            word_ = nextWord_;
            open(p);
        }
    }

private:
    template <class Params>
    static MOA_DEVICE int loadWord(const Params& p, int segment) {
        return laneIndex() < kWords ? loadGlobal(reinterpret_cast<const int*>(p.segments + segment) + laneIndex()) : 0;
    }

    template <class Params>
    MOA_DEVICE int loadNumbers(const Params& p, int from) const {
        const int page = from + laneIndex();
        return page < segmentEnd_ ? loadGlobal(p.pageTable + tableOffset_ + page) : 0;
    }

    /// Begins the segment whose words the lanes hold.
    template <class Params>
    MOA_DEVICE void open(const Params& p) {
        const int slot = shuffle(word_, 0);
        tableOffset_ = shuffle(word_, 2);
        window_ = shuffle(word_, 3);
        const int begin = shuffle(word_, 4);
        segmentEnd_ = shuffle(word_, 5);
        next_ = shuffle(word_, 10);
        base_ = begin;
        numbers_ = loadNumbers(p, begin);
        ahead_ = loadNumbers(p, begin + 32);
        length_ = lengthOf(p, slot);
        if (next_ >= 0) nextWord_ = loadWord(p, next_);
        page_ = begin + offset_;
        pageEnd_ = minimum(segmentEnd_, Config::rings(p).pagesInUse(length_, window_));
        firstEnd_ = begin + Config::kGroups;
        itemEnd_ = begin + maximum(1, ceilDivide(pageEnd_ - begin, Config::kGroups)) * Config::kGroups;
        setRows(p);
    }

    /// Tokens of a sequence, the new ones included. One that gets none is as a slot without a sequence: nothing of it is read.
    template <class Params>
    static MOA_DEVICE int lengthOf(const Params& p, int slot) {
        if constexpr (requires { Config::kManyTokens; }) {
            return p.counts != nullptr && loadGlobal(p.counts + slot) == 0 ? -1 : loadGlobal(p.lengths + slot);
        } else {
            return loadGlobal(p.lengths + slot) + 1;
        }
    }

    template <class Params>
    MOA_DEVICE void setRows(const Params& p) {
        rows_ = Config::rings(p).rowsInUse(page_, length_, window_);
    }

    int offset_;
    int step_;
    int word_;
    int nextWord_ = 0;
    int numbers_;
    int ahead_;
    int base_;
    int tableOffset_;
    int window_;
    int segmentEnd_;
    int next_;
    int length_;
    int page_;
    int pageEnd_;
    int firstEnd_;
    int itemEnd_;
    int rows_;
    bool done_ = false;
};

}  // namespace moa
