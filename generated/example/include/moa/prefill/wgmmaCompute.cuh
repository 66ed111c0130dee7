// A warpgroup of prefill on Hopper: S, its softmax, and O, of 64 query rows.
// `kScanned`: of the second pass, in which the values of tiles that the mask cuts are scanned (wgmmaPrefill.cuh).
#pragma once
#include <moa/finite.cuh>
#include <moa/prefill/wgmmaOutput.cuh>
#include <moa/primitives/barrier.cuh>
#include <moa/primitives/count.cuh>
#include <moa/primitives/ldmatrix.cuh>
#include <moa/primitives/wgmma.cuh>
#include <moa/scoreOptions.cuh>

namespace moa {

template <class Config, class Mask>
class WgmmaCompute : WgmmaRoom<Config> {
    using Element = typename Config::Element;
    using Room = WgmmaRoom<Config>;
    using Step = PrefillStep;
    using Output = WgmmaOutput<Config>;
    using Softmax = WgmmaSoftmax;
    static constexpr bool kHoldsQueries = Config::kHoldsQueries;
    using Room::kHeadDim, Room::kGroups, Room::kStages, Room::kKeyStages, Room::kQueryStages, Room::kRows, Room::kTilePages, Room::kColumns, Room::kLeavesQueriesEarly, Room::kItems, Room::kSkipsSteps,
          Room::kQueryBlockBytes, Room::kQueryGroupBytes, Room::kKeyBlockBytes, Room::fullKey, Room::emptyKey, Room::fullValue, Room::emptyValue, Room::fullQuery, Room::emptyQuery, Room::emptyItem,
          Room::keys, Room::values, Room::outputs, Room::marks, Room::stores, Room::notFinite, Room::itemSlot, Room::stepSlot, Room::loadItem;
    static constexpr int kTurnThreads = 256;  ///< of a group and the one before it

    /// The warp's 16 rows of Q, as the A fragments of Q K^T, where registers have room: then they are read from shared memory once an item.
    struct Queries {
        uint32_t fragments[kHoldsQueries ? kHeadDim / 16 : 1][4];

        MOA_DEVICE void load(SharedAddress from) {
            const SwizzledRow<kRows> row(from ^ ((laneIndex() >> 4) * kChunkBytes), warpIndex() * 16 + (laneIndex() & 15));
#pragma unroll
            for (int i = 0; i < kHeadDim / 16; ++i) ldmatrixX4(fragments[i], row.at(2 * i, 0));
        }
    };

    struct Turns {
        Turn<kKeyStages> key;
        Turn<kStages> value;
        Turn<kStages> pendingValue;  ///< where steps are skipped: there `value` is behind it

        /// The values that the present probabilities are for.
        MOA_DEVICE const Turn<kStages>& pending() const { return kSkipsSteps ? pendingValue : value; }
        Turn<kHoldsQueries ? 1 : kQueryStages> query;
        Turn<kItems> item;
        bool scanned = false;  ///< the pending values
    };

    enum class Next {
        item,     ///< which has rows of this group
        nothing,  ///< for this group; it has to pass by the item
        end,
    };

