// Loads, stores, fences and atomics.
#pragma once
#include <cstdint>
#include <moa/primitives/kernel.cuh>

namespace moa {

/// An address in the shared-memory window (32 bits on every GPU).
using SharedAddress = uint32_t;

struct alignas(16) Vec16 {
    uint32_t w[4];
};
struct alignas(8) Vec8 {
    uint32_t w[2];
};

extern __shared__ __align__(1024) unsigned char dynamicSharedMemory[];

/// The first byte of the block's dynamic shared memory; 1024-byte aligned.
MOA_DEVICE SharedAddress sharedBase() {
    return static_cast<SharedAddress>(__cvta_generic_to_shared(dynamicSharedMemory));
}

template <class T>
MOA_DEVICE T* sharedPointer(SharedAddress address) {
    return reinterpret_cast<T*>(__cvta_shared_to_generic(address));
}

template <class T>
MOA_DEVICE T loadShared(SharedAddress address) {
    return *sharedPointer<const T>(address);
}

template <class T>
MOA_DEVICE void storeShared(SharedAddress address, const T& value) {
    *sharedPointer<T>(address) = value;
}

template <class T>
MOA_DEVICE T loadGlobal(const T* address) {
    return *address;
}

template <class T>
MOA_DEVICE void storeGlobal(T* address, const T& value) {
    *address = value;
}

/// The same of 8 bytes that others read soon: the last that the L2 cache gives up.
MOA_DEVICE void storeGlobalKept(float* address, const Vec8& value) {
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
    asm volatile("st.global.L2::cache_hint.v2.b32 [%0], {%1, %2}, %3;" ::"l"(__cvta_generic_to_global(address)), "r"(value.w[0]), "r"(value.w[1]), "l"(policy) : "memory");
}

/// Returns the old value and stores old >= limit ? 0 : old + 1: a counter that resets itself. What this thread wrote before, and what others wrote
/// and showed it at a barrier, is visible to those who increment later and what comes after in them (PTX atom.acq_rel.gpu.inc).
MOA_DEVICE uint32_t atomicIncrementWrap(uint32_t* counter, uint32_t limit) {
    uint32_t old;
    asm volatile("atom.acq_rel.gpu.global.inc.u32 %0, [%1], %2;" : "=r"(old) : "l"(__cvta_generic_to_global(counter)), "r"(limit) : "memory");
    return old;
}

/// The same of a counter that orders nothing else (PTX atom.relaxed.gpu.inc).
MOA_DEVICE uint32_t atomicIncrementWrapRelaxed(uint32_t* counter, uint32_t limit) {
    uint32_t old;
    asm volatile("atom.relaxed.gpu.global.inc.u32 %0, [%1], %2;" : "=r"(old) : "l"(__cvta_generic_to_global(counter)), "r"(limit) : "memory");
    return old;
}

}  // namespace moa
