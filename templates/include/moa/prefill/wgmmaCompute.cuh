// A warpgroup of prefill on Hopper: S, its softmax, and O, of 64 query rows.
#pragma once
#include <moa/prefill/wgmmaRoom.cuh>
#include <moa/primitives/barrier.cuh>
#include <moa/primitives/count.cuh>
#include <moa/primitives/ldmatrix.cuh>
#include <moa/primitives/wgmma.cuh>
#include <moa/softmax.cuh>

namespace moa {

template <class Config, class Mask>
class WgmmaCompute : WgmmaRoom<Config> {
    using Element = typename Config::Element;
    using Room = WgmmaRoom<Config>;
    using Step = PrefillStep;
    static constexpr bool kHoldsQueries = Config::kHoldsQueries;
    using Room::kHeadDim, Room::kGroups, Room::kStages, Room::kRows, Room::kColumns, Room::kChunks, Room::kItems, Room::kPageBlockBytes,
          Room::kQueryBlockBytes, Room::kKeyBlockBytes, Room::fullKey, Room::emptyKey, Room::fullValue, Room::emptyValue,
          Room::fullQuery, Room::emptyQuery, Room::fullItem, Room::emptyItem, Room::keys, Room::values, Room::itemSlot,
          Room::stepSlot;

    /// The warp's 16 rows of Q, as the A fragments of Q K^T, where registers have room: then they are read from shared memory once an item.
    struct Queries {
        uint32_t fragments[kHoldsQueries ? kHeadDim / 16 : 1][4];

        MOA_DEVICE void load() {
            const SwizzledRow<kRows> row(sharedBase() ^ ((laneIndex() >> 4) * kChunkBytes), warpIndex() * 16 + (laneIndex() & 15));
#pragma unroll
            for (int i = 0; i < kHeadDim / 16; ++i) ldmatrixX4(fragments[i], row.at(2 * i, 0));
        }
    };

    struct Softmax {
        float maximum[2];  ///< of rows g and g + 8, in raw units
        float sum[2];      ///< of what the lane has seen
        float scale2;
    };

    struct Turns {
        Turn<kStages> key;
        Turn<kStages> value;
        Turn<kItems> item;
        uint32_t queryParity = 0;
    };

public:
    template <class Params>
    static MOA_DEVICE void compute(const Params& p, int group) {
        if (group == kGroups - 1) namedBarrierArrive(turnOf(0), 256);  // group 0 begins
        Turns turns;
        float output[kHeadDim / 2];
        float scores[kColumns / 2];
        uint32_t probabilities[kColumns / 16][4];
        Softmax softmax;
        softmax.scale2 = p.scale * kLog2e;

        Queries queries;
        Step step;
        // An item's first S is computed together with the last O += P V of the item before.
        bool more = takeItem(queries, step, turns);
        wgmmaFence();
        multiplyKeys<kColumns>(scores, queries, group, turns.key.index);
        wgmmaCommit();
        wgmmaWait<0>(scores);
#pragma unroll 1
        while (more) {
            const int slot = turns.item.index;
            const SharedAddress item = itemSlot(slot);
            releaseKeys(turns, step);
            maskScores<kColumns>(p, scores, item, step, group);
            softmax.maximum[0] = softmax.maximum[1] = kNegativeInfinity;
            softmax.sum[0] = softmax.sum[1] = 0.0f;
            float correction[2];
            updateSoftmax<kColumns>(scores, softmax, correction);
            packProbabilities<kColumns>(probabilities, scores);
#pragma unroll
            for (int i = 0; i < kHeadDim / 2; ++i) output[i] = 0.0f;

            bool narrow = false;
#pragma unroll 1
            while (!step.isLast() && !narrow) {
                mbarrierWait(fullKey(turns.key.index), turns.key.parity);
                step = loadStep(turns.key.index);
                narrow = !step.second.exists();
                if (narrow) {
                    float half[kPageTokens / 2];
                    advance<kPageTokens>(p, half, probabilities, output, softmax, item, step, queries, group, turns);
                } else {
                    advance<kColumns>(p, scores, probabilities, output, softmax, item, step, queries, group, turns);
                }
            }
            turns.item.advance();
            mbarrierWait(fullValue(turns.value.index), turns.value.parity);
            if (narrow) {
                more = endItem<kPageTokens>(p, slot, output, scores, probabilities, softmax, queries, step, group, turns);
            } else {
                more = endItem<kColumns>(p, slot, output, scores, probabilities, softmax, queries, step, group, turns);
            }
        }
    }

private:
    /// Waits for the next item, and for what its first S is made of. False when there is none.
    static MOA_DEVICE bool takeItem(Queries& queries, Step& step, Turns& turns) {
        mbarrierWait(fullItem(turns.item.index), turns.item.parity);
        if (loadShared<int>(itemSlot(turns.item.index) + 4) == 0) return false;
        mbarrierWait(fullKey(turns.key.index), turns.key.parity);
        step = loadStep(turns.key.index);
        mbarrierWait(fullQuery(), turns.queryParity);
        turns.queryParity ^= 1;
        if constexpr (kHoldsQueries) {
            queries.load();
            release(emptyQuery());
        }
        return true;
    }

