// Which pages of 64 keys a block of query rows visits, and which of their keys each row attends. One sequence for all who need it: those who copy pages
// and those who compute.
//
// Keys are the new tokens, page by page from the diagonal to the left, and behind them, where the sequence held tokens before, the pages of its ring:
// window pages from the newest token back, then sink pages. So the softmax maximum is finite early.
#pragma once
#include <moa/prefill/items.cuh>
#include <moa/tiles.cuh>

namespace moa {

/// A page of keys, as one number: page n of the new tokens is n, page n of the ring -2 - n.
struct KeyPage {
    int code;

    static constexpr int kNone = -1;
    MOA_DEVICE bool exists() const { return code != kNone; }
    MOA_DEVICE bool isRing() const { return code < kNone; }
    MOA_DEVICE int ringPage() const { return -2 - code; }
    static MOA_DEVICE KeyPage ofRing(int page) { return KeyPage{-2 - page}; }
};

/// The tokens that a ring holds when a sequence has `cached` tokens, more than none.
struct RingTokens {
    RingGeometry geometry;
    int cached;
    int window;
    int newest;  ///< window slot of the newest token; of none when nothing lies behind the sink

    static MOA_DEVICE RingTokens of(RingGeometry geometry, const PrefillItem& item) {
        return RingTokens{geometry, item.cached, item.ringWindow, item.newest};
    }

    /// Tokens behind the sink that are still there.
    MOA_DEVICE int held() const { return maximum(0, minimum(cached - geometry.sink, window)); }
    MOA_DEVICE int windowPages() const { return ceilDivide(window, kPageTokens); }
    /// Of them the newest ones, so many, are attended by row `row` of the new tokens, of a head with this window.
    MOA_DEVICE int attendedBy(int row, int headWindow) const { return minimum(held(), headWindow - 1 - row); }

    MOA_DEVICE int sinkPages() const { return ceilDivide(minimum(cached, geometry.sink), kPageTokens); }
    /// Pages of the window that rows from `firstRow` on visit, of a head with this window: from that of the newest token back to that of the oldest which a row attends.
    MOA_DEVICE int visitedPages(int firstRow, int headWindow) const {
        const int age = attendedBy(firstRow, headWindow) - 1;  // of the oldest
        if (age < 0) return 0;
        const bool wraps = age > newest;
        const int oldest = wraps ? newest - age + window : newest - age;
        const int behind = newest / kPageTokens - oldest / kPageTokens;
        const int pages = windowPages();
        return minimum(pages, (wraps ? behind + pages : behind) + 1);
    }
};

template <class Mask>
class KeyPages {
public:
    /// For rows `firstRow` .. `lastRow` of the item's new tokens.
    MOA_DEVICE KeyPages(const Mask& mask, RingGeometry geometry, const PrefillItem& item, int firstRow, int lastRow)
        : tiles_(mask, item.cached + firstRow, item.cached + lastRow, item.cached) {
        if (item.cached == 0) return;
        const RingTokens ring = RingTokens::of(geometry, item);
        newest_ = item.newest;
        sinkPages_ = ring.sinkPages();
        windowPages_ = ring.visitedPages(firstRow, item.window);
        pages_ = ring.windowPages();
        firstWindowPage_ = geometry.sinkPages();
    }

    /// Page n of them, or none.
    MOA_DEVICE KeyPage at(int n) const {
        const int tiles = tiles_.count();
        if (n < tiles) return KeyPage{tiles_.at(n)};
        n -= tiles;
        if (n < windowPages_) {
            const int page = newest_ / kPageTokens - n;
            return KeyPage::ofRing(firstWindowPage_ + (page < 0 ? page + pages_ : page));
        }
        n -= windowPages_;
        return n < sinkPages_ ? KeyPage::ofRing(sinkPages_ - 1 - n) : KeyPage{KeyPage::kNone};
    }

private:
    TileSequence<Mask, kPageTokens> tiles_;
    int windowPages_ = 0;  ///< that are visited
    int sinkPages_ = 0;
    int pages_ = 0;  ///< of the ring's window
    int firstWindowPage_ = 0;
    int newest_ = 0;  ///< slot of the ring
};

/// Which keys of a page a row attends: a bit each. A constant key is one test of a bit.
struct PageRow {
    uint64_t bits;

