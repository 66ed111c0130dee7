// Atomic additions of integers (PTX atom.add), checked as loads and stores are.
#pragma once
#include <moa/primitives/memory.cuh>

namespace moa {

/// Adds to an integer in global memory; returns the old value, or poison after a finding.
MOA_PRIMITIVE int atomicAddGlobal(int* address, int value, emulator::Site site = emulator::Site::current()) {
    if (!emulator::globalToLoad(address, sizeof(int), site) || !emulator::globalToStore(address, sizeof(int), site)) [[unlikely]]
        return emulator::poisoned<int>();
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}

/// The same in the block's shared memory.
MOA_PRIMITIVE int atomicAddShared(SharedAddress address, int value, emulator::Site site = emulator::Site::current()) {
    const std::byte* const from = emulator::sharedToLoad(address, sizeof(int), site);
    std::byte* const to = emulator::sharedToStore(address, sizeof(int), site);
    if (from == nullptr || to == nullptr) [[unlikely]]
        return emulator::poisoned<int>();
    return __atomic_fetch_add(reinterpret_cast<int*>(to), value, __ATOMIC_RELAXED);
}

}  // namespace moa
