// Arithmetic that has an instruction of its own, and conversions between float and the cache's element types.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <nv/target>

#include <moa/primitives/elements.cuh>
#include <moa/primitives/kernel.cuh>

namespace moa {

MOA_DEVICE uint32_t floatBits(float value) { return __float_as_uint(value); }
MOA_DEVICE float bitsToFloat(uint32_t bits) { return __uint_as_float(bits); }

/// The larger of two numbers; a NaN loses against a number (PTX max.f32).
MOA_DEVICE float larger(float a, float b) { return fmaxf(a, b); }

/// 2^x, about 2 ulp, denormals flushed; 2^-inf is 0 (PTX ex2.approx.ftz.f32).
MOA_DEVICE float exp2Approx(float x) {
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

/// ln x, about 1 ulp; ln 0 is -inf.
MOA_DEVICE float logNatural(float x) { return logf(x); }
/// a b + c, rounded once. What else is multiplied and added the compiler may contract or not.
MOA_DEVICE float multiplyAdd(float a, float b, float c) { return __fmaf_rn(a, b, c); }
/// a b, rounded, and not contracted with what is added to it.
MOA_DEVICE float multiply(float a, float b) { return __fmul_rn(a, b); }
/// 1 / x, 1 ulp, denormals flushed (PTX rcp.approx.ftz.f32).
MOA_DEVICE float reciprocalApprox(float x) {
    float result;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
/// a / b, about 2 ulp.
MOA_DEVICE float fastDivide(float a, float b) { return __fdividef(a, b); }

/// Four bytes of `word` (0 to 3) and of zeros (4 to 7), chosen by the four lower nibbles of `selector`, the lowest first (PTX prmt).
MOA_DEVICE uint32_t permuteBytes(uint32_t word, uint32_t selector) { return __byte_perm(word, 0u, selector); }

/// The two lower bytes of `bytes`, E4M3, as a pair of fp16, exactly (PTX cvt.rn.f16x2.e4m3x2, sm_89). Where there is no such instruction the 4 bits
/// of the exponent become the lower ones of 5, which makes 2^-8 of the value, and the code of NaN gets all five.
MOA_DEVICE uint32_t decodeE4m3(uint32_t bytes) {
    uint32_t pair;
    NV_IF_ELSE_TARGET(NV_PROVIDES_SM_89, (asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(pair) : "h"(static_cast<unsigned short>(bytes)));),
                      (const uint32_t apart = __byte_perm(bytes, 0u, 0x1404);
                       asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(pair) : "r"((apart & 0x80008000u) | (apart & 0x7f007f00u) >> 1), "r"(0x5c005c00u));
                       pair |= (((apart & 0x7f007f00u) + 0x01000100u) >> 15 & 0x00010001u) * 0x7e00u;))
    return pair;
}

/// Two floats as one pair of elements, rounded to nearest even; `low` in the lower 16 bits.
template <class Element>
MOA_DEVICE uint32_t packPair(float low, float high);
template <class Element>
MOA_DEVICE float unpackLow(uint32_t pair);
/// `sum` plus 0 times `pair`, both pairs of elements: NaN from where one is not finite (PTX fma.rn.bf16x2, fma.rn.f16x2).
template <class Element>
MOA_DEVICE uint32_t addTimesZero(uint32_t sum, uint32_t pair);
template <class Element>
MOA_DEVICE float unpackHigh(uint32_t pair);

template <>
MOA_DEVICE uint32_t packPair<Bfloat16>(float low, float high) {
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
template <>
MOA_DEVICE uint32_t addTimesZero<Bfloat16>(uint32_t sum, uint32_t pair) {
    asm("fma.rn.bf16x2 %0, %1, %2, %0;" : "+r"(sum) : "r"(pair), "r"(0u));
    return sum;
}
template <>
MOA_DEVICE uint32_t addTimesZero<Half>(uint32_t sum, uint32_t pair) {
    asm("fma.rn.f16x2 %0, %1, %2, %0;" : "+r"(sum) : "r"(pair), "r"(0u));
    return sum;
}
template <>
MOA_DEVICE float unpackLow<Bfloat16>(uint32_t pair) {
    return __uint_as_float(pair << 16);
}
template <>
MOA_DEVICE float unpackHigh<Bfloat16>(uint32_t pair) {
    return __uint_as_float(pair & 0xffff0000u);
}

template <>
MOA_DEVICE uint32_t packPair<Half>(float low, float high) {
    uint32_t pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
template <>
MOA_DEVICE float unpackLow<Half>(uint32_t pair) {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(pair & 0xffffu)));
}
template <>
MOA_DEVICE float unpackHigh<Half>(uint32_t pair) {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(pair >> 16)));
}

}  // namespace moa
