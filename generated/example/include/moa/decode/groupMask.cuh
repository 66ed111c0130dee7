// What forbids keys in the pages of one segment: rows that hold no token, where heads of the group have windows shorter than the ring, tokens too old
// for them, and where a sequence has several new tokens, those behind the query's own. Of a row that is no token: all.
#pragma once
#include <moa/decode/queryRows.cuh>
#include <moa/softmax.cuh>
#include <moa/tiles.cuh>

namespace moa {

/// Where old tokens lie in a ring.
template <class Config>
class RingAges {
public:
    template <class Params>
    MOA_DEVICE void open(const Params& p, const DecodeSegment& segment, int length) {
        const RingGeometry rings = Config::rings(p);
        length_ = length;
        ringWindow_ = segment.window;
        sinkPages_ = rings.sinkPages();
        newestSlot_ = length > rings.sink ? rings.windowSlot(length - 1, segment.window) : 0;
        shortest_ = segment.window;
        for (int member = 0; member < QueryRows<Config>::count(p, segment); ++member) shortest_ = minimum(shortest_, windowOf(p, segment, member));
        // A row that is no token is forbidden every page, as one older than all tokens would be.
        oldestRow_ = QueryRows<Config>::ignores(p, segment) ? kOlderThanAll : QueryRows<Config>::oldest(p, segment);
    }

    /// The window of a row; of what is none, the ring's.
    template <class Params>
    static MOA_DEVICE int windowOf(const Params& p, const DecodeSegment& segment, int member) {
        return member < QueryRows<Config>::count(p, segment) ? loadGlobal(p.windows + segment.slot * Config::queryHeads(p) + QueryRows<Config>::head(p, segment, member)) : segment.window;
    }

    /// Whether a page may hold tokens that a row does not attend. Ages fall along a page, but for the one with the newest token, behind which the oldest
    /// follow.
    MOA_DEVICE bool mayForbid(int page) const {
        if (page < sinkPages_) return kHasManyTokens<Config> && length_ - oldestRow_ < (page + 1) * kPageTokens;
        const int slot = (page - sinkPages_) * kPageTokens;
        const bool holdsNewest = slot <= newestSlot_ && newestSlot_ < slot + kPageTokens;
        if (kHasManyTokens<Config> && RingGeometry::ageOf(minimum(slot + kPageTokens, ringWindow_) - 1, newestSlot_, ringWindow_) < oldestRow_) return true;
        return holdsNewest || RingGeometry::ageOf(slot, newestSlot_, ringWindow_) >= shortest_;
    }

    /// Positions of the newest token, and of the one in a row of a page: behind the sink, or anywhere where several tokens are new.
    MOA_DEVICE int newest() const { return length_ - 1; }
    MOA_DEVICE int positionOf(int page, int row) const {
        if (kHasManyTokens<Config> && page < sinkPages_) return page * kPageTokens + row;
        return length_ - 1 - RingGeometry::ageOf((page - sinkPages_) * kPageTokens + row, newestSlot_, ringWindow_);
    }

private:
    static constexpr int kOlderThanAll = 1 << 30;

    int length_ = 0;
    int ringWindow_ = 0;
    int sinkPages_ = 0;
    int newestSlot_ = 0;
    int shortest_ = 0;
    int oldestRow_ = 0;
};

template <class Config, class Mask>
class GroupMask {
    /// Heads whose scores a lane holds.
    static constexpr int kLaneHeads = 2 * Config::kHeadTiles;
    static MOA_DEVICE int memberOf(int head) { return head / 2 * 8 + 2 * (laneIndex() & 3) + head % 2; }

public:
    template <class Params>
    MOA_DEVICE void open(const Params& p, const DecodeSegment& segment, int length) {
        if constexpr (Config::kAgeMask) {
            ages_.open(p, segment, length);
#pragma unroll
            for (int head = 0; head < kLaneHeads; ++head) {
                window_[head] = ages_.windowOf(p, segment, memberOf(head));
                const int age = QueryRows<Config>::age(p, segment, memberOf(head));
                position_[head] = age < 0 ? -1 : length - 1 - age;
            }
        }
    }

    /// Scores of forbidden keys become -inf: `scores` are those of 16 keys from `row` of the page on with the group's heads, as accumulators
    /// of m16n8k16, 8 heads a tile. True where rows of queries may differ in which of the page's tokens they attend.
    MOA_DEVICE bool apply(float (&scores)[Config::kHeadTiles][4], const PageItem& item, int row) const {
        const int row0 = row + (laneIndex() >> 2);
        if (item.rows < kPageTokens) {
#pragma unroll
            for (int tile = 0; tile < Config::kHeadTiles; ++tile) {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    if (row0 + (e >> 1) * 8 >= item.rows) scores[tile][e] = kNegativeInfinity;
                }
            }
        }
        if constexpr (Config::kAgeMask) {
            if (ages_.mayForbid(item.page)) {
                applyAge(scores, item.page, row0);
                return true;
            }
        }
        return false;
    }

private:
    MOA_DEVICE void applyAge(float (&scores)[Config::kHeadTiles][4], int page, int row0) const {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int position = ages_.positionOf(page, row0 + half * 8);
#pragma unroll
            for (int head = 0; head < kLaneHeads; ++head) {
                const Mask mask{window_[head]};
                if (!allows(mask, position_[head], position)) scores[head / 2][half * 2 + head % 2] = kNegativeInfinity;
            }
        }
    }

    RingAges<Config> ages_;
    int window_[kLaneHeads] = {};
    int position_[kLaneHeads] = {};  ///< of the row's own token; -1 of a row that is none, which attends nothing
};

}  // namespace moa
