// The 8-bit floating-point type E4M3 (OCP 8-bit Floating Point Specification 1.0): 1 sign, 4 exponent and 3 fraction bits, no infinity, largest 448.
#pragma once
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

/// Eight elements, times `factor`, as eight bytes.
template <class Element>
MOA_DEVICE Vec8 encodeE4m3(const Vec16& elements, float factor) {
    Vec8 bytes{{0u, 0u}};
#pragma unroll
    for (int word = 0; word < 4; ++word) {
        const uint32_t low = encodeE4m3(unpackLow<Element>(elements.w[word]) * factor);
        const uint32_t high = encodeE4m3(unpackHigh<Element>(elements.w[word]) * factor);
        bytes.w[word / 2] |= (low | high << 8) << (word % 2 * 16);
    }
    return bytes;
}

/// Two bytes, each in the upper half of 16 bits, as a pair of elements: exact but for the factor `kDecodedE4m3<Element>`, and but for NaN, which
/// counts as 480.
template <class Element>
MOA_DEVICE uint32_t decodeE4m3(uint32_t bytes);

/// What decoded elements are to be multiplied by.
template <class Element>
inline constexpr float kDecodedE4m3 = 1.0f;
template <>
inline constexpr float kDecodedE4m3<Half> = 256.0f;

template <>
MOA_DEVICE uint32_t decodeE4m3<Half>(uint32_t bytes) {
    // The exponent's 4 bits become the lower ones of 5: 2^-8 of the value.
    return (bytes & 0x80008000u) | (bytes & 0x7f007f00u) >> 1;
}
template <>
MOA_DEVICE uint32_t decodeE4m3<Bfloat16>(uint32_t bytes) {
    // They become the lower ones of 8: 2^-120 of the value, too small to compute with. 2^120 is 0x7b80.
    return multiplyPairs((bytes & 0x80008000u) | (bytes & 0x7f007f00u) >> 4, 0x7b807b80u);
}

}  // namespace moa
