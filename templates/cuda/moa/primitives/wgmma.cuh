// Products of a warpgroup on Hopper's tensor cores (PTX wgmma, sm_90a): m64nNk16, fp32 accumulation. A warpgroup is four warps that begin at a
// multiple of four; all of them issue the same products. Products are asynchronous: from issue until a wait covers them, the
// accumulators and the registers of A may not be touched, and shared memory that they read may not be written.
//
// Accumulator of 64 x N, lane (g, t) = (lane / 4, lane % 4) of warp w of the group: d[4 j], d[4 j + 1] = (16 w + g, 8 j + 2 t ..), d[4 j + 2], d[4 j + 3] =
// (16 w + g + 8, the same columns). A in registers: as for mma16816, rows 16 w ..
#pragma once
#include <moa/primitives/elements.cuh>
#include <moa/primitives/memory.cuh>

namespace moa {

/// What wgmma knows an operand in shared memory by (PTX "Matrix Descriptor Format"), for tiles in 128-byte swizzle, 1024-byte aligned but for steps inside of
/// a row of the swizzle.
///   K-major (rows of 64 elements of the inner dimension): `strideBytes` lies between groups of 8 rows, `leadingBytes` is not used;
///   MN-major (rows of 64 elements of the outer dimension): `strideBytes` lies between groups of 8 steps of the inner dimension, `leadingBytes`
///   between blocks of 64 of the outer one.
MOA_DEVICE uint64_t matrixDescriptor(SharedAddress start, uint32_t leadingBytes, uint32_t strideBytes) {
    constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
    return kSwizzle128 | static_cast<uint64_t>(strideBytes >> 4) << 32 | static_cast<uint64_t>(leadingBytes >> 4) << 16 | ((start & 0x3FFFF) >> 4);
}

/// The descriptor of what lies `bytes` further on.
MOA_DEVICE constexpr uint64_t advanceDescriptor(uint64_t descriptor, uint32_t bytes) { return descriptor + (bytes >> 4); }

/// Begins a batch of products: what the warp wrote to registers before is seen by them (PTX wgmma.fence).
MOA_DEVICE void wgmmaFence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

/// Closes the batch (PTX wgmma.commit_group).
MOA_DEVICE void wgmmaCommit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

/// Keeps what is done with these registers on its side of a fence or a wait.
template <int kSize>
MOA_DEVICE void pinRegisters(float (&registers)[kSize]) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) asm volatile("" : "+f"(registers[i])::"memory");
}

/// Waits until at most `kPending` of the warp's newest batches are unfinished (PTX wgmma.wait_group). `arrays` are all accumulators that may be used
/// from here on, and whatever else must not be used before.
template <int kPending, class... Arrays>
MOA_DEVICE void wgmmaWait(Arrays&... arrays) {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
    (pinRegisters(arrays), ...);
}

// clang-format off
#define MOA_LIST_32 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define MOA_LIST_64 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
                    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}"
#define MOA_LIST_128 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
                     "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, " \
                     "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
                     "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}"
#define MOA_FLOATS_8(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define MOA_FLOATS_32 MOA_FLOATS_8(0), MOA_FLOATS_8(8), MOA_FLOATS_8(16), MOA_FLOATS_8(24)
#define MOA_FLOATS_64 MOA_FLOATS_32, MOA_FLOATS_8(32), MOA_FLOATS_8(40), MOA_FLOATS_8(48), MOA_FLOATS_8(56)
#define MOA_FLOATS_128 MOA_FLOATS_64, MOA_FLOATS_8(64), MOA_FLOATS_8(72), MOA_FLOATS_8(80), MOA_FLOATS_8(88), MOA_FLOATS_8(96), MOA_FLOATS_8(104), MOA_FLOATS_8(112), MOA_FLOATS_8(120)
// clang-format on

