// Attention of one query head group to 16 keys of a page, on tensor cores: keys are the 16 rows of m16n8k16 and the group's heads its 8 columns
// (S^T = K Q^T, O^T = V^T P^T), so that a group of 8 wastes nothing and a group of 1 costs no more.
#pragma once
#include <moa/decode/groupMask.cuh>
#include <moa/decode/newToken.cuh>
#include <moa/finite.cuh>
#include <moa/primitives/mma.cuh>
#include <moa/primitives/movmatrix.cuh>
#include <moa/scoreOptions.cuh>
#include <type_traits>

namespace moa {

/// One warp's part of a segment: a running softmax over its 16 rows of the pages seen so far. Lane (g, t) holds, of each tile of 8 heads, heads
/// 2t and 2t + 1; its sums are of the keys g and g + 8 alone until the segment ends.
template <class Config, class Mask>
class MmaAttend {
    using Element = typename Config::Element;
    using Cache = typename Config::Cache;
    using Operand = typename Cache::Operand;  ///< what is multiplied: the session's type, or fp16
    static constexpr bool kNarrow = !std::is_same_v<Element, Operand>;
    static constexpr int kHeadDim = Config::kHeadDim;
    static constexpr int kHeadTiles = Config::kHeadTiles;
    static constexpr int kSteps = kHeadDim / 16;        ///< of K Q^T
    static constexpr int kOutputTiles = kHeadDim / 16;  ///< of 16 elements
    static constexpr int kChains = 2;                   ///< of dependent products in K Q^T

public:
    static constexpr int kRows = 16;  ///< keys of a page that a warp takes

    /// Begins a segment, as far as that depends on the session alone.
    template <class Params>
    MOA_DEVICE void place(const Params& p, const DecodeSegment& segment, int length) {
        mask_.open(p, segment, length);
        if constexpr (Config::kRope) angles_.load(Rotation<Config>(p, maximum(length, 1) - 1));
    }

    /// Begins a segment, as far as that depends on the new token.
    template <class Params>
    MOA_DEVICE void open(const Params& p, const DecodeSegment& segment, int) {
        loadQueries<Config>(queries_, p, segment, angles_);
        scale2_ = p.scale * Cache::keyScale(p, segment.kvHead) * kLog2e;
        if constexpr (kNarrow) narrowQueries();
        restart();
    }

    /// What `open` brought need not be kept: the compiler does not know that it comes next, and would keep it in registers while the block merges.
    MOA_DEVICE void forget() {
#pragma unroll
        for (int tile = 0; tile < kHeadTiles; ++tile) {
#pragma unroll
            for (int step = 0; step < kSteps; ++step) queries_[tile][step][0] = queries_[tile][step][1] = 0;
            power_[tile][0] = power_[tile][1] = 1.0f;
        }
        mask_ = {};
        angles_ = {};
        scale2_ = 0.0f;
        restart();
    }

    /// Begins another piece of the same ring.
    MOA_DEVICE void restart() {
#pragma unroll
        for (int tile = 0; tile < kHeadTiles; ++tile) {
#pragma unroll
            for (int j = 0; j < kOutputTiles; ++j) {
#pragma unroll
                for (int e = 0; e < 4; ++e) output_[tile][j][e] = 0.0f;
            }
#pragma unroll
            for (int head = 0; head < 2; ++head) {
                maximum_[tile][head] = kNegativeInfinity;
                sum_[tile][head] = 0.0f;
            }
        }
    }

    /// The 16 keys from `row` of the page at `stage` on: scores, mask, softmax, O += P V. A page is little work in a long chain, so what can be
    /// read ahead is, and K Q^T is summed in two chains. `keysRead`, if there is one, is called between keys and values.
    template <class... KeysRead>
    MOA_DEVICE void attend(SharedAddress stage, const PageItem& item, int row, const KeysRead&... keysRead) {
        float scores[kHeadTiles][4];
        multiplyKeys(scores, stage, row);
        (keysRead(), ...);
        uint32_t values[kOutputTiles][4];
        Cache::valueFragments(values, stage + Cache::kHalfBytes, row);
        if constexpr (kCapsScores<Config>) capScores(scores);
        const bool differ = mask_.apply(scores, item, row);
        const bool finite = raiseMaximum(scores, differ && hasNonFinite(values));
#pragma unroll
        for (int tile = 0; tile < kHeadTiles; ++tile) {
            const float scale2[2] = {unitOf(tile, 0), unitOf(tile, 1)};
            const float base[2] = {finiteMaximum(maximum_[tile][0]) * scale2[0], finiteMaximum(maximum_[tile][1]) * scale2[1]};
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                scores[tile][e] = exp2Approx(scores[tile][e] * scale2[e & 1] - base[e & 1]);
                sum_[tile][e & 1] += scores[tile][e];
            }
            // From the accumulators' place to that of a B fragment, keys along k.
            const uint32_t low = transposeMatrix(packPair<Operand>(scores[tile][0], scores[tile][1]));
            const uint32_t high = transposeMatrix(packPair<Operand>(scores[tile][2], scores[tile][3]));
            if (finite) [[likely]] {
#pragma unroll
                for (int j = 0; j < kOutputTiles; ++j) mma16816<Operand>(output_[tile][j], values[j], low, high);
            } else {
                // Read again, since registers that hold all of them would not suffice for more.
                uint32_t again[kOutputTiles][4];
                Cache::valueFragments(again, static_cast<SharedAddress>(opaque(static_cast<int>(stage))) + Cache::kHalfBytes, row);
#pragma unroll
                for (int j = 0; j < kOutputTiles; ++j) multiplyFiniteLeft<Operand>(output_[tile][j], again[j], low, high);
            }
        }
    }