    /// What comes next, and the stage (of keys, where queries are held in registers) that has its queries.
    struct Taken {
        Next next;
        int stage;
    };

public:
    template <class Params>
    static MOA_DEVICE void compute(const Params& p, int group) {
        if (group == kGroups - 1) namedBarrierArrive(turnOf(0), kTurnThreads);  // group 0 begins
        Turns turns;
        computePass<false>(p, group, turns);
        computePass<true>(p, group, turns);
    }

private:
    template <bool kScanned, class Params>
    static MOA_DEVICE void computePass(const Params& p, int group, Turns& turns) {
        float output[kHeadDim / 2];
        float scores[kColumns / 2];
        uint32_t probabilities[kColumns / 16][4];
        Softmax softmax;
        softmax.scale2 = scoreUnit<Config>(p) * kLog2e;

        Queries queries;
        Step step;
        for (;;) {
            Taken taken = takeItem(queries, step, group, turns);
            if (taken.next == Next::end) break;
            if (taken.next == Next::nothing) {
                passItem(group, turns);
                continue;
            }
            if constexpr (kHoldsQueries) release(emptyKey(taken.stage));
            wgmmaFence();
            multiplyKeys<kColumns>(scores, queries, queriesOf(group, taken.stage), keys(turns.key.index()));
            wgmmaCommit();
            wgmmaWait<0>(scores);
            leaveQueries(step, taken.stage);
            // From here on an item's first S is computed together with the last O += P V of the item before.
#pragma unroll 1
            while (taken.next == Next::item) {
                const int slot = turns.item.index();
                const SharedAddress item = itemSlot(slot);
                releaseKeys(turns);
                softmax.maximum[0] = softmax.maximum[1] = kNegativeInfinity;
                softmax.sum[0] = softmax.sum[1] = 0.0f;
#pragma unroll
                for (int i = 0; i < kHeadDim / 2; ++i) output[i] = 0.0f;

#pragma unroll 1
                for (bool first = true;; first = false) {
                    absorb<kScanned, kColumns>(p, scores, probabilities, output, softmax, item, step, first, group, turns);
                    if (!takeStep(step, group, turns)) break;
                    if (isWhole(step)) {
                        multiply<kColumns>(scores, probabilities, output, queries, group, taken.stage, turns);
                        leaveQueries(step, taken.stage);
                    } else {
                        float half[kPageTokens / 2];
                        multiply<kPageTokens>(half, probabilities, output, queries, group, taken.stage, turns);
                        absorb<kScanned, kPageTokens>(p, half, probabilities, output, softmax, item, step, false, group, turns);
                        break;
                    }
                }
                turns.item.advance();
                mbarrierWait(fullValue(turns.pending().index()), turns.pending().parity());
                if (isWhole(step)) {
                    wgmmaFence();
                    multiplyValues<kColumns>(output, probabilities, turns.pending().index());
                    wgmmaCommit();
                } else {
                    wgmmaFence();
                    multiplyValues<kPageTokens>(output, probabilities, turns.pending().index());
                    wgmmaCommit();
                }
                taken = endItem<kScanned>(p, slot, output, scores, probabilities, softmax, queries, step, group, taken.stage, turns);
            }
        }
        releaseKeys(turns);
    }

    /// Whether a step has the keys of a whole tile.
    static MOA_DEVICE bool isWhole(const Step& step) { return kTilePages == 1 || step.fillsTile(); }

    /// When S of an item's last step is computed, its queries may make room for the next item's.
    static MOA_DEVICE void leaveQueries([[maybe_unused]] const Step& step, [[maybe_unused]] int stage) {
        if constexpr (kLeavesQueriesEarly) {
            if (step.isLast()) release(emptyQuery(stage));
        }
    }

    /// Waits for the next item, for its queries, and for the keys of its first step with a key for this group. Queries in registers leave their stage with
    /// the caller.
    static MOA_DEVICE Taken takeItem(Queries& queries, Step& step, int group, Turns& turns) {
        mbarrierWait(fullKey(turns.key.index()), turns.key.parity());
        if (readStep(turns.key.index()).isEnd()) return Taken{Next::end, turns.key.index()};
        const SharedAddress item = itemSlot(turns.item.index());
        if (loadShared<int>(item + 8) * kRows + 64 * group >= loadShared<int>(item + 4)) return Taken{Next::nothing, turns.key.index()};
        int stage;
        if constexpr (kHoldsQueries) {
            stage = turns.key.index();
            queries.load(keys(stage));
            turns.key.advance();
            mbarrierWait(fullKey(turns.key.index()), turns.key.parity());
        } else {
            stage = turns.query.index();
            mbarrierWait(fullQuery(stage), turns.query.parity());
            turns.query.advance();
        }
        step = loadStep(turns.key.index());
        while (kSkipsSteps && step.skips(group) && !step.isLast()) {
            passStep(turns);
            mbarrierWait(fullKey(turns.key.index()), turns.key.parity());
            step = loadStep(turns.key.index());
            passTurn(group);
        }
        return Taken{Next::item, stage};
    }

