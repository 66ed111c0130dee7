// Arithmetic that has an instruction of its own, and conversions between float and the cache's element types.
#pragma once
#include <type_traits>
#include <bit>
#include <type_traits>

#include <moa/emulator/elementBits.hpp>
#include <moa/primitives/elements.cuh>
#include <moa/primitives/kernel.cuh>

namespace moa {

MOA_PRIMITIVE uint32_t floatBits(float value) { return std::bit_cast<uint32_t>(value); }
MOA_PRIMITIVE float bitsToFloat(uint32_t bits) { return std::bit_cast<float>(bits); }

/// The larger of two numbers; a NaN loses against a number (PTX max.f32).
MOA_PRIMITIVE float larger(float a, float b) { return a > b || b != b ? a : b; }

/// 2^x, denormals flushed; 2^-inf is 0 (PTX ex2.approx.ftz.f32).
MOA_PRIMITIVE float exp2Approx(float x) {
    const float result = __builtin_exp2f(x);
    return result < 0x1p-126f ? 0.0f : result;
}

/// ln x (PTX lg2.approx times ln 2).
MOA_PRIMITIVE float logNatural(float x) { return __builtin_logf(x); }

/// a b + c, rounded once (PTX fma.rn.f32).
MOA_PRIMITIVE float multiplyAdd(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

/// a b, rounded, and not contracted with what is added to it (PTX mul.rn.f32).
MOA_PRIMITIVE float multiply(float a, float b) {
    volatile const float product = a * b;
    return product;
}

/// 1 / x, denormals flushed (PTX rcp.approx.ftz.f32).
MOA_PRIMITIVE float reciprocalApprox(float x) {
    const float result = 1.0f / x;
    return __builtin_fabsf(result) < 0x1p-126f ? 0.0f * result : result;
}

/// a / b; as on the GPU, 0 for a finite `a` where |b| > 2^126 (PTX div.approx.f32).
MOA_PRIMITIVE float fastDivide(float a, float b) { return __builtin_fabsf(b) > 0x1p126f ? a * 0.0f : a / b; }

/// A float as one element, rounded to nearest even; past the largest fp16 to infinity, NaN to 0x7FFF (PTX cvt.rn).
template <class Element>
MOA_PRIMITIVE uint16_t packOne(float value);
template <>
MOA_PRIMITIVE uint16_t packOne<Half>(float value) {
    return emulator::floatToHalf(value);
}
template <>
MOA_PRIMITIVE uint16_t packOne<Bfloat16>(float value) {
    return emulator::floatToBfloat16(value);
}

/// An element as a float, exactly.
template <class Element>
MOA_PRIMITIVE float unpackOne(uint16_t element);
template <>
MOA_PRIMITIVE float unpackOne<Half>(uint16_t element) {
    return emulator::halfToFloat(element);
}
template <>
MOA_PRIMITIVE float unpackOne<Bfloat16>(uint16_t element) {
    return emulator::bfloat16ToFloat(element);
}

/// Four bytes of `word` (0 to 3) and of zeros (4 to 7), chosen by the four lower nibbles of `selector`, the lowest first (PTX prmt).
MOA_PRIMITIVE uint32_t permuteBytes(uint32_t word, uint32_t selector) {
    uint32_t result = 0;
    for (uint32_t i = 0; i < 4; ++i) {
        const uint32_t from = selector >> 4 * i & 7;
        if (from < 4) result |= (word >> 8 * from & 0xffu) << 8 * i;
    }
    return result;
}

/// The two lower bytes of `bytes`, E4M3, as a pair of fp16, exactly (PTX cvt.rn.f16x2.e4m3x2).
MOA_PRIMITIVE uint32_t decodeE4m3(uint32_t bytes) {
    const auto decoded = [](uint32_t code) -> uint32_t {
        const uint32_t sign = (code & 0x80u) << 8;
        if ((code & 0x7fu) == 0x7fu) return sign | 0x7fffu;
        return sign | emulator::floatToHalf(emulator::halfToFloat(static_cast<uint16_t>((code & 0x7fu) << 7)) * 256.0f);
    };
    return decoded(bytes & 0xffu) | decoded(bytes >> 8 & 0xffu) << 16;
}

/// `sum` plus 0 times `pair`, both pairs of elements: NaN from where one is not finite.
template <class Element>
MOA_PRIMITIVE uint32_t addTimesZero(uint32_t sum, uint32_t pair) {
    constexpr uint32_t kExponent = std::is_same_v<Element, Half> ? 0x7c00u : 0x7f80u;
    if ((pair & kExponent) == kExponent) sum = (sum & 0xffff0000u) | 0x7fffu;
    if ((pair >> 16 & kExponent) == kExponent) sum = (sum & 0xffffu) | 0x7fff0000u;
    return sum;
}

/// Two floats as one pair of elements, each rounded as by `packOne`; `low` in the lower 16 bits.
template <class Element>
MOA_PRIMITIVE uint32_t packPair(float low, float high) {
    return packOne<Element>(low) | static_cast<uint32_t>(packOne<Element>(high)) << 16;
}
template <class Element>
MOA_PRIMITIVE float unpackLow(uint32_t pair) {
    return unpackOne<Element>(static_cast<uint16_t>(pair));
}
template <class Element>
MOA_PRIMITIVE float unpackHigh(uint32_t pair) {
    return unpackOne<Element>(static_cast<uint16_t>(pair >> 16));
}

}  // namespace moa
