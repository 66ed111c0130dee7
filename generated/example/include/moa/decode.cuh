// Decode attention: one query token a sequence, appended to its rings and attended in one launch. Bound by reading pages.
//
//   block   = a run of segments from the plan; a segment is a run of pages of one (sequence, KV head), in pieces with results of their own
//   group   = 4 warps, each takes 16 rows of a page; the groups of a block take the pages of a segment in turn
//   pages   : by a producer warp and bulk copies (sm_90), or by each computing warp for itself with cp.async (sm_80), whole or half by half
//   append  : the warp that computes the new token's row writes it into the ring, and over the stale row in shared memory
//   merge   : warps in shared memory, then the segments of a ring, by the block that finishes last
//   lengths : the warp that reads the lengths last of all adds the new token
//
// With several new tokens (Config::kManyTokens) they are in the rings already, which have the slack for it, and lengths count them: nothing is appended, and
// rows of queries are (token, query head) pairs (queryRows.cuh), each masked by its own position.
//
// A slot without a sequence has length -1: a segment of no ring says that its rows of the output become 0, and nothing of it changes.
//
// Launched so that it may start before the launch before it has ended (PTX griddepcontrol): with p.early it reads the old pages at once, and
// waits before it touches anything that the launch before may have written, the new token and its queries among it. It lets its successor begin
// only when it has waited itself: so all launches but the one before have ended wherever this one runs.
#pragma once
#include <moa/decode/merge.cuh>
#include <moa/decode/newToken.cuh>
#include <moa/primitives/count.cuh>
#include <moa/primitives/dependentLaunch.cuh>

namespace moa {

/// `Attend` computes (mmaAttend.cuh), `Pages` brings the pages (cpAsyncPages.cuh, cpAsyncHalves.cuh, bulkPages.cuh).
template <class Config, class Attend, class Pages>
class Decode {
    using Cache = typename Config::Cache;
    using Merging = Merge<Config>;
    static_assert(Config::kWarps == 4 * Config::kGroups, "four warps share a page");
    static_assert(Config::kMaxGroup >= 1 && Config::kMaxGroup <= 16, "the group is packed into one 16-row tile");

public:
    static constexpr int kSharedBytes = Pages::kSharedBytes + Merging::kBytes;
    static constexpr int kPartialFloats = Merging::kPartialFloats;
    static constexpr int kThreads = (Config::kWarps + (Config::kProducer ? 1 : 0)) * 32;

    template <class Params>
    static MOA_DEVICE void run(const Params& p) {
        if (p.early == 0) waitForPrerequisites();
        if constexpr (Config::kProducer) {
            if (threadIndex() == 0) {
                Merging::initialize(mergeArea());
                Pages::initialize();
            }
            blockBarrier();
            if (warpIndex() == Config::kWarps) {
                PageWalker<Config> walker(p, 0, 1);
                Pages::produce(p, walker, [] {
                    waitForPrerequisites();
                    launchDependents();
                });
                if constexpr (!kHasManyTokens<Config>) advanceLengths(p, 1);
            } else {
                Pages pages;
                compute(p, pages);
            }
        } else {
            if (threadIndex() == 0) Merging::initialize(mergeArea());
            Pages pages(p);
            blockBarrier();
            compute(p, pages);
            pages.finish();
        }
    }

private:
    static MOA_DEVICE SharedAddress mergeArea() { return sharedBase() + Pages::kSharedBytes; }

