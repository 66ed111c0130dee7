// Loads, stores, fences and atomics. Every access is checked: it lies in one allocation or in the block's shared memory, and is aligned to
// its size. A load that is not gives NaN, a store that is not does nothing.
#pragma once
#include <moa/primitives/kernel.cuh>

namespace moa {

/// An address in the shared-memory window: here an offset from a base that is never 0.
using SharedAddress = uint32_t;

struct alignas(16) Vec16 {
    uint32_t w[4];
};
struct alignas(8) Vec8 {
    uint32_t w[2];
};

/// The first byte of the block's dynamic shared memory; 1024-byte aligned.
MOA_PRIMITIVE SharedAddress sharedBase() { return emulator::engine().sharedBase; }

namespace emulator {
template <class T>
inline constexpr bool isAccessible = std::is_trivially_copyable_v<T> && sizeof(T) <= 16 && std::has_single_bit(sizeof(T));

template <class T>
MOA_PRIMITIVE T poisoned() {
    T value;
    std::memset(static_cast<void*>(&value), kPoison, sizeof(T));
    return value;
}
}  // namespace emulator

/// PTX ld.shared.
template <class T>
MOA_PRIMITIVE T loadShared(SharedAddress address, emulator::Site site = emulator::Site::current()) {
    static_assert(emulator::isAccessible<T>, "an access has 1, 2, 4, 8 or 16 bytes");
    const std::byte* const from = emulator::sharedToLoad(address, sizeof(T), site);
    if (from == nullptr) [[unlikely]]
        return emulator::poisoned<T>();
    T value;
    std::memcpy(static_cast<void*>(&value), from, sizeof(T));
    return value;
}

/// PTX st.shared.
template <class T>
MOA_PRIMITIVE void storeShared(SharedAddress address, const T& value, emulator::Site site = emulator::Site::current()) {
    static_assert(emulator::isAccessible<T>, "an access has 1, 2, 4, 8 or 16 bytes");
    std::byte* const to = emulator::sharedToStore(address, sizeof(T), site);
    if (to == nullptr) [[unlikely]]
        return;
    std::memcpy(to, static_cast<const void*>(&value), sizeof(T));
}

/// PTX ld.global.
template <class T>
MOA_PRIMITIVE T loadGlobal(const T* address, emulator::Site site = emulator::Site::current()) {
    static_assert(emulator::isAccessible<T>, "an access has 1, 2, 4, 8 or 16 bytes");
    if (!emulator::globalToLoad(address, sizeof(T), site)) [[unlikely]]
        return emulator::poisoned<T>();
    T value;
    std::memcpy(static_cast<void*>(&value), address, sizeof(T));
    return value;
}

/// PTX st.global.
template <class T>
MOA_PRIMITIVE void storeGlobal(T* address, const T& value, emulator::Site site = emulator::Site::current()) {
    static_assert(emulator::isAccessible<T>, "an access has 1, 2, 4, 8 or 16 bytes");
    if (emulator::globalToStore(address, sizeof(T), site)) [[likely]]
        std::memcpy(static_cast<void*>(address), static_cast<const void*>(&value), sizeof(T));
}

/// The same of 8 bytes that others read soon.
MOA_PRIMITIVE void storeGlobalKept(float* address, const Vec8& value, emulator::Site site = emulator::Site::current()) {
    storeGlobal(reinterpret_cast<Vec8*>(address), value, site);
}

/// Returns the old value and stores old >= limit ? 0 : old + 1 (PTX atom.inc): a counter that resets itself. All ones after a finding.
MOA_PRIMITIVE uint32_t atomicIncrementWrap(uint32_t* counter, uint32_t limit, emulator::Site site = emulator::Site::current()) {
    return emulator::incrementGlobal(counter, limit, site);
}

/// The same of a counter that orders nothing else.
MOA_PRIMITIVE uint32_t atomicIncrementWrapRelaxed(uint32_t* counter, uint32_t limit, emulator::Site site = emulator::Site::current()) {
    return atomicIncrementWrap(counter, limit, site);
}

}  // namespace moa