    /// An item without rows of this group.
    static MOA_DEVICE void passItem(int group, Turns& turns) {
        if constexpr (kHoldsQueries) {
            releaseKeys(turns);
        } else {
            mbarrierWait(fullQuery(turns.query.index()), turns.query.parity());
            release(emptyQuery(turns.query.index()));
            turns.query.advance();
        }
        for (bool first = true, last = false; !last; first = false) {
            mbarrierWait(fullKey(turns.key.index()), turns.key.parity());
            last = loadStep(turns.key.index()).isLast();
            if (!first) passTurn(group);
            passStep(turns);
        }
        release(emptyItem(turns.item.index()));
        turns.item.advance();
    }

    /// A step whose keys have landed, and that this group does not compute. Its values are waited for: who releases a stage has seen it full.
    static MOA_DEVICE void passStep(Turns& turns) {
        releaseKeys(turns);
        mbarrierWait(fullValue(turns.value.index()), turns.value.parity());
        release(emptyValue(turns.value.index()));
        turns.value.advance();
    }

    static MOA_DEVICE void passTurn(int group) {
        namedBarrier(turnOf(group), kTurnThreads);
        namedBarrierArrive(turnOf(group + 1 == kGroups ? 0 : group + 1), kTurnThreads);
    }

    /// O += P V of the item's last step, of kWidth keys, and the first S of the next item; then the item's results go out. Where there is no next item, S is
    /// of values that are still held, and nobody looks at it: a product under a condition would keep the compiler from leaving any of them in flight.
    template <bool kScanned, class Params>
    static MOA_DEVICE Taken endItem(const Params& p, int slot, float (&output)[kHeadDim / 2], float (&scores)[kColumns / 2], const uint32_t (&probabilities)[kColumns / 16][4],
                                    Softmax& softmax, Queries& queries, Step& step, int group, int stage, Turns& turns) {
        const bool whole = isWhole(step);
        const Taken taken = takeItem(queries, step, group, turns);
        const bool more = taken.next == Next::item;
        wgmmaFence();
        const SharedAddress held = values(turns.pending().index());
        multiplyKeys<kColumns>(scores, queries, more ? queriesOf(group, taken.stage) : held, more ? keys(turns.key.index()) : held);
        wgmmaCommit();
        wgmmaWait<1>(output);
        if constexpr (kScanned) {
            if (whole) {
                spoil<kColumns>(softmax, probabilities, turns);
            } else {
                spoil<kPageTokens>(softmax, probabilities, turns);
            }
        }
        if (more) releaseValues(turns);
        // A warp's 16 rows of queries make room for its results: of the next item, where the present ones are in registers, or of this one, unless they have
        // been left.
        const PrefillItem item = loadItem(itemSlot(slot));
        if constexpr (kHoldsQueries) {
            store<kScanned>(p, slot, item, output, softmax, keys(taken.stage));
            if (more) release(emptyKey(taken.stage));
        } else if constexpr (kLeavesQueriesEarly) {
            store<kScanned>(p, slot, item, output, softmax, outputs());
        } else {
            namedBarrier(1 + kGroups + group, 128);  // wgmma of all four warps have read the queries
            store<kScanned>(p, slot, item, output, softmax, Room::queries(stage));
            release(emptyQuery(stage));
        }
        release(emptyItem(slot));
        wgmmaWait<0>(scores);
        if (!more) releaseValues(turns);
        if (more) leaveQueries(step, taken.stage);
        return taken;
    }

    /// The warp's results go out, in the first pass with a note when they are not finite, in the second where they have not been right before.
    template <bool kScanned, class Params>
    static MOA_DEVICE void store(const Params& p, int slot, const PrefillItem& item, float (&output)[kHeadDim / 2], Softmax& softmax, SharedAddress room) {
        if constexpr (kScanned) {
            const int warp = warpIndex();
            int stored = 0;
            if (laneIndex() == 0) stored = loadShared<uint8_t>(stores(slot, warp));
            if (warpAny(stored != 0)) Output::template store<false>(p, item, output, softmax, room);
        } else {
            const int warp = warpIndex();
            const bool found = warpAny(Output::template store<true>(p, item, output, softmax, room));
            if (found && laneIndex() == 0) storeShared(notFinite(slot, warp), uint8_t{1});
        }
    }

