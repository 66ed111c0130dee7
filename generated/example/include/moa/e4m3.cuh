// The 8-bit floating-point type E4M3 (OCP 8-bit Floating Point Specification 1.0): 1 sign, 4 exponent and 3 fraction bits, no infinity, largest 448.
#pragma once
#include <moa/finite.cuh>
#include <moa/primitives/math.cuh>
#include <moa/primitives/memory.cuh>

namespace moa {

/// `value` rounded to nearest, ties to even; magnitudes over 448 become 448, NaN stays NaN.
MOA_DEVICE uint32_t encodeE4m3(float value) {
    const uint32_t sign = floatBits(value) >> 24 & 0x80u;
    const float magnitude = bitsToFloat(floatBits(value) & 0x7fffffffu);
    if (!(magnitude == magnitude)) return sign | 0x7fu;
    if (magnitude >= 448.0f) return sign | 0x7eu;
    // Below the smallest normal number the steps are 2^-9 wide: adding 1.5 x 2^23 rounds to an integer.
    if (magnitude < 0.015625f) return sign | (floatBits(magnitude * 512.0f + 12582912.0f) & 0xffu);
    const uint32_t rounded = floatBits(magnitude) + 0x7ffffu + (floatBits(magnitude) >> 20 & 1u);
    return sign | ((rounded >> 20) - (120u << 3));
}

/// Eight elements, times `factor`, as eight bytes. An infinite element becomes NaN, so that it shows; a finite one whose product is too large, 448.
template <class Element>
MOA_DEVICE Vec8 encodeE4m3(const Vec16& elements, float factor) {
    Vec8 bytes{{0u, 0u}};
#pragma unroll
    for (int word = 0; word < 4; ++word) {
        const uint32_t bits = nonFiniteBits<Element>(elements.w[word]);
        const uint32_t low = (bits & 0x8000u) != 0 ? 0x7fu : encodeE4m3(unpackLow<Element>(elements.w[word]) * factor);
        const uint32_t high = bits >> 31 != 0 ? 0x7fu : encodeE4m3(unpackHigh<Element>(elements.w[word]) * factor);
        bytes.w[word / 2] |= (low | high << 8) << (word % 2 * 16);
    }
    return bytes;
}

/// The largest number of a type.
template <class Element>
inline constexpr float kLargest = 0x1.fep127f;
template <>
inline constexpr float kLargest<Half> = 65504.0f;

/// Eight bytes, times `factor`, as eight elements, rounded to nearest, ties to even; what is past the largest number becomes that, NaN stays NaN.
template <class Element>
MOA_DEVICE Vec16 decodeE4m3(const Vec8& bytes, float factor) {
    const auto finite = [](float value) { return value > kLargest<Element> ? kLargest<Element> : value < -kLargest<Element> ? -kLargest<Element> : value; };
    Vec16 elements{};
#pragma unroll
    for (int word = 0; word < 4; ++word) {
        const uint32_t pair = decodeE4m3(bytes.w[word / 2] >> word % 2 * 16);
        elements.w[word] = packPair<Element>(finite(unpackLow<Half>(pair) * factor), finite(unpackHigh<Half>(pair) * factor));
    }
    return elements;
}

}  // namespace moa