    /// O += P V of the item's last step, of kWidth keys, and the first S of the next item; then the item's results go out. Where there is no next item, S is
    /// of what lies there, and nobody looks at it: a product under a condition would keep the compiler from leaving any of them in flight.
    template <int kWidth, class Params>
    static MOA_DEVICE bool endItem(const Params& p, int slot, float (&output)[kHeadDim / 2], float (&scores)[kColumns / 2], const uint32_t (&probabilities)[kColumns / 16][4],
                                   Softmax& softmax, Queries& queries, Step& step, int group, Turns& turns) {
        wgmmaFence();
        multiplyValues<kWidth>(output, probabilities, turns.value.index);
        wgmmaCommit();
        const bool more = takeItem(queries, step, turns);
        wgmmaFence();
        multiplyKeys<kColumns>(scores, queries, group, turns.key.index);
        wgmmaCommit();
        wgmmaWait<1>(output);
        release(emptyValue(turns.value.index));
        turns.value.advance();
        store(p, loadItem(itemSlot(slot)), output, softmax);
        release(emptyItem(slot));
        wgmmaWait<0>(scores);
        return more;
    }

    /// S(n+1) = Q K^T(n+1) and O += P(n) V(n) together, then P(n+1). kWidth keys are those of step n+1; step n has kColumns.
    template <int kWidth, class Params>
    static MOA_DEVICE void advance(const Params& p, float (&scores)[kWidth / 2], uint32_t (&probabilities)[kColumns / 16][4], float (&output)[kHeadDim / 2], Softmax& softmax,
                                   SharedAddress item, const Step& step, const Queries& queries, int group, Turns& turns) {
        namedBarrier(turnOf(group), 256);
        wgmmaFence();
        multiplyKeys<kWidth>(scores, queries, group, turns.key.index);
        wgmmaCommit();
        mbarrierWait(fullValue(turns.value.index), turns.value.parity);
        wgmmaFence();
        multiplyValues<kColumns>(output, probabilities, turns.value.index);
        wgmmaCommit();
        namedBarrierArrive(turnOf(group + 1 == kGroups ? 0 : group + 1), 256);
        wgmmaWait<1>(scores);
        releaseKeys(turns, step);
        maskScores<kWidth>(p, scores, item, step, group);
        float correction[2];
        updateSoftmax<kWidth>(scores, softmax, correction);
        wgmmaWait<0>(output, scores);
        release(emptyValue(turns.value.index));
        turns.value.advance();
        packProbabilities<kWidth>(probabilities, scores);
        if (warpAny(correction[0] != 1.0f || correction[1] != 1.0f)) {
#pragma unroll
            for (int i = 0; i < kHeadDim / 2; ++i) output[i] *= correction[i / 2 % 2];
        }
    }

