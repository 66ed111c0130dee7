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
MOA_PRIMITIVE uint64_t matrixDescriptor(SharedAddress start, uint32_t leadingBytes, uint32_t strideBytes, emulator::Site site = emulator::Site::current()) {
    emulator::Engine& engine = emulator::engine();
    if (((start | leadingBytes | strideBytes) & 15) != 0)
        emulator::report(engine, "wgmma", site, engine.running->thread, "matrixDescriptor(0x%x, %u, %u): multiples of 16 bytes are possible", start,
                         leadingBytes, strideBytes);
    constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
    return kSwizzle128 | static_cast<uint64_t>(strideBytes >> 4) << 32 | static_cast<uint64_t>(leadingBytes >> 4) << 16 | ((start & 0x3FFFF) >> 4);
}

/// The descriptor of what lies `bytes` further on.
MOA_PRIMITIVE constexpr uint64_t advanceDescriptor(uint64_t descriptor, uint32_t bytes) { return descriptor + (bytes >> 4); }

/// Begins a batch of products: what the warp wrote to registers before is seen by them (PTX wgmma.fence).
MOA_PRIMITIVE void wgmmaFence(emulator::Site site = emulator::Site::current()) {
    emulator::arrive(emulator::engine(), emulator::kWgmmaFence, site);
}

/// Closes the batch (PTX wgmma.commit_group).
MOA_PRIMITIVE void wgmmaCommit(emulator::Site site = emulator::Site::current()) {
    emulator::arrive(emulator::engine(), emulator::kWgmmaCommit, site);
}

/// Keeps what is done with these registers on its side of a fence or a wait.
template <int kSize>
MOA_PRIMITIVE void pinRegisters(float (&)[kSize]) {}

/// Waits until at most `kPending` of the warp's newest batches are unfinished (PTX wgmma.wait_group). `arrays` are all accumulators that may be used
/// from here on, and whatever else must not be used before. An accumulator that is not among them stays NaN, until a later wait names it.
template <int kPending, class... Arrays>
MOA_PRIMITIVE void wgmmaWait(emulator::NamedArray first, Arrays&... others) {
    static_assert(kPending >= 0 && kPending <= 7);
    const emulator::NamedArray arrays[] = {first, others...};
    emulator::waitForProducts(kPending, arrays, 1 + sizeof...(others), first.site);
}
template <int kPending>
MOA_PRIMITIVE void wgmmaWait(emulator::Site site = emulator::Site::current()) {
    static_assert(kPending >= 0 && kPending <= 7);
    emulator::waitForProducts(kPending, nullptr, 0, site);
}

/// d (+)= A B^T with both operands in shared memory, K-major: A 64 x 16, B kColumns x 16. Without `accumulate` it does not matter what d held.
template <class Element, int kColumns>
MOA_PRIMITIVE void wgmmaShared(float (&d)[kColumns / 2], uint64_t a, uint64_t b, bool accumulate, emulator::Site site = emulator::Site::current()) {
    static_assert(kColumns == 64 || kColumns == 128 || kColumns == 256);
    emulator::Engine& engine = emulator::engine();
    const emulator::Lane& lane = *engine.running;
    auto& input = lane.warp->input.product;
    input.d[lane.lane] = d;
    input.a[lane.lane] = a;
    input.b[lane.lane] = b;
    input.accumulate[lane.lane] = accumulate ? 1 : 0;
    emulator::arrive(engine, emulator::kWgmmaShared<Element, kColumns>, site);
}

/// The same with A in registers, which have to stay as they are, and in scope, until the wait.
template <class Element, int kColumns>
MOA_PRIMITIVE void wgmmaRegistersKMajor(float (&d)[kColumns / 2], const uint32_t (&a)[4], uint64_t b, bool accumulate, emulator::Site site = emulator::Site::current()) {
    static_assert(kColumns == 64 || kColumns == 128 || kColumns == 256);
    emulator::bringFragments(d, a, b, accumulate);
    emulator::arrive(emulator::engine(), emulator::kWgmmaRegistersKMajor<Element, kColumns>, site);
}

/// d += A B with A 64 x 16 in registers and B 16 x kColumns in shared memory, MN-major. `a` has to stay as it is, and in scope, until the wait.
template <class Element, int kColumns>
MOA_PRIMITIVE void wgmmaRegisters(float (&d)[kColumns / 2], const uint32_t (&a)[4], uint64_t b, emulator::Site site = emulator::Site::current()) {
    static_assert(kColumns == 64 || kColumns == 128 || kColumns == 256);
    emulator::bringFragments(d, a, b, true);
    emulator::arrive(emulator::engine(), emulator::kWgmmaRegisters<Element, kColumns>, site);
}

}  // namespace moa