    /// Keys begin .. end - 1 of the page; either may lie outside of it.
    static MOA_DEVICE PageRow ofRange(int begin, int end) {
        const int first = minimum(maximum(begin, 0), kPageTokens);
        const int count = minimum(end, kPageTokens) - first;
        return PageRow{count <= 0 ? 0 : ~uint64_t{0} >> (kPageTokens - count) << first};
    }

    MOA_DEVICE PageRow operator|(const PageRow& other) const { return PageRow{bits | other.bits}; }
    MOA_DEVICE bool allows(int key) const { return (bits >> key & 1) != 0; }
    /// The same, counted from key `by` on.
    MOA_DEVICE PageRow from(int by) const { return PageRow{bits >> by}; }
};

/// Of the page of new tokens whose first key is at position `key`.
template <class Mask, int kInterval = Mask::kIntervals - 1>
MOA_DEVICE PageRow rowOfNewPage(const Mask& mask, int position, int key) {
    const PageRow here = PageRow::ofRange(mask.template begin<kInterval>(position) - key, mask.template end<kInterval>(position) - key);
    if constexpr (kInterval == 0) {
        return here;
    } else {
        return here | rowOfNewPage<Mask, kInterval - 1>(mask, position, key);
    }
}

/// What row `row` of the item's new tokens attends of a page.
template <class Mask>
MOA_DEVICE PageRow rowOfPage(const Mask& mask, RingGeometry geometry, const PrefillItem& item, KeyPage page, int row) {
    if (!page.exists()) return PageRow{0};
    if (!page.isRing()) return rowOfNewPage(mask, item.cached + row, item.cached + page.code * kPageTokens);
    const RingTokens ring = RingTokens::of(geometry, item);
    const int sinkPages = geometry.sinkPages();
    if (page.ringPage() < sinkPages) return PageRow::ofRange(0, minimum(item.cached, geometry.sink) - page.ringPage() * kPageTokens);
    // Those slots from the newest back, around the end of the ring.
    const int allowed = ring.attendedBy(row, item.window);
    const int slot = (page.ringPage() - sinkPages) * kPageTokens;
    const int newest = ring.newest - slot;
    const int oldestBehind = newest + item.ringWindow - allowed + 1;
    return PageRow::ofRange(newest - allowed + 1, newest + 1) | PageRow::ofRange(maximum(oldestBehind, newest + 1), item.ringWindow - slot);
}

/// How much of a page rows `first` .. `last` attend.
enum PageShare : int {
    kWholePage = 0,   ///< all keys, each row
    kUpToRow = 1,     ///< each row all keys up to its own position: the page lies on the diagonal
    kPartOfPage = 2,  ///< what rowOfPage says
    kNoneOfPage = 3,  ///< no key, no row
};

template <class Mask>
MOA_DEVICE PageShare shareOfPage(const Mask& mask, const RingTokens& ring, const PrefillItem& item, KeyPage page, int first, int last) {
    if (!page.exists() || first >= item.length) return kNoneOfPage;
    if (!page.isRing()) {
        const int key = item.cached + page.code * kPageTokens;
        if (!allowsAny(mask, item.cached + first, item.cached + last, key, key + kPageTokens)) return kNoneOfPage;
        if (allowsAll(mask, item.cached + first, item.cached + last, key, key + kPageTokens)) return kWholePage;
        return mask.template begin<Mask::kIntervals - 1>(item.cached + last) <= key ? kUpToRow : kPartOfPage;
    }
    const int sinkPages = ring.geometry.sinkPages();
    if (page.ringPage() < sinkPages) return minimum(item.cached, ring.geometry.sink) >= (page.ringPage() + 1) * kPageTokens ? kWholePage : kPartOfPage;
    // The last row attends the fewest tokens. Of the page's slots the first holds the oldest token, unless the newest one lies between them.
    const int slot = (page.ringPage() - sinkPages) * kPageTokens;
    const int end = minimum(slot + kPageTokens, ring.window);
    const bool holdsNewest = slot <= ring.newest && ring.newest < end;
    const int youngest = holdsNewest ? 0 : RingGeometry::ageOf(end - 1, ring.newest, ring.window);
    if (youngest >= ring.attendedBy(first, item.window)) return kNoneOfPage;
    const int age = RingGeometry::ageOf(slot, ring.newest, ring.window);
    const bool inOrder = end == slot + kPageTokens && (!holdsNewest || ring.newest == end - 1);
    return inOrder && age < ring.attendedBy(last, item.window) ? kWholePage : kPartOfPage;
}

}  // namespace moa
