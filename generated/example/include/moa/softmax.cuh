// Online softmax over rows whose scores lie in the accumulators of m16n8k16 (FlashAttention, arXiv 2205.14135; base 2 as in
// arXiv 2307.08691). A row lives in the four lanes of a quad; a lane holds `kRows` rows: g, g + 8 of each 16-row tile.
#pragma once
#include <limits>
#include <moa/primitives/math.cuh>
#include <moa/primitives/shuffle.cuh>

namespace moa {

inline constexpr float kLog2e = 1.4426950408889634f;
inline constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();

MOA_DEVICE float quadMaximum(float value) {
    value = larger(value, shuffleXor(value, 1));
    return larger(value, shuffleXor(value, 2));
}

MOA_DEVICE float quadSum(float value) {
    value += shuffleXor(value, 1);
    return value + shuffleXor(value, 2);
}

/// The maximum a row may subtract: 0 where the row has no key yet, so that exp2(-inf - 0) is 0 and not NaN.
MOA_DEVICE float finiteMaximum(float maximum) { return maximum == kNegativeInfinity ? 0.0f : maximum; }

/// ln of the row's sum of exp(score * scale); -inf for a row with no key. `maximum` in raw score units.
MOA_DEVICE float logSumExp(float maximum, float sum, float scale) {
    return sum == 0.0f ? kNegativeInfinity : maximum * scale + logNatural(sum);
}

}  // namespace moa
