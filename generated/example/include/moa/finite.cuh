// Values that are not finite, in pairs of 16-bit elements. A probability of 0 does not cancel them: 0 x NaN and
// 0 x Inf are NaN. So values of pages that a mask cuts are multiplied without them, and the outputs of rows that do attend
// one become NaN afterwards.
#pragma once
#include <moa/primitives/elements.cuh>
#include <moa/primitives/math.cuh>
#include <moa/primitives/memory.cuh>
#include <moa/primitives/mma.cuh>
#include <moa/primitives/thread.cuh>

#include <limits>

namespace moa {

inline constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();

template <class Element>
struct FiniteTraits;
template <>
struct FiniteTraits<Half> {
    static constexpr uint32_t kExponents = 0x7c007c00u;
    static constexpr uint32_t kStep = 0x04000400u;  ///< carries a full exponent into the sign bit
    static constexpr uint32_t kOne = 0x3c00u;
};
template <>
struct FiniteTraits<Bfloat16> {
    static constexpr uint32_t kExponents = 0x7f807f80u;
    static constexpr uint32_t kStep = 0x00800080u;
    static constexpr uint32_t kOne = 0x3f80u;
};

/// Bits 15 and 31: whether the lower and the upper element are NaN or infinite. Three instructions, so that results can
/// be joined by `|`.
template <class Element>
MOA_DEVICE uint32_t nonFiniteBits(uint32_t pair) {
    using Traits = FiniteTraits<Element>;
    return ((pair & Traits::kExponents) + Traits::kStep) & 0x80008000u;
}

/// The pair with zeros for what `bits` of `nonFiniteBits` marks.
MOA_DEVICE uint32_t withoutMarked(uint32_t pair, uint32_t bits) { return pair & ~((bits >> 15) * 0xffffu); }

/// Two bits: the lower for the lower element.
MOA_DEVICE int marksOf(uint32_t bits) { return static_cast<int>((bits >> 15 & 1) | (bits >> 30 & 2)); }

/// Ones for what `bits` marks, zeros elsewhere.
template <class Element>
MOA_DEVICE uint32_t onesForMarked(uint32_t bits) {
    return (bits >> 15) * FiniteTraits<Element>::kOne;
}

/// Outputs become NaN where `weight`, the sum of the probabilities of marked values, is not 0.
MOA_DEVICE void spoilWhere(float (&output)[4], const float (&weight)[4]) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
        if (weight[e] > 0.0f) output[e] = kNotANumber;
    }
}

/// d += a b as `mma16816`, for values in `a` and probabilities in `b`, where a value that is not finite counts only for
/// probabilities other than 0.
template <class Element>
MOA_DEVICE void multiplyFiniteLeft(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    uint32_t finite[4];
    uint32_t marks[4];
#pragma unroll
    for (int part = 0; part < 4; ++part) {
        const uint32_t bits = nonFiniteBits<Element>(a[part]);
        finite[part] = withoutMarked(a[part], bits);
        marks[part] = onesForMarked<Element>(bits);
    }
    float weight[4] = {};
    mma16816<Element>(weight, marks, b0, b1);
    mma16816<Element>(d, finite, b0, b1);
    spoilWhere(d, weight);
}

/// Values of eight columns: those that are not finite become zeros. A bit for each that did.
template <class Element>
MOA_DEVICE int clearNonFinite(Vec16& chunk) {
    int marks = 0;
#pragma unroll
    for (int word = 0; word < 4; ++word) {
        const uint32_t bits = nonFiniteBits<Element>(chunk.w[word]);
        marks |= marksOf(bits) << (2 * word);
        chunk.w[word] = withoutMarked(chunk.w[word], bits);
    }
    return marks;
}

/// Which outputs of a lane marked values contribute to, from the products of `probabilities`, A fragments for 16 keys each, and
/// the marks at `marks`: a byte of `clearNonFinite` for each key and chunk of columns. spoiled[e]: a bit for each chunk, of the
/// lane's accumulator e of its 16 x 8 outputs.
template <class Element, int kChunks, int kSteps, int kAllSteps>
MOA_DEVICE void findSpoiled(uint32_t (&spoiled)[4], const uint32_t (&probabilities)[kAllSteps][4], SharedAddress marks) {
    static_assert(kChunks <= 32 && kSteps <= kAllSteps);
    // Lane (g, t) multiplies keys 2t, 2t + 1, and those 8 further on, by column g of a chunk.
    const int lane = opaque(laneIndex());
    const SharedAddress from = marks + 2 * (lane & 3) * kChunks;
#pragma unroll
    for (int e = 0; e < 4; ++e) spoiled[e] = 0;
#pragma unroll 1
    for (int chunk = 0; chunk < kChunks; ++chunk) {
        float weight[4] = {};
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
            const auto mark = [&](int key) {
                const int byte = loadShared<uint8_t>(from + (step * 16 + key) * kChunks + chunk);
                return static_cast<uint32_t>(byte >> (lane >> 2) & 1) * FiniteTraits<Element>::kOne;
            };
            mma16816<Element>(weight, probabilities[step], mark(0) | mark(1) << 16, mark(8) | mark(9) << 16);
        }
#pragma unroll
        for (int e = 0; e < 4; ++e) spoiled[e] |= static_cast<uint32_t>(weight[e] > 0.0f) << chunk;
    }
}

}  // namespace moa
