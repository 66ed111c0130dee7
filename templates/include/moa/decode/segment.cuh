// What a block of decode works on: segments of rings from the static schedule, and the pages of a segment one by one.
#pragma once
#include <moa/page.cuh>
#include <moa/primitives/shuffle.cuh>

namespace moa {

/// A run of pages of one ring, which a block reads. Its pages are cut into pieces whose ends follow from the sequence's own length alone; each has a partial
/// result of its own, so that sums have one order however the pieces are shared out among blocks. A piece that another one follows has a page for each group of warps. Written by the plan (plan/decodePlan.cuh). The first
/// segment of block b is number b; the others of a block follow by `next`.
struct alignas(16) DecodeSegment {
    int slot;          ///< sequence
    int kvHead;
    int tableOffset;   ///< of the ring's first page in the page table
    int window;        ///< of the ring
    int pageBegin;     ///< first page of the run, counted in the ring
    int pageEnd;       ///< one past its last page
    int split;         ///< number of its first piece among those of the ring
    int splits;        ///< pieces of the ring; 0: of none
    int firstPartial;  ///< partial result of piece 0; unused when splits == 1
    int runs;          ///< segments of the ring; of no ring 1 for a slot without new tokens, whose rows become 0, 0 for a block without work
    int firstRow;      ///< of its rows of queries (queryRows.cuh)
    int row;           ///< of the sequence's new token among those of all

    static constexpr int kWords = 12;
};

/// The same with what only those who walk its pages read. Piece by piece the end moves on by `step` pages, and by one more where `rest`, of which each takes
/// `remainder`, has less and gets `pieces`.
struct alignas(16) PlannedSegment {
    DecodeSegment segment;
    int next;      ///< the block's next segment, or -1
    int firstEnd;  ///< one past the last page of its first piece
    int step;
    int fraction;  ///< pieces of the sequence, remainder, and rest at firstEnd: ten bits each

    static constexpr int kWords = 16;
    static constexpr int kBits = 10;
    static constexpr int kMostPieces = (1 << kBits) - 1;
};

/// What those who compute a page must know of it, beside its rows in a stage. Its segment goes with it: 64 bytes in shared memory.
struct PageItem {
    int page;    ///< counted in the ring
    int length;  ///< tokens of the sequence, the new ones included
    int flags;
    int rows;  ///< rows of the page that hold a token

    static constexpr int kBytes = 64;
    static constexpr int kOffset = sizeof(DecodeSegment);  ///< of these four words, behind the segment's

    static constexpr int kFirst = 1;    ///< its group's first of the piece
    static constexpr int kLast = 2;     ///< its group's last of the piece
    static constexpr int kFinal = 4;    ///< its group's last of all
    static constexpr int kEmpty = 8;    ///< no page at all: every group gets as many items of a piece, and one at least
    static constexpr int kOpens = 16;   ///< its piece is the segment's first
    static constexpr int kCloses = 32;  ///< its piece is the segment's last

    MOA_DEVICE bool is(int flag) const { return (flags & flag) != 0; }
};
static_assert(sizeof(DecodeSegment) == 48 && sizeof(PlannedSegment) == 64 && PageItem::kOffset + sizeof(PageItem) == PageItem::kBytes);

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
/// spread over the lanes, so that neither is waited for page by page. Page n of a ring belongs to group n % kGroups of the warps, whatever pieces and segments there
/// are. Every group gets an item of every piece, so that it knows where the piece begins and ends, and all get as many of a segment: where it does not begin with a page of
/// the first group, or end with one of the last, there are items without a page.
template <class Config>
class PageWalker {
    static constexpr int kWords = PlannedSegment::kWords;

public:
    /// Every `step`-th page, from page `offset` on: all of them, or those of one group.
    template <class Params>
    MOA_DEVICE PageWalker(const Params& p, int offset, int step) : offset_(offset), step_(step) {
        word_ = loadWord(p, blockIndex());
        open(p);
    }

    MOA_DEVICE bool done() const { return done_; }
    MOA_DEVICE bool empty() const { return page_ < begin_ || page_ >= segmentEnd_; }
    /// The number in the pool of the present page.
    MOA_DEVICE int pageNumber() const { return shuffle(numbers_, (page_ - base_) & 31); }
    /// Rows of the present page that hold a token.
    MOA_DEVICE int rows() const { return rows_; }