    /// Writes the state of every head of the group: at `area` + head * `stride` bytes its output, then the maximum and the sum.
    template <class Params>
    MOA_DEVICE void store(const Params& p, const DecodeSegment& segment, SharedAddress area, int stride) const {
        const float valueScale = Cache::valueScale(p, Config::kvHeads(p), segment.kvHead);
#pragma unroll
        for (int tile = 0; tile < kHeadTiles; ++tile) {
#pragma unroll
            for (int head = 0; head < 2; ++head) {
                const float total = columnSum(sum_[tile][head]);
                const int member = tile * 8 + 2 * (laneIndex() & 3) + head;
                if (member >= QueryRows<Config>::count(p, segment)) continue;
                const SharedAddress row = area + member * stride;
#pragma unroll
                for (int j = 0; j < kOutputTiles; ++j) {
                    Cache::storeOutput(row, j, output_[tile][j][head] * valueScale, output_[tile][j][2 + head] * valueScale);
                }
                if (laneIndex() < 4) storeShared(row + kHeadDim * 4, Vec8{{floatBits(maximumOf(p, segment, tile, head)), floatBits(total)}});
            }
        }
    }

private:
    /// What q.k of a head is multiplied by, for base 2.
    MOA_DEVICE float scaleOf(int tile, int head) const {
        if constexpr (kNarrow) return scale2_ * power_[tile][head];
        return scale2_;
    }

    /// What a stored score of a head is multiplied by, for base 2.
    MOA_DEVICE float unitOf(int tile, int head) const {
        if constexpr (kCapsScores<Config>) return 2.0f * Config::kSoftCap * kLog2e;
        return scaleOf(tile, head);
    }

    /// The maximum in units of scoreUnit, as everything behind a segment counts it.
    template <class Params>
    MOA_DEVICE float maximumOf(const Params& p, const DecodeSegment& segment, int tile, int head) const {
        if constexpr (kCapsScores<Config>) return maximum_[tile][head];
        const float maximum = maximum_[tile][head] * Cache::keyScale(p, segment.kvHead);
        if constexpr (kNarrow) return maximum * power_[tile][head];
        return maximum;
    }

    /// Queries in bf16 become fp16: each head is divided by a power of two that makes its largest element 1 or more but less than 2, so that only
    /// what is 2^-24 of that and less is lost, far below its rounding to bf16.
    MOA_DEVICE void narrowQueries() {
#pragma unroll
        for (int tile = 0; tile < kHeadTiles; ++tile) {
            float largest = 0.0f;
#pragma unroll
            for (int step = 0; step < kSteps; ++step) {
#pragma unroll
                for (int part = 0; part < 2; ++part) {
                    const uint32_t magnitudes = queries_[tile][step][part] & 0x7fff7fffu;
                    largest = larger(largest, larger(unpackLow<Element>(magnitudes), unpackHigh<Element>(magnitudes)));
                }
            }
            largest = quadMaximum(largest);
            const float power = largest >= 1e-30f && largest <= 1e30f ? bitsToFloat(floatBits(largest) & 0x7f800000u) : 1.0f;
            const float inverse = 1.0f / power;
#pragma unroll
            for (int step = 0; step < kSteps; ++step) {
#pragma unroll
                for (int part = 0; part < 2; ++part) {
                    uint32_t& pair = queries_[tile][step][part];
                    pair = packPair<Operand>(unpackLow<Element>(pair) * inverse, unpackHigh<Element>(pair) * inverse);
                }
            }
            // A lane has the queries of head lane / 4 and the scores of heads 2 (lane % 4) and + 1.
#pragma unroll
            for (int head = 0; head < 2; ++head) power_[tile][head] = shuffle(power, (2 * (laneIndex() & 3) + head) * 4);
        }
    }

