// Which rows of queries a segment attends for.
//
//   one token    : the query heads of its KV head
//   several      : a tile of at most kMaxGroup of its (token, query head) pairs, token after token, from segment.firstRow on; where p.counts says that a
//                  sequence has fewer tokens, the rows of the others attend nothing
#pragma once
#include <moa/decode/segment.cuh>

namespace moa {

/// Whether a launch attends several new tokens of each sequence, which are in the rings already; otherwise one, which it appends.
template <class Config>
inline constexpr bool kHasManyTokens = requires { Config::kManyTokens; };

template <class Config>
struct QueryRows {
    template <class Params>
    static MOA_DEVICE int count(const Params& p, [[maybe_unused]] const DecodeSegment& segment) {
        if constexpr (kHasManyTokens<Config>) {
            return minimum(Config::kMaxGroup, p.tokens * Config::groupSize(p) - segment.firstRow);
        } else {
            return Config::groupSize(p);
        }
    }

    /// The model's query head of a row.
    template <class Params>
    static MOA_DEVICE int head(const Params& p, const DecodeSegment& segment, int member) {
        if constexpr (kHasManyTokens<Config>) {
            return segment.kvHead * Config::groupSize(p) + (segment.firstRow + member) % Config::groupSize(p);
        } else {
            return segment.kvHead * Config::groupSize(p) + member;
        }
    }

    /// A row's place in q, out and lse.
    template <class Params>
    static MOA_DEVICE int64_t place(const Params& p, const DecodeSegment& segment, int member) {
        int64_t token = segment.row;
        if constexpr (kHasManyTokens<Config>) token = token * p.tokens + (segment.firstRow + member) / Config::groupSize(p);
        return token * Config::queryHeads(p) + head(p, segment, member);
    }

    /// Tiles that the rows of a ring fill.
    template <class Params>
    static MOA_DEVICE int tiles(const Params& p) {
        if constexpr (kHasManyTokens<Config>) return ceilDivide(p.tokens * Config::groupSize(p), Config::kMaxGroup);
        return 1;
    }

    /// The number of a segment's ring, or of its tile of rows, among those of the launch.
    template <class Params>
    static MOA_DEVICE int ring(const Params& p, const DecodeSegment& segment) {
        return (segment.kvHead * tiles(p) + segment.firstRow / Config::kMaxGroup) * p.slots + segment.slot;
    }

    /// New tokens of a sequence.
    template <class Params>
    static MOA_DEVICE int tokens(const Params& p, int slot) {
        return p.counts == nullptr ? p.tokens : loadGlobal(p.counts + slot);
    }

    /// How many tokens a row's own one is older than the newest of its sequence; below 0 for a row that is no token.
    template <class Params>
    static MOA_DEVICE int age(const Params& p, const DecodeSegment& segment, int member) {
        if constexpr (kHasManyTokens<Config>) {
            return tokens(p, segment.slot) - 1 - (segment.firstRow + member) / Config::groupSize(p);
        } else {
            return 0;
        }
    }

    /// Whether a segment has rows that are no token.
    template <class Params>
    static MOA_DEVICE bool ignores(const Params& p, const DecodeSegment& segment) {
        return age(p, segment, count(p, segment) - 1) < 0;
    }

    /// The age of a segment's oldest row.
    template <class Params>
    static MOA_DEVICE int oldest(const Params& p, const DecodeSegment& segment) {
        return age(p, segment, 0);
    }
};

}  // namespace moa