    /// S = Q K^T of the group's 64 rows, in raw units.
    template <int kWidth>
    static MOA_DEVICE void multiplyKeys(float (&scores)[kWidth / 2], const Queries& queries, int group, int stage) {
        const uint64_t q = matrixDescriptor(sharedBase() + group * kPageBlockBytes, 16, 8 * kBlockRowBytes);
        const uint64_t k = matrixDescriptor(keys(stage), 16, 8 * kBlockRowBytes);
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

    /// O / sum goes out: a lane has 4 bytes of each chunk of a row, and takes whole chunks in exchange.
    template <class Params>
    static MOA_DEVICE void store(const Params& p, const PrefillItem& item, const float (&output)[kHeadDim / 2], Softmax& softmax) {
        const int lane = laneIndex() & 3;
        const int firstRow = item.queryBlock * kRows + warpIndex() * 16 + (laneIndex() >> 2);
        const int stride = Config::queryHeads(p) * kHeadDim;  // elements between tokens
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            const float sum = quadSum(softmax.sum[row]);
            const float inverse = sum > 0.0f ? fastDivide(1.0f, sum) : 0.0f;
            const int position = firstRow + 8 * row;
            const int64_t token = static_cast<int64_t>(item.firstToken) + position;
            const bool exists = position < item.length;
            if (p.lse != nullptr && lane == 0 && exists) {
                storeGlobal(p.lse + token * Config::queryHeads(p) + item.head, logSumExp(softmax.maximum[row], sum, p.scale));
            }
#pragma unroll
            for (int quad = 0; quad < kChunks / 4; ++quad) {
                Vec16 parts;
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const int at = 4 * (4 * quad + i) + 2 * row;
                    parts.w[i] = packPair<Element>(output[at] * inverse, output[at + 1] * inverse);
                }
                transposeQuad(parts, lane);
                if (exists) storeGlobal(reinterpret_cast<Vec16*>(p.out + token * stride + item.head * kHeadDim + (4 * quad + lane) * kChunkElements), parts);
            }
        }
    }

    /// Word i of lane t of a quad becomes word t of lane i.
    static MOA_DEVICE void transposeQuad(Vec16& parts, int lane) {
#pragma unroll
        for (int distance = 1; distance <= 2; distance *= 2) {
            const bool upper = (lane & distance) != 0;
#pragma unroll
            for (int n = 0; n < 2; ++n) {
                const int low = distance == 1 ? 2 * n : n;
                uint32_t& first = parts.w[low];
                uint32_t& second = parts.w[low + distance];
                const uint32_t received = shuffleXor(upper ? first : second, distance);
                first = upper ? received : first;
                second = upper ? second : received;
            }
        }
    }

    static MOA_DEVICE int turnOf(int group) { return 1 + group; }

    static MOA_DEVICE PrefillItem loadItem(SharedAddress slot) { return PrefillItem::of(loadShared<Vec16>(slot), loadShared<Vec16>(slot + 16)); }

    /// Of the stage whose keys have landed.
    static MOA_DEVICE Step loadStep(int stage) {
        const Vec16 words = loadShared<Vec16>(stepSlot(stage));
        const Step step{KeyPage{static_cast<int>(words.w[0])}, KeyPage{static_cast<int>(words.w[1])}, 0, 0, static_cast<int>(words.w[2])};
        if (threadIndex() == 0) count(Counter::tile, step.second.exists() ? 2 : 1);
        return step;
    }

    /// The step's keys are done with, and with the last step's the queries in shared memory are.
    static MOA_DEVICE void releaseKeys(Turns& turns, const Step& step) {
        release(emptyKey(turns.key.index));
        turns.key.advance();
        if (!kHoldsQueries && step.isLast()) release(emptyQuery());
    }

    /// The warp is done with what the barrier is for.
    static MOA_DEVICE void release(SharedAddress barrier) {
        warpBarrier();
        if (laneIndex() == 0) mbarrierArrive(barrier);
    }
};

}  // namespace moa