    /// Writes the present item for those who compute it.
    MOA_DEVICE void writeItem(SharedAddress entry) const {
        const int lane = laneIndex();
        const bool last = page_ + Config::kGroups >= itemEnd_;
        const bool closes = pieceEnd_ == segmentEnd_;
        const int flags = (page_ < firstEnd_ ? PageItem::kFirst : 0) | (last ? PageItem::kLast : 0) | (last && closes && next_ < 0 ? PageItem::kFinal : 0) |
                          (empty() ? PageItem::kEmpty : 0) | (opens_ ? PageItem::kOpens : 0) | (closes ? PageItem::kCloses : 0);
        int word = word_;
        if (lane == DecodeSegment::kWords) word = page_;
        if (lane == DecodeSegment::kWords + 1) word = length_;
        if (lane == DecodeSegment::kWords + 2) word = flags;
        if (lane == DecodeSegment::kWords + 3) word = rows_;
        if (lane < PageItem::kBytes / 4) storeShared<int>(entry + lane * 4, word);
    }

    template <class Params>
    MOA_DEVICE void advance(const Params& p) {
        page_ += step_;
        if (page_ < itemEnd_) {
            lookAhead(p);
            setRows(p);
        } else if (pieceEnd_ < segmentEnd_) {
            opens_ = false;
            firstEnd_ = pieceEnd_ + Config::kGroups;
            setPieceEnd(pieceEnd_ + nextStep());
            lookAhead(p);
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

    template <class Params>
    MOA_DEVICE void lookAhead(const Params& p) {
        if (page_ - base_ < 32) return;
        base_ += 32;
        numbers_ = ahead_;
        ahead_ = loadNumbers(p, base_ + 32);
    }

    /// Begins the segment whose words the lanes hold.
    template <class Params>
    MOA_DEVICE void open(const Params& p) {
        const int slot = shuffle(word_, 0);
        tableOffset_ = shuffle(word_, 2);
        window_ = shuffle(word_, 3);
        begin_ = shuffle(word_, 4);
        base_ = begin_ / Config::kGroups * Config::kGroups;
        segmentEnd_ = shuffle(word_, 5);
        next_ = shuffle(word_, 12);
        const int firstEnd = shuffle(word_, 13);
        pieceStep_ = shuffle(word_, 14);
        fraction_ = shuffle(word_, 15);
        numbers_ = loadNumbers(p, base_);
        ahead_ = loadNumbers(p, base_ + 32);
        length_ = lengthOf(p, slot);
        if (next_ >= 0) nextWord_ = loadWord(p, next_);
        opens_ = true;
        page_ = base_ + offset_;
        firstEnd_ = base_ + Config::kGroups;
        setPieceEnd(firstEnd);
        setRows(p);
    }

    /// The present piece ends with page `end` - 1, or with the segment.
    MOA_DEVICE void setPieceEnd(int end) {
        pieceEnd_ = minimum(end, segmentEnd_);
        const int all = ceilDivide(maximum(firstEnd_, segmentEnd_), Config::kGroups) * Config::kGroups;
        itemEnd_ = pieceEnd_ < segmentEnd_ ? pieceEnd_ : all;
    }

    /// Pages from the present piece to the end of the next.
    MOA_DEVICE int nextStep() {
        const int mask = PlannedSegment::kMostPieces;
        const int pieces = fraction_ & mask;
        const int remainder = fraction_ >> PlannedSegment::kBits & mask;
        int rest = (fraction_ >> 2 * PlannedSegment::kBits & mask) - remainder;
        const bool isLonger = rest < 0;
        if (isLonger) rest += pieces;
        fraction_ = pieces | remainder << PlannedSegment::kBits | rest << 2 * PlannedSegment::kBits;
        return pieceStep_ + (isLonger ? 1 : 0);
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
    int begin_;
    int base_;
    int tableOffset_;
    int window_;
    int segmentEnd_;
    int pieceEnd_;
    int pieceStep_;
    int fraction_;
    int next_;
    int length_;
    int page_;
    int firstEnd_;
    int itemEnd_;
    int rows_;
    bool opens_ = true;
    bool done_ = false;
};

}  // namespace moa