    /// Waits for the keys of the item's next step that has some for this group. False when it has none.
    static MOA_DEVICE bool takeStep(Step& step, int group, Turns& turns) {
        while (!step.isLast()) {
            mbarrierWait(fullKey(turns.key.index()), turns.key.parity());
            step = loadStep(turns.key.index());
            if (!(kSkipsSteps && step.skips(group))) return true;
            passTurn(group);
            passStep(turns);
            step.flags |= Step::kBegins;  // the probabilities at hand are of a whole tile
        }
        return false;
    }

    /// S(n+1) = Q K^T(n+1) and O += P(n) V(n) begin together; S(n+1) is complete at the end. kWidth keys are those of step n+1; step n has kColumns.
    template <int kWidth>
    static MOA_DEVICE void multiply(float (&scores)[kWidth / 2], const uint32_t (&probabilities)[kColumns / 16][4], float (&output)[kHeadDim / 2], const Queries& queries, int group,
                                    int stage, Turns& turns) {
        namedBarrier(turnOf(group), kTurnThreads);
        wgmmaFence();
        multiplyKeys<kWidth>(scores, queries, queriesOf(group, stage), keys(turns.key.index()));
        wgmmaCommit();
        mbarrierWait(fullValue(turns.pending().index()), turns.pending().parity());
        wgmmaFence();
        multiplyValues<kColumns>(output, probabilities, turns.pending().index());
        wgmmaCommit();
        namedBarrierArrive(turnOf(group + 1 == kGroups ? 0 : group + 1), kTurnThreads);
        wgmmaWait<1>(scores);
        releaseKeys(turns);
    }

    /// Scores become probabilities, when O has what came before. `first`: the item's first, and no values are under way.
    template <bool kScanned, int kWidth, class Params>
    static MOA_DEVICE void absorb(const Params& p, float (&scores)[kWidth / 2], uint32_t (&probabilities)[kColumns / 16][4], float (&output)[kHeadDim / 2], Softmax& softmax,
                                  SharedAddress item, const Step& step, bool first, int group, Turns& turns) {
        if constexpr (kCapsScores<Config>) {
#pragma unroll
            for (int i = 0; i < kWidth / 2; ++i) scores[i] = cappedScore<Config>(scores[i], p.scale * kLog2e);
        }
        maskScores<kWidth>(p, scores, item, step, group);
        float correction[2];
        updateSoftmax<kWidth>(scores, softmax, correction);
        // Behind a branch, the same way for all four warps, and what comes before it is computed before: the compiler moves a wait to the front of where it
        // may be.
        pinRegisters(scores);
        if (opaque(first ? 1 : 0) != 0) {
            wgmmaWait<0>(output);
        } else {
            wgmmaWait<0>(output);
            if constexpr (kScanned) spoil<kColumns>(softmax, probabilities, turns);
            releaseValues(turns);
        }
        takeValues<kScanned>(step, turns);
        packProbabilities<kWidth>(probabilities, scores);
        if (warpAny(correction[0] != 1.0f || correction[1] != 1.0f)) {
#pragma unroll
            for (int i = 0; i < kHeadDim / 2; ++i) output[i] *= correction[i / 2 % 2];
        }
    }

    /// The values that come next are those of the probabilities that were just computed.
    template <bool kScanned>
    static MOA_DEVICE void takeValues([[maybe_unused]] const Step& step, Turns& turns) {
        if constexpr (kScanned) turns.scanned = step.isScanned();
        if constexpr (kSkipsSteps) {
            turns.pendingValue = turns.value;
            turns.value.advance();
        }
    }