    MOA_DEVICE void multiplyKeys(float (&scores)[kHeadTiles][4], SharedAddress stage, int row) const {
        uint32_t keys[kSteps][4];
        Cache::keyFragments(keys, stage, row);
        float sums[kChains][kHeadTiles][4] = {};
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
#pragma unroll
            for (int tile = 0; tile < kHeadTiles; ++tile) mma16816<Operand>(sums[step % kChains][tile], keys[step], queries_[tile][step][0], queries_[tile][step][1]);
        }
#pragma unroll
        for (int tile = 0; tile < kHeadTiles; ++tile) {
#pragma unroll
            for (int e = 0; e < 4; ++e) scores[tile][e] = sums[0][tile][e] + sums[1][tile][e];
        }
    }

    /// Whether one of the lane's values is not finite: then neither is their sum times 0.
    static MOA_DEVICE bool hasNonFinite(const uint32_t (&values)[kOutputTiles][4]) {
        uint32_t zeros[4] = {};
#pragma unroll
        for (int j = 0; j < kOutputTiles; ++j) {
#pragma unroll
            for (int part = 0; part < 4; ++part) zeros[part] = addTimesZero<Operand>(zeros[part], values[j][part]);
        }
        return nonFiniteBits<Operand>(addTimesZero<Operand>(addTimesZero<Operand>(zeros[0], zeros[1]), addTimesZero<Operand>(zeros[2], zeros[3]))) != 0;
    }

    MOA_DEVICE void capScores(float (&scores)[kHeadTiles][4]) const {
#pragma unroll
        for (int tile = 0; tile < kHeadTiles; ++tile) {
#pragma unroll
            for (int e = 0; e < 4; ++e) scores[tile][e] = cappedScore<Config>(scores[tile][e], scaleOf(tile, e & 1));
        }
    }

    /// Over the eight lanes that hold the same heads.
    static MOA_DEVICE float columnMaximum(float value) {
        value = larger(value, shuffleXor(value, 4));
        value = larger(value, shuffleXor(value, 8));
        return larger(value, shuffleXor(value, 16));
    }
    static MOA_DEVICE float columnSum(float value) {
        value += shuffleXor(value, 4);
        value += shuffleXor(value, 8);
        return value + shuffleXor(value, 16);
    }

    /// Raises the maxima where a score passes one. Mostly none does, and nothing need be rescaled. To let scores pass by a little, as
    /// FlashAttention-4 does, costs accuracy: the probability of the largest score is then no longer 1, which is exact, but rounded. Returns false
    /// where a lane asked for it, so that both take one vote.
    MOA_DEVICE bool raiseMaximum(const float (&scores)[kHeadTiles][4], bool asked) {
        float largest[kHeadTiles][2];
        bool passed = false;
#pragma unroll
        for (int tile = 0; tile < kHeadTiles; ++tile) {
#pragma unroll
            for (int head = 0; head < 2; ++head) {
                largest[tile][head] = larger(scores[tile][head], scores[tile][head + 2]);
                passed = passed || largest[tile][head] > maximum_[tile][head];
            }
        }
        if (!warpAny(passed || asked)) return true;
#pragma unroll
        for (int tile = 0; tile < kHeadTiles; ++tile) {
            float correction[2];
#pragma unroll
            for (int head = 0; head < 2; ++head) {
                const float raised = larger(maximum_[tile][head], columnMaximum(largest[tile][head]));
                correction[head] = exp2Approx((maximum_[tile][head] - finiteMaximum(raised)) * unitOf(tile, head));
                maximum_[tile][head] = raised;
                sum_[tile][head] *= correction[head];
            }
#pragma unroll
            for (int j = 0; j < kOutputTiles; ++j) {
#pragma unroll
                for (int e = 0; e < 4; ++e) output_[tile][j][e] *= correction[e & 1];
            }
        }
        return !warpAny(asked);
    }

    uint32_t queries_[kHeadTiles][kSteps][2];
    float output_[kHeadTiles][kOutputTiles][4];
    float maximum_[kHeadTiles][2];
    float sum_[kHeadTiles][2];
    float scale2_;
    float power_[kHeadTiles][2];  ///< what queries were divided by; used where they are narrowed
    GroupMask<Config, Mask> mask_;
    AnglesOf<Config> angles_;
};

}  // namespace moa
