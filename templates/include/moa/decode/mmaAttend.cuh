// Attention of one query head group to 16 keys of a page, on tensor cores: keys are the 16 rows of m16n8k16 and the group's heads its 8 columns
// (S^T = K Q^T, O^T = V^T P^T), so that a group of 8 wastes nothing and a group of 1 costs no more.
#pragma once
#include <moa/decode/groupMask.cuh>
#include <moa/decode/newToken.cuh>
#include <moa/primitives/mma.cuh>
#include <moa/primitives/movmatrix.cuh>

namespace moa {

/// One warp's part of a segment: a running softmax over its 16 rows of the pages seen so far. Lane (g, t) holds, of each tile of 8 heads, heads
/// 2t and 2t + 1; its sums are of the keys g and g + 8 alone until the segment ends.
template <class Config, class Mask>
class MmaAttend {
    using Element = typename Config::Element;
    using Cache = typename Config::Cache;
    static constexpr int kHeadDim = Config::kHeadDim;
    static constexpr int kHeadTiles = Config::kHeadTiles;
    static constexpr int kSteps = kHeadDim / 16;        ///< of K Q^T
    static constexpr int kOutputTiles = kHeadDim / 16;  ///< of 16 elements
    static constexpr int kChains = 2;                   ///< of dependent products in K Q^T
    /// Probabilities stay below 2^8 times those of the maximum: far from the largest fp16, and as exact.
    static constexpr float kLazyLog2 = 8.0f;

public:
    static constexpr int kRows = 16;  ///< keys of a page that a warp takes

    /// Begins a segment, as far as that depends on the session alone.
    template <class Params>
    MOA_DEVICE void place(const Params& p, const DecodeSegment& segment, int length) {
        mask_.open(p, segment, length);
    }

    /// Begins a segment, as far as that depends on the new token.
    template <class Params>
    MOA_DEVICE void open(const Params& p, const DecodeSegment& segment, int length) {
        loadQueries<Config>(queries_, p, segment, length - 1);
        scale2_ = p.scale * Cache::keyScale(p, segment.kvHead) * kLog2e;
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
    /// read ahead is, and K Q^T is summed in two chains.
    MOA_DEVICE void attend(SharedAddress stage, const PageItem& item, int row) {
        float scores[kHeadTiles][4];
        multiplyKeys(scores, stage, row);
        uint32_t values[kOutputTiles][4];
        Cache::valueFragments(values, stage + Cache::kHalfBytes, row);
        mask_.apply(scores, item, row);
        raiseMaximum(scores);
#pragma unroll
        for (int tile = 0; tile < kHeadTiles; ++tile) {
            const float base[2] = {finiteMaximum(maximum_[tile][0]) * scale2_, finiteMaximum(maximum_[tile][1]) * scale2_};
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                scores[tile][e] = exp2Approx(scores[tile][e] * scale2_ - base[e & 1]);
                sum_[tile][e & 1] += scores[tile][e];
            }
            // From the accumulators' place to that of a B fragment, keys along k.
            const uint32_t low = transposeMatrix(packPair<Element>(scores[tile][0], scores[tile][1]));
            const uint32_t high = transposeMatrix(packPair<Element>(scores[tile][2], scores[tile][3]));
#pragma unroll
            for (int j = 0; j < kOutputTiles; ++j) mma16816<Element>(output_[tile][j], values[j], low, high);
        }
    }

    /// Writes the state of every head of the group: at `area` + head * `stride` bytes its output, then the maximum and the sum.
    template <class Params>
    MOA_DEVICE void store(const Params& p, const DecodeSegment& segment, SharedAddress area, int stride) const {
        const float valueScale = Cache::valueScale(p, Config::kvHeads(p), segment.kvHead);
        // The maximum counts in units of p.scale, as everything behind a segment does.
        const float keyScale = Cache::keyScale(p, segment.kvHead);
#pragma unroll
        for (int tile = 0; tile < kHeadTiles; ++tile) {
#pragma unroll
            for (int head = 0; head < 2; ++head) {
                const float total = columnSum(sum_[tile][head]);
                const int member = tile * 8 + 2 * (laneIndex() & 3) + head;
                if (member >= Config::groupSize(p)) continue;
                const SharedAddress row = area + member * stride;
#pragma unroll
                for (int j = 0; j < kOutputTiles; ++j) {
                    Cache::storeOutput(row, j, output_[tile][j][head] * valueScale, output_[tile][j][2 + head] * valueScale);
                }
                if (laneIndex() < 4) storeShared(row + kHeadDim * 4, Vec8{{floatBits(maximum_[tile][head] * keyScale), floatBits(total)}});
            }
        }
    }

private:
    MOA_DEVICE void multiplyKeys(float (&scores)[kHeadTiles][4], SharedAddress stage, int row) const {
        uint32_t keys[kSteps][4];
        Cache::keyFragments(keys, stage, row);
        float sums[kChains][kHeadTiles][4] = {};
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
#pragma unroll
            for (int tile = 0; tile < kHeadTiles; ++tile) mma16816<Element>(sums[step % kChains][tile], keys[step], queries_[tile][step][0], queries_[tile][step][1]);
        }
#pragma unroll
        for (int tile = 0; tile < kHeadTiles; ++tile) {
#pragma unroll
            for (int e = 0; e < 4; ++e) scores[tile][e] = sums[0][tile][e] + sums[1][tile][e];
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

    /// Raises the maxima where a score passes one by so much that its probability could grow large; else what was subtracted so far serves on,
    /// and nothing need be rescaled (the lazy rescaling of FlashAttention-4).
    MOA_DEVICE void raiseMaximum(const float (&scores)[kHeadTiles][4]) {
        float largest[kHeadTiles][2];
        bool passed = false;
#pragma unroll
        for (int tile = 0; tile < kHeadTiles; ++tile) {
#pragma unroll
            for (int head = 0; head < 2; ++head) {
                largest[tile][head] = larger(scores[tile][head], scores[tile][head + 2]);
                passed = passed || (largest[tile][head] - maximum_[tile][head]) * scale2_ > kLazyLog2;
            }
        }
        if (!warpAny(passed)) return;
#pragma unroll
        for (int tile = 0; tile < kHeadTiles; ++tile) {
            float correction[2];
#pragma unroll
            for (int head = 0; head < 2; ++head) {
                const float raised = larger(maximum_[tile][head], columnMaximum(largest[tile][head]));
                correction[head] = exp2Approx(maximum_[tile][head] * scale2_ - finiteMaximum(raised) * scale2_);
                maximum_[tile][head] = raised;
                sum_[tile][head] *= correction[head];
            }
#pragma unroll
            for (int j = 0; j < kOutputTiles; ++j) {
#pragma unroll
                for (int e = 0; e < 4; ++e) output_[tile][j][e] *= correction[e & 1];
            }
        }
    }

    uint32_t queries_[kHeadTiles][kSteps][2];
    float output_[kHeadTiles][kOutputTiles][4];
    float maximum_[kHeadTiles][2];
    float sum_[kHeadTiles][2];
    float scale2_;
    GroupMask<Config, Mask> mask_;
};

}  // namespace moa