    /// The sums of rows to which pending values contribute that were not finite become NaN, and with them their outputs.
    template <int kWidth>
    static MOA_DEVICE void spoil(Softmax& softmax, const uint32_t (&probabilities)[kColumns / 16][4], const Turns& turns) {
        if (!turns.scanned) return;
        Vec16 marked{};
        if (laneIndex() == 0) marked = loadShared<Vec16>(marks(turns.pending().index()));
        if (!warpAny((marked.w[0] | marked.w[1] | marked.w[2] | marked.w[3]) != 0)) return;
        float weight[4] = {};
#pragma unroll
        for (int step = 0; step < kWidth / 16; ++step) {
            const uint32_t keys = shuffle(marked.w[step / 2], 0) >> (step % 2 * 16 + 2 * (laneIndex() & 3));
            const auto mark = [&](int key) { return (keys >> key & 1) * FiniteTraits<Element>::kOne; };
            mma16816<Element>(weight, probabilities[step], mark(0) | mark(1) << 16, mark(8) | mark(9) << 16);
        }
        if (weight[0] > 0.0f) softmax.sum[0] = kNotANumber;
        if (weight[2] > 0.0f) softmax.sum[1] = kNotANumber;
    }

    /// The pending values are done with.
    static MOA_DEVICE void releaseValues(Turns& turns) {
        release(emptyValue(turns.pending().index()));
        if constexpr (!kSkipsSteps) turns.value.advance();
    }

    /// The group's queries, where they are not in registers.
    static MOA_DEVICE SharedAddress queriesOf(int group, int stage) { return Room::queries(stage) + group * kQueryGroupBytes; }

    /// S = Q K^T of the group's 64 rows, in raw units. `shared`: the queries, where they are not in registers.
    template <int kWidth>
    static MOA_DEVICE void multiplyKeys(float (&scores)[kWidth / 2], const Queries& queries, SharedAddress shared, SharedAddress keys) {
        const uint64_t q = matrixDescriptor(shared, 16, 8 * kBlockRowBytes);
        const uint64_t k = matrixDescriptor(keys, 16, 8 * kBlockRowBytes);
#pragma unroll
        for (int i = 0; i < kHeadDim / 16; ++i) {
            const uint64_t keyStep = advanceDescriptor(k, i / 4 * kKeyBlockBytes + i % 4 * 32);
            if constexpr (kHoldsQueries) {
                wgmmaRegistersKMajor<Element, kWidth>(scores, queries.fragments[i], keyStep, i > 0);
            } else {
                wgmmaShared<Element, kWidth>(scores, advanceDescriptor(q, i / 4 * kQueryBlockBytes + i % 4 * 32), keyStep, i > 0);
            }
        }
    }

    /// O += P V.
    template <int kWidth>
    static MOA_DEVICE void multiplyValues(float (&output)[kHeadDim / 2], const uint32_t (&probabilities)[kColumns / 16][4], int stage) {
        const uint64_t v = matrixDescriptor(values(stage), kKeyBlockBytes, 8 * kBlockRowBytes);
#pragma unroll
        for (int i = 0; i < kWidth / 16; ++i) wgmmaRegisters<Element, kHeadDim>(output, probabilities[i], advanceDescriptor(v, i * 16 * kBlockRowBytes));
    }

    /// Scores of pairs that the mask forbids become -inf. Most pages have none.
    template <int kWidth, class Params>
    static MOA_DEVICE void maskScores(const Params& p, float (&scores)[kWidth / 2], SharedAddress slot, const Step& step, int group) {
#pragma unroll
        for (int half = 0; half < kWidth / kPageTokens; ++half) {
            const int share = step.share(group, half);
            if (share == kWholePage) continue;
            if (share == kNoneOfPage) {
#pragma unroll
                for (int i = 0; i < kPageTokens / 2; ++i) scores[half * (kPageTokens / 2) + i] = kNegativeInfinity;
                continue;
            }
            const PrefillItem item = loadItem(slot);
            const KeyPage page = half == 0 ? step.first : step.second;
            const int firstKey = 2 * (laneIndex() & 3);
#pragma unroll
            for (int row = 0; row < 2; ++row) {
                const int position = item.queryBlock * kRows + warpIndex() * 16 + (laneIndex() >> 2) + 8 * row;
                if (share == kUpToRow) {
                    const int last = position - page.code * kPageTokens - firstKey;
                    forEachKey([&](int j, int e) {
                        if (j * 8 + e > last) scores[(half * 8 + j) * 4 + 2 * row + e] = kNegativeInfinity;
                    });
                } else {
                    const PageRow bounds = rowOfPage(Mask{item.window}, Config::rings(p), item, page, position).from(firstKey);
                    forEachKey([&](int j, int e) {
                        if (!bounds.allows(j * 8 + e)) scores[(half * 8 + j) * 4 + 2 * row + e] = kNegativeInfinity;
                    });
                }
            }
        }
    }

