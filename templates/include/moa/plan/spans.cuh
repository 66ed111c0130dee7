// Spans of rules, and expressions of them, as functions of a sequence's length bound N. The compiler prints both as
// tables (templates/partials/spans.hbs); src/ir/affine.ts says what they mean.
//
//   span(N)    = roundUp(max(min(trunc(alpha + numerator / denominator * N), N), minSpan), page), in tokens
//   expression = steps for a stack: a step puts a value on it, or replaces the one or two newest values by a result
//
// Products are 64 bits wide: exact for alpha and N up to 2^24, numerator <= denominator <= 2^30. What is on the stack
// takes 32: tokens or pages.
#pragma once
#include <moa/integers.cuh>
#include <moa/page.cuh>
#include <moa/primitives/tables.cuh>

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

/// `span(N)` of a rule, N = `bound`.
MOA_DEVICE int spanOf(const SpanRule& rule, int minSpan, int bound) {
    const int64_t sum = int64_t{rule.alpha} * rule.denominator + int64_t{rule.numerator} * bound;
    const int64_t tokens = sum / rule.denominator;  // C++ truncates toward zero
    const int kept = tokens < bound ? static_cast<int>(tokens) : bound;
    return ceilDivide(maximum(kept, minSpan), kPageTokens) * kPageTokens;
}

/// The value of the expression whose steps are [step, end), for N = `bound`. Its stack has at most `kDepth` values.
template <int kDepth>
MOA_DEVICE int evaluateSpan(const SpanRule* rules, const SpanStep* step, const SpanStep* end, int minSpan, int bound) {
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
    for (; step != end; ++step) {
        const int value = step->value;
        switch (step->op) {
            case SpanOp::constant: put(value); break;
            case SpanOp::bound: put(bound); break;
            case SpanOp::span: put(spanOf(rules[value], minSpan, bound)); break;
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