/// d (+)= A B^T with both operands in shared memory, K-major: A 64 x 16, B kColumns x 16. Without `accumulate` it does not matter what d held.
template <class Element, int kColumns>
MOA_DEVICE void wgmmaShared(float (&d)[kColumns / 2], uint64_t a, uint64_t b, bool accumulate);

/// The same with A in registers.
template <class Element, int kColumns>
MOA_DEVICE void wgmmaRegistersKMajor(float (&d)[kColumns / 2], const uint32_t (&a)[4], uint64_t b, bool accumulate);

/// d += A B with A 64 x 16 in registers and B 16 x kColumns in shared memory, MN-major.
template <class Element, int kColumns>
MOA_DEVICE void wgmmaRegisters(float (&d)[kColumns / 2], const uint32_t (&a)[4], uint64_t b);

#define MOA_PREDICATED(name, scale, text) "{\n.reg .pred " name ";\nsetp.ne.b32 " name ", " scale ", 0;\n" text "}"
/// The operands o0 .. o5 are those behind the accumulator.
#define MOA_WGMMA(Element, type, columns, floats, o0, o1, o2, o3, o4, o5)                                                                  \
    template <>                                                                                                                            \
    MOA_DEVICE void wgmmaShared<Element, columns>(float (&d)[floats], uint64_t a, uint64_t b, bool accumulate) {                           \
        asm volatile(MOA_PREDICATED("p", o2, "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type " " MOA_LIST_##floats   \
                                             ", " o0 ", " o1 ", p, 1, 1, 0, 0;\n")                                                         \
                     : MOA_FLOATS_##floats                                                                                                 \
                     : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)));                                                                 \
    }                                                                                                                                      \
    template <>                                                                                                                            \
    MOA_DEVICE void wgmmaRegistersKMajor<Element, columns>(float (&d)[floats], const uint32_t (&a)[4], uint64_t b, bool accumulate) {      \
        asm volatile(MOA_PREDICATED("p", o5, "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type " " MOA_LIST_##floats   \
                                             ", {" o0 ", " o1 ", " o2 ", " o3 "}, " o4 ", p, 1, 1, 0;\n")                                  \
                     : MOA_FLOATS_##floats                                                                                                 \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(accumulate)));                             \
    }                                                                                                                                      \
    template <>                                                                                                                            \
    MOA_DEVICE void wgmmaRegisters<Element, columns>(float (&d)[floats], const uint32_t (&a)[4], uint64_t b) {                             \
        asm volatile("wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type " " MOA_LIST_##floats                           \
                     ", {" o0 ", " o1 ", " o2 ", " o3 "}, " o4 ", 1, 1, 1, 1;"                                                             \
                     : MOA_FLOATS_##floats                                                                                                 \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                                                                \
    }
#define MOA_WGMMA_64(Element, type) MOA_WGMMA(Element, type, 64, 32, "%32", "%33", "%34", "%35", "%36", "%37")
#define MOA_WGMMA_128(Element, type) MOA_WGMMA(Element, type, 128, 64, "%64", "%65", "%66", "%67", "%68", "%69")
#define MOA_WGMMA_256(Element, type) MOA_WGMMA(Element, type, 256, 128, "%128", "%129", "%130", "%131", "%132", "%133")

MOA_WGMMA_64(Half, "f16")
MOA_WGMMA_64(Bfloat16, "bf16")
MOA_WGMMA_128(Half, "f16")
MOA_WGMMA_128(Bfloat16, "bf16")
MOA_WGMMA_256(Half, "f16")
MOA_WGMMA_256(Bfloat16, "bf16")

#undef MOA_WGMMA_256
#undef MOA_WGMMA_128
#undef MOA_WGMMA_64
#undef MOA_WGMMA
#undef MOA_PREDICATED
#undef MOA_FLOATS_128
#undef MOA_FLOATS_64
#undef MOA_FLOATS_32
#undef MOA_FLOATS_8
#undef MOA_LIST_128
#undef MOA_LIST_64
#undef MOA_LIST_32

}  // namespace moa