    template <class Params>
    static MOA_DEVICE void compute(const Params& p, Pages& pages) {
        const int row = (warpIndex() & 3) * Attend::kRows;
        const SharedAddress area = mergeArea();
        DecodeSegment segment;
        Attend attend;
        Merging merging;
        NewToken<Config> token;
        bool waited = false;
        bool exhausted = false;
        for (bool final = false; !final;) {
            const PageItem item = pages.acquire(p);
            if (item.is(PageItem::kFirst)) {
                if (item.is(PageItem::kOpens)) {
                    segment = pages.segment();
                    if constexpr (!kHasManyTokens<Config>) token.place(p, segment, item.length, row);
                    attend.place(p, segment, item.length);
                    if (!waited) {
                        waited = true;
                        waitForPrerequisites();
                        if constexpr (!Config::kProducer) launchDependents();
                    }
                    attend.open(p, segment, item.length);
                    if constexpr (!kHasManyTokens<Config>) token.load(p, segment, item.length - 1);
                } else {
                    attend.restart();
                }
            }
            if constexpr (!Config::kProducer && !kHasManyTokens<Config>) {
                if (!exhausted && pages.exhausted()) {
                    exhausted = true;
                    advanceLengths(p, Config::kWarps);
                }
            }
            bool written = false;
            if (!item.is(PageItem::kEmpty)) {
                if (row == 0 && laneIndex() == 0) count(Counter::page);
                if (item.rows < kPageTokens || token.isIn(item.page)) {
                    if constexpr (Pages::kByHalves) pages.waitForValues();
                    written = token.patch(pages.stage(), item.page);
                    if constexpr (Config::kProducer) {
                        Cache::clearValues(pages.stage() + Cache::kHalfBytes, row, Attend::kRows, item.rows);
                        written = true;
                    }
                    warpBarrier();
                }
                if constexpr (Pages::kByHalves) {
                    attend.attend(pages.stage(), item, row, [&] { pages.releaseKeys(p); });
                } else {
                    attend.attend(pages.stage(), item, row);
                }
            } else if constexpr (Pages::kByHalves) {
                pages.releaseKeys(p);
            }
            pages.release(p, written);
            if (item.is(PageItem::kFirst) && !item.is(PageItem::kOpens)) merging.settle(p, segment, area);
            if (item.is(PageItem::kLast) && segment.splits == 0) {
                if (segment.runs > 0) clearRows(p, segment.slot);
            } else if (item.is(PageItem::kLast)) {
                merging.claim(area);
                attend.store(p, segment, area + warpIndex() * Config::kMaxGroup * Merging::kRowBytes, Merging::kRowBytes);
                if (item.is(PageItem::kCloses)) {
                    Merging::close(p, segment, area);
                    attend.forget();
                } else {
                    Merging::leave(area);
                    ++segment.split;
                }
            }
            final = item.is(PageItem::kFinal);
        }
    }

    /// Every warp that reads lengths calls this when it has read its last, `readers` warps a block; the last of all adds the new tokens.
    template <class Params>
    static MOA_DEVICE void advanceLengths(const Params& p, int readers) {
        uint32_t finished = 0;
        if (laneIndex() == 0) finished = atomicIncrementWrap(p.tickets, static_cast<uint32_t>(gridSize() * readers - 1));
        if (shuffle(finished, 0) != static_cast<uint32_t>(gridSize() * readers - 1)) return;
        for (int slot = laneIndex(); slot < p.slots; slot += 32) {
            const int length = loadGlobal(p.lengths + slot);
            if (length >= 0 && isOne(p, slot)) storeGlobal(p.lengths + slot, length + 1);
        }
    }

    /// Whether a slot has one new token: without p.cuSeqlens each sequence has.
    template <class Params>
    static MOA_DEVICE bool isOne(const Params& p, int slot) {
        return p.cuSeqlens == nullptr || loadGlobal(p.cuSeqlens + slot + 1) - loadGlobal(p.cuSeqlens + slot) == 1;
    }

    /// Of a slot without a new token: its rows become 0. By all threads that compute.
    template <class Params>
    static MOA_DEVICE void clearRows(const Params& p, int slot) {
        constexpr int threads = Config::kWarps * 32;
        int rows = Config::queryHeads(p);
        if constexpr (kHasManyTokens<Config>) rows *= p.tokens;
        const int64_t first = static_cast<int64_t>(slot) * rows;
        Vec16* out = reinterpret_cast<Vec16*>(p.out + first * Config::kHeadDim);
        for (int i = threadIndex(); i < rows * (Config::kHeadDim / kChunkElements); i += threads) storeGlobal(out + i, Vec16{});
        if (p.lse == nullptr) return;
        const float never = kNegativeInfinity;
        for (int i = threadIndex(); i < rows; i += threads) storeGlobal(p.lse + first + i, never);
    }
};

}  // namespace moa
