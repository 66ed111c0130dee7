// Spans of rules, and expressions of them, as functions of a sequence's length bound N. Both are tables of
// the package (src/ir/planTables.ts); src/ir/affine.ts says what they mean.
//
//   span(N)    = roundUp(max(min(trunc(alpha + numerator / denominator * N), N), minSpan), page), in tokens
//   expression = steps for a stack: a step puts a value on it, or replaces the one or two newest values by a result
//
// Products are 64 bits wide: exact for alpha and N up to 2^24, numerator <= denominator <= 2^30. What is on the stack
// takes 32: tokens or pages.
#pragma once
#include <moa/integers.cuh>
#include <moa/page.cuh>

namespace moa {

/// Tokens that a head keeps, before limits: alpha + numerator / denominator * N.
struct SpanRule {
    int alpha;
    int numerator;
    int denominator;
};

enum class SpanOp : int {
    constant,  ///< puts `value`
    bound,     ///< puts N
    span,      ///< puts the span of rule number `value`
    add,       ///< the two newest, the older one on the left, as the next three
    subtract,
    min,
    max,
    multiply,  ///< the newest by `value`, as the next two
    divide,    ///< leaves no remainder
    roundUp,   ///< to a multiple of `value`
};

struct alignas(8) SpanStep {
    SpanOp op;
    int value;
};

MOA_DEVICE SpanRule loadRule(const SpanRule* rule) {
    return SpanRule{loadGlobal(&rule->alpha), loadGlobal(&rule->numerator), loadGlobal(&rule->denominator)};
}

/// `span(N)` of a rule, N = `bound`.
MOA_DEVICE int spanOf(const SpanRule& rule, int minSpan, int bound) {
    const int64_t sum = int64_t{rule.alpha} * rule.denominator + int64_t{rule.numerator} * bound;
    const int64_t tokens = sum / rule.denominator;  // C++ truncates toward zero
    const int kept = tokens < bound ? static_cast<int>(tokens) : bound;
    return ceilDivide(maximum(kept, minSpan), kPageTokens) * kPageTokens;
}

/// Values that an expression has on its stack at once, at most; the compiler sees to it.
inline constexpr int kSpanDepth = 6;

/// The value of the expression whose steps are number `begin` to `end` - 1, for N = `bound`.
MOA_DEVICE int evaluateSpan(const SpanRule* rules, const SpanStep* steps, int begin, int end, int minSpan, int bound) {
    constexpr int kDepth = kSpanDepth;
    int newest[kDepth] = {};  // indices are known when this is compiled: the stack lies in registers
    const auto put = [&newest](int value) {
#pragma unroll
        for (int i = kDepth - 1; i > 0; --i) newest[i] = newest[i - 1];
        newest[0] = value;
    };
    const auto merge = [&newest](int result) {
        newest[0] = result;
#pragma unroll
        for (int i = 1; i + 1 < kDepth; ++i) newest[i] = newest[i + 1];
    };
    const auto older = [&newest] { return newest[kDepth > 1 ? 1 : 0]; };
    for (int number = begin; number < end; ++number) {
        const Vec8 step = loadGlobal(reinterpret_cast<const Vec8*>(steps + number));
        const int value = static_cast<int>(step.w[1]);
        switch (static_cast<SpanOp>(step.w[0])) {
            case SpanOp::constant: put(value); break;
            case SpanOp::bound: put(bound); break;
            case SpanOp::span: put(spanOf(loadRule(rules + value), minSpan, bound)); break;
            case SpanOp::add: merge(older() + newest[0]); break;
            case SpanOp::subtract: merge(older() - newest[0]); break;
            case SpanOp::min: merge(minimum(older(), newest[0])); break;
            case SpanOp::max: merge(maximum(older(), newest[0])); break;
            case SpanOp::multiply: newest[0] *= value; break;
            case SpanOp::divide: newest[0] /= value; break;
            case SpanOp::roundUp: newest[0] = ceilDivide(newest[0], value) * value; break;
        }
    }
    return newest[0];
}

}  // namespace moa