    /// Calls `visit(j, e)` for the keys 8 j + e of a page that a lane has scores of, counted from its first.
    template <class Visit>
    static MOA_DEVICE void forEachKey(const Visit& visit) {
#pragma unroll
        for (int j = 0; j < kPageTokens / 8; ++j) {
            visit(j, 0);
            visit(j, 1);
        }
    }

    /// Scores become probabilities relative to the running maximum; what was summed before is to be multiplied by `correction`.
    template <int kWidth>
    static MOA_DEVICE void updateSoftmax(float (&scores)[kWidth / 2], Softmax& softmax, float (&correction)[2]) {
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            float largest = softmax.maximum[row];
#pragma unroll
            for (int j = 0; j < kWidth / 8; ++j) largest = larger(largest, larger(scores[4 * j + 2 * row], scores[4 * j + 2 * row + 1]));
            largest = quadMaximum(largest);
            const float base = finiteMaximum(largest) * softmax.scale2;
            correction[row] = exp2Approx(softmax.maximum[row] * softmax.scale2 - base);
            softmax.maximum[row] = largest;
            float sum = softmax.sum[row] * correction[row];
#pragma unroll
            for (int j = 0; j < kWidth / 8; ++j) {
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    float& score = scores[4 * j + 2 * row + e];
                    score = exp2Approx(multiplyAdd(score, softmax.scale2, -base));
                    sum += score;
                }
            }
            softmax.sum[row] = sum;
        }
    }

    /// The accumulators of S are the A fragments of P V: no shuffle is needed.
    template <int kWidth>
    static MOA_DEVICE void packProbabilities(uint32_t (&probabilities)[kColumns / 16][4], const float (&scores)[kWidth / 2]) {
#pragma unroll
        for (int i = 0; i < kWidth / 16; ++i) {
#pragma unroll
            for (int part = 0; part < 4; ++part) probabilities[i][part] = packPair<Element>(scores[8 * i + 2 * part], scores[8 * i + 2 * part + 1]);
        }
    }

    static MOA_DEVICE int turnOf(int group) { return 1 + group; }

    /// What there is to know of a stage that has landed. One lane reads it, the one that will release the stage: a barrier orders that lane's reads for all to see, where
    /// those of the others are ordered by way of the warp's own barrier, which compute-sanitizer's racecheck does not follow.
    static MOA_DEVICE Step readStep(int stage) {
        Vec16 words{};
        if (laneIndex() == 0) words = loadShared<Vec16>(stepSlot(stage));
        const auto word = [&](int i) { return shuffle(static_cast<int>(words.w[i]), 0); };
        return Step{KeyPage{word(0)}, KeyPage{word(1)}, word(2)};
    }

    /// Of the stage whose keys have landed.
    static MOA_DEVICE Step loadStep(int stage) {
        const Step step = readStep(stage);
        if (threadIndex() == 0) count(Counter::tile, step.second.exists() ? 2 : 1);
        return step;
    }

    /// The stage's keys are done with.
    static MOA_DEVICE void releaseKeys(Turns& turns) {
        release(emptyKey(turns.key.index()));
        turns.key.advance();
    }

    /// The warp is done with what the barrier is for.
    static MOA_DEVICE void release(SharedAddress barrier) {
        warpBarrier();
        if (laneIndex() == 0) mbarrierArrive(barrier);
    }
};

}  // namespace moa
