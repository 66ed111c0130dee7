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

/// A score is stored as q.k. Where it is capped, it is stored as -1 / (1 + e^2x), x = q.k scale / cap, since
///
///     cap tanh(x) = cap (1 - 2 / (1 + e^2x)) = cap + 2 cap * stored,
///
/// and cap, the same for all scores, is of no account until a logit itself is asked for.
///
/// What a stored score, and so a difference of two, is multiplied by to be one of logits.
template <class Config, class Params>
MOA_DEVICE float scoreUnit(const Params& p) {
    if constexpr (kCapsScores<Config>) {
        return 2.0f * Config::kSoftCap;
    } else {
        return p.scale;
    }
}

/// The logit of a stored score.
template <class Config, class Params>
MOA_DEVICE float logitOf(const Params& p, float score) {
    if constexpr (kCapsScores<Config>) {
        return multiplyAdd(score, scoreUnit<Config>(p), Config::kSoftCap);
    } else {
        return score * scoreUnit<Config>(p);
    }
}

/// The score to store of q.k, where scores are capped. `scale2`: the scale, for base 2.
///
/// The error is less than 2.5e-7: that of the exponential (2 ulp), of the sum and its reciprocal (1 ulp), and of x together are at most 1.8 * 2^-23, for
/// x < 0. So a logit is wrong by less than 5e-7 of the cap, also where x is small: at cap 50 by 2.5e-5, an eightieth of what rounding a probability
/// to bf16 makes of it; tanh.approx (2^-11) would make 2 %.
template <class Config>
MOA_DEVICE float cappedScore(float product, float scale2) {
    static_assert(Config::kSoftCap > 0.0f, "without a cap there is no kSoftCap");
    return reciprocalApprox(-1.0f - exp2Approx(product * (scale2 * (2.0f / Config::kSoftCap))));
}

/// The end of a row's softmax, of query head `head`: its output is what was summed times what this returns, divided by `sum`. A learned sink joins here:
/// the larger of both logits becomes what the others are relative to, so that none overflows. A sink of -inf is none; a row with no key has it alone.
template <class Config, class Params>
MOA_DEVICE float joinSink([[maybe_unused]] const Params& p, [[maybe_unused]] int head, [[maybe_unused]] float& maximum, [[maybe_unused]] float& sum) {
    if constexpr (kHasLearnedSinks<Config>) {
        const float sink = loadGlobal(p.sinkLogits + head);
        const float own = logitOf<Config>(p, maximum);
        maximum = larger(own, sink);  // a logit from here on
        const float base = finiteMaximum(maximum);
        const float weight = exp2Approx((own - base) * kLog2e);
        sum = sum * weight + exp2Approx((sink - base) * kLog2e);
        return weight;
    } else {
        return 1.0f;
    }
}

/// The LSE of a row, behind `joinSink`.
template <class Config, class Params>
MOA_DEVICE float logSumExpOf(const Params& p, float maximum, float sum) {
    if constexpr (kHasLearnedSinks<Config>) {
        return logSumExp(maximum, sum, 1.0f);
    } else if constexpr (kCapsScores<Config>) {
        return logSumExp(logitOf<Config>(p, maximum), sum, 1.0f);
    } else {
        return logSumExp(maximum, sum, p.scale);
    }
}

}  // namespace moa
