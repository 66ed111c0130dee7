// What a model does to its scores besides masking them. Each option is compiled in where the Config names it and leaves nothing elsewhere:
//
//   kSoftCap       score = kSoftCap tanh(q.k scale / kSoftCap), before the mask (Gemma 2)
//   kLearnedSinks  a logit for each query head, p.sinkLogits, counts in the denominator of its softmax and has no value (gpt-oss)
#pragma once
#include <moa/primitives/memory.cuh>
#include <moa/softmax.cuh>

namespace moa {

template <class Config>
inline constexpr bool kCapsScores = requires { Config::kSoftCap; };
template <class Config>
inline constexpr bool kHasLearnedSinks = requires { Config::kLearnedSinks; };

/// What a stored score, and so a maximum, is multiplied by to be a logit. A score is stored as q.k, or with a cap as the tanh.
template <class Config, class Params>
MOA_DEVICE float scoreUnit(const Params& p) {
    if constexpr (kCapsScores<Config>) {
        return Config::kSoftCap;
    } else {
        return p.scale;
    }
}

/// The score to store of q.k, where scores are capped: tanh(x) = 1 - 2 / (1 + e^2x) for x = q.k scale / cap. `scale2`: the scale, for base 2.
///
/// The absolute error is less than 6e-7: 2^-23 each of the exponential (2 ulp) and of the sum, 2^-22 of the reciprocal (1 ulp), 2^-25 of the end, and
/// half of 2^-23 of rounding x. It does not shrink with x, and need not: what counts is the error of the logit, at cap 50 3e-5, of which a
/// probability is multiplied by e. That is a sixtieth of the rounding of probabilities to bf16; tanh.approx (2^-11) would make it 2 %.
template <class Config>
MOA_DEVICE float cappedScore(float product, float scale2) {
    static_assert(Config::kSoftCap > 0.0f, "without a cap there is no kSoftCap");
    const float power = exp2Approx(product * (scale2 * (2.0f / Config::kSoftCap)));
    return multiplyAdd(-2.0f, reciprocalApprox(1.0f + power), 1.0f);
}

/// The end of a row's softmax, of query head `head`: its output is what was summed times what this returns, divided by `sum`. A learned sink joins here:
/// the larger of both logits becomes what the others are relative to, so that none overflows. A sink of -inf is none; a row with no key has it alone.
template <class Config, class Params>
MOA_DEVICE float joinSink([[maybe_unused]] const Params& p, [[maybe_unused]] int head, [[maybe_unused]] float& maximum, [[maybe_unused]] float& sum) {
    if constexpr (kHasLearnedSinks<Config>) {
        const float sink = loadGlobal(p.sinkLogits + head);
        const float own = maximum * scoreUnit<Config>(p);
        const float largest = larger(own, sink);
        const float base = finiteMaximum(largest);
        const float weight = exp2Approx((own - base) * kLog2e);
        maximum = largest;
        sum = sum * weight + exp2Approx((sink - base) * kLog2e);
        return weight;
    } else {
        return 1.0f;
    }
}

/// The LSE of a row, behind `joinSink`.
template <class Config, class Params>
MOA_DEVICE float logSumExpOf(const Params& p, float maximum, float sum) {
    return logSumExp(maximum, sum, kHasLearnedSinks<Config> ? 1.0f : scoreUnit<Config>(p));
}

}  // namespace moa
