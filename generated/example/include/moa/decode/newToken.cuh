// The new token of a sequence: its query heads for the scores, its key and value for the ring. With RoPE (arXiv 2104.09864) both are
// rotated on the way; the caller's tensors stay as they are.
#pragma once
#include <moa/decode/segment.cuh>
#include <moa/primitives/math.cuh>
#include <moa/rotate.cuh>

namespace moa {

/// Rotates queries as `loadQueries` places them. Fragment n is that of step n / 2 and part n % 2.
template <class Config>
MOA_DEVICE void rotateQueries(uint32_t (&queries)[Config::kHeadTiles][Config::kHeadDim / 16][2], const WarpAngles<Config>& held) {
    using Cache = typename Config::Cache;
    constexpr int kPartner = Config::kInterleaved ? 0 : Config::kRotaryDim / 16;  ///< fragments from a pair's first element to its second
    static_assert(sizeof(typename Cache::Chunk) == 16 || kPartner % 2 == 0, "a lane has four neighbours of a query where the cache has 8 bits");
#pragma unroll
    for (int n = 0; n < Config::kRotaryDim / (Config::kInterleaved ? 8 : 16); ++n) {
        const int column = Cache::column(n / 2, n % 2);
        if constexpr (Config::kInterleaved) {
            const Vec8 turn = held.angle(column / 2);
#pragma unroll
            for (int tile = 0; tile < Config::kHeadTiles; ++tile) Rotation<Config>::rotatePair(queries[tile][n / 2][n % 2], turn);
        } else {
            const Vec16 turns = held.angles(column);
#pragma unroll
            for (int tile = 0; tile < Config::kHeadTiles; ++tile) {
                Rotation<Config>::rotatePairs(queries[tile][n / 2][n % 2], queries[tile][(n + kPartner) / 2][(n + kPartner) % 2], turns);
            }
        }
    }
}

/// The group's query heads as B fragments of m16n8k16, 8 heads a tile; columns without a head are zero. The elements
/// `Cache::column(step, part)` and + 1 lie in queries[tile][step][part], so that the pairs of RoPE, neighbours or rotaryDim / 2 apart, lie in one lane.
template <class Config, class Params>
MOA_DEVICE void loadQueries(uint32_t (&queries)[Config::kHeadTiles][Config::kHeadDim / 16][2], const Params& p, const DecodeSegment& segment, [[maybe_unused]] const AnglesOf<Config>& angles) {
    using Cache = typename Config::Cache;
    constexpr int kSteps = Config::kHeadDim / 16;
#pragma unroll
    for (int tile = 0; tile < Config::kHeadTiles; ++tile) {
        const int member = tile * 8 + (laneIndex() >> 2);
        const uint16_t* source = p.q + QueryRows<Config>::place(p, segment, member) * Config::kHeadDim;
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
#pragma unroll
            for (int part = 0; part < 2; ++part) {
                queries[tile][step][part] = member < QueryRows<Config>::count(p, segment) ? loadGlobal(reinterpret_cast<const uint32_t*>(source + Cache::column(step, part))) : 0u;
            }
        }
    }
    if constexpr (Config::kRope) rotateQueries<Config>(queries, angles);
}

/// The new key and value of a segment that holds the newest page: written into the ring, and over the stale row of the page's copy in shared
/// memory. One warp does it, the one that computes the row.
template <class Config>
class NewToken {
    using Element = typename Config::Element;
    using Cache = typename Config::Cache;
    using Chunk = typename Cache::Chunk;
    static constexpr int kHeadDim = Config::kHeadDim;
    static constexpr int kTaskLanes = kHeadDim / 16;  ///< of the key; as many for the value

public:
    /// Where the new token lies, from the segment's and the warp's view. The warp computes 16 rows from `warpRow` on; of those of all groups the one that gets the
    /// page writes the token.
    template <class Params>
    MOA_DEVICE void place(const Params& p, const DecodeSegment& segment, int length, int warpRow) {
        const int slot = Config::rings(p).slotOf(length - 1, segment.window);
        page_ = slot / kPageTokens;
        row_ = slot % kPageTokens;
        if (length == 0 || page_ < segment.pageBegin || page_ >= segment.pageEnd || row_ / 16 * 16 != warpRow) {
            page_ = -1;
        } else {
            number_ = loadGlobal(p.pageTable + segment.tableOffset + page_);
        }
    }

    /// Reads and rotates the token.
    template <class Params>
    MOA_DEVICE void load(const Params& p, const DecodeSegment& segment, int position) {
        if (page_ < 0 || laneIndex() >= 2 * kTaskLanes) return;
        const bool isValue = laneIndex() >= kTaskLanes;
        const int lane = laneIndex() % kTaskLanes;
        const int64_t row = static_cast<int64_t>(segment.row) * Config::kvHeads(p) + segment.kvHead;
        const Vec16* source = reinterpret_cast<const Vec16*>((isValue ? p.v : p.k) + row * kHeadDim);
        Vec16 low = loadGlobal(source + lowChunkOf<Config>(lane));
        Vec16 high = loadGlobal(source + highChunkOf<Config>(lane));
        if constexpr (Config::kRope) {
            if (!isValue) Rotation<Config>(p, position).rotate(low, high, lane);
        }
        low_ = Cache::encode(low, p, Config::kvHeads(p), segment.kvHead, isValue);
        high_ = Cache::encode(high, p, Config::kvHeads(p), segment.kvHead, isValue);
        ring_ = reinterpret_cast<unsigned char*>(p.pool) + static_cast<int64_t>(number_) * Cache::kPageBytes + (isValue ? Cache::kHalfBytes : 0);
    }

    MOA_DEVICE bool isIn(int page) const { return page == page_; }

    /// Puts the token into its ring, and into the copy of page `page` at `stage`, if it belongs there: not before that has landed, so that no
    /// copy reads what is being written. The lanes meet before they read it.
    MOA_DEVICE bool patch(SharedAddress stage, int page) const {
        if (page != page_) return false;
        if (laneIndex() < 2 * kTaskLanes) {
            const bool isValue = laneIndex() >= kTaskLanes;
            const int low = lowChunkOf<Config>(laneIndex() % kTaskLanes);
            const int high = highChunkOf<Config>(laneIndex() % kTaskLanes);
            const SharedAddress to = stage + (isValue ? Cache::kHalfBytes : 0);
            // Those of the value begin with the other half, so that they do not meet the key's in the same banks.
            storeShared(to + Cache::chunkOffset(row_, isValue ? high : low), isValue ? high_ : low_);
            storeShared(to + Cache::chunkOffset(row_, isValue ? low : high), isValue ? low_ : high_);
            storeGlobal(reinterpret_cast<Chunk*>(ring_ + Cache::chunkOffset(row_, low)), low_);
            storeGlobal(reinterpret_cast<Chunk*>(ring_ + Cache::chunkOffset(row_, high)), high_);
        }
        return true;
    }

private:
    int page_ = -1;
    int row_ = 0;
    int number_ = 0;  ///< of its page in the pool
    unsigned char* ring_ = nullptr;  ///< the keys or values of its page
    Chunk low_ = {};
    Chunk high_ = {};
};

}  // namespace moa
