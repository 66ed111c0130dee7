// Conversions between float and 16-bit elements, by bits alone: the host compiler need not know either type.
#pragma once
#include <moa/emulator/config.hpp>

namespace moa::emulator {

using Float4 = float __attribute__((vector_size(16), may_alias));
using Word4 = uint32_t __attribute__((vector_size(16)));
using Int4 = int32_t __attribute__((vector_size(16)));

/// Rounds to nearest even; NaN becomes 0x7FFF, as cvt.rn.bf16x2.f32 makes it.
MOA_PRIMITIVE uint16_t floatToBfloat16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

MOA_PRIMITIVE float bfloat16ToFloat(uint16_t element) { return std::bit_cast<float>(static_cast<uint32_t>(element) << 16); }

/// Rounds to nearest even, past the largest finite value to infinity; NaN becomes 0x7FFF, as cvt.rn.f16x2.f32 makes it.
MOA_PRIMITIVE uint16_t floatToHalf(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return 0x7fff;
    if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and more round to 2^16
    if (magnitude < 0x38800000u) {
        // Below 2^-14 a half is a multiple of 2^-24, which is one unit in the last place of 0.5: the addition rounds.
        const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
        return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0.5f)));
    }
    const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
    return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));  // exponent bias 127 to 15
}

/// Four at once, one in the low half of each word.
MOA_PRIMITIVE void halfToFloat4(const Word4& halves, Float4& floats) {
    const Word4 exponent = halves & 0x7c00u;
    const Word4 isTop = std::bit_cast<Word4>(exponent == 0x7c00u), isSmall = std::bit_cast<Word4>(exponent == 0u);
    // Bias 15 to 127; infinities and NaN need the same step once more to reach the top exponent.
    const Word4 normal = ((halves & 0x7fffu) << 13) + 0x38000000u + (isTop & 0x38000000u);
    const Float4 small = __builtin_convertvector(std::bit_cast<Int4>(halves & 0x3ffu), Float4) * 0x1p-24f;
    const Word4 magnitude = (isSmall & std::bit_cast<Word4>(small)) | (~isSmall & normal);
    floats = std::bit_cast<Float4>(magnitude | (halves & 0x8000u) << 16);
}

MOA_PRIMITIVE float halfToFloat(uint16_t element) {
    Float4 floats;
    halfToFloat4(Word4{element, 0, 0, 0}, floats);
    return floats[0];
}

}  // namespace moa::emulator
